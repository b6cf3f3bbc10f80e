"""Whether the inverter asks and gets data, in one word and the reasons for it [core]."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from ksem_contract.mac import MacFault
from ksem_contract.reasons import Reason, sentence

BLOCK_WITHIN: Final = 1.0
"""Seconds without any block after which the reason is looked for on the way, not in the blocks."""
ASKED_WITHIN: Final = 5.0
"""Seconds without a request after which the inverter counts as not asking."""
SERVED_WITHIN: Final = 1.0
"""A refusal counts once no data was given for this long before it; an odd range between others does not."""

State = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class UnitView:
    """What is known about one unit at one moment. Times in seconds of CLOCK_BOOTTIME, None = never."""

    line: str
    unit: int
    meter: str
    topic: str
    """Where the meter's topics begin, as `ksem/main`."""
    enabled: bool
    port_up: bool
    port_reasons: tuple[Reason, ...]
    broker_up: bool
    broker_reasons: tuple[Reason, ...]
    meter_online: bool | None
    fresh_since: float | None
    """Since when the vital data has been fresh without a break; None = it is not."""
    last_heard: float | None
    last_block: float | None
    undated: bool
    """Blocks come, of a publisher that has answered no ping."""
    last_request: float | None
    last_data: float | None
    foreign_or_noise: int
    listening_since: float = -inf
    """Since when a request could have been heard: the port is open, the process did not stand still."""
    port: str = ""
    unsent_since: float | None = None
    """Since when no answer has left the port, though some were due."""
    bad_mac: MacFault | None = None
    """What was wrong with the newest message whose code did not fit, lately."""
    has_key: bool = False
    silenced: str = ""
    """What was wrong with an answer that the unit gave; it gives none since."""
    stay: float = 0.0
    refuses_until: float = -inf
    """Until when data is refused, fresh or not, because live data had to be refused before (`stay`)."""
    withheld: bool = False
    """A drill withholds data from the inverter."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` = the inverter asks and gets data; `degraded` = it could have data and does not ask; `down` = it can't."""

    state: State
    reasons: tuple[Reason, ...]
    waiting: bool = False
    """It is too early to tell: nothing to report to anybody yet."""

    @property
    def why(self) -> str:
        """The sentences of the reasons."""
        return sentence(self.reasons)

    @property
    def is_served(self) -> bool:
        """Whether the inverter has asked within 5 s and gets data: what the node's status topic means."""
        return self.state == "ok"


OK: Final = Verdict("ok", (Reason.of("inverter-served"),))


def judge(view: UnitView, now: float) -> Verdict:
    """Name the first thing that keeps data from the inverter, and the remedy."""
    here = {"unit": view.unit, "line": view.line}
    if not view.enabled:
        return Verdict("degraded", (Reason.of("unit-off", **here),))
    if view.silenced:
        return Verdict("down", (Reason.of("unit-silenced", **here, error=view.silenced),))
    if not view.port_up:
        return Verdict("down", (Reason.of("unit-has-no-port", **here), *view.port_reasons))
    if view.withheld:
        return Verdict("degraded", (Reason.of("unit-drill", **here),))
    if _is_stuck(view, now):
        return Verdict("down", (Reason.of("port-stuck", **here, port=view.port),))
    if view.fresh_since is None:
        return Verdict("down", _why_no_data(view, now))
    if now < view.refuses_until:
        return Verdict("down", (Reason.of("unit-stays", **here, stay=f"{view.stay:g}"),))
    if view.last_request is None or now - view.last_request > ASKED_WITHIN:
        if now - view.listening_since <= ASKED_WITHIN:
            return Verdict("degraded", (Reason.of("inverter-awaited", **here),), waiting=True)
        return Verdict("degraded", (_why_not_asked(view),))
    if view.last_request - max(view.fresh_since, view.last_data or view.fresh_since) > SERVED_WITHIN:
        return Verdict("degraded", (Reason.of("requests-refused", **here),))
    return OK


def _is_stuck(view: UnitView, now: float) -> bool:
    """The inverter asks, and for a while no answer has left the port."""
    if view.unsent_since is None or view.last_request is None or now - view.last_request > ASKED_WITHIN:
        return False
    return now - view.unsent_since > SERVED_WITHIN


def _why_no_data(view: UnitView, now: float) -> tuple[Reason, ...]:
    here = {"unit": view.unit, "line": view.line}
    if not view.broker_up:
        return (Reason.of("node-without-broker", **here), *view.broker_reasons)
    meter = {**here, "meter": view.meter}
    if view.last_heard is None:
        return (Reason.of("meter-unknown", **meter, topic=view.topic),)
    if view.meter_online is False:
        return (Reason.of("meter-offline", **meter),)
    if view.bad_mac is not None:
        return (why_refused(view.meter, view.bad_mac, has_key=view.has_key),)
    if view.last_block is None or now - view.last_block > BLOCK_WITHIN:
        return (Reason.of("blocks-missing", **meter, topic=view.topic),)
    if view.undated:
        return (Reason.of("blocks-undated", **meter, topic=view.topic),)
    return (Reason.of("blocks-too-old", **meter),)


def why_refused(meter: str, fault: MacFault, *, has_key: bool) -> Reason:
    """Name what is wrong with messages about a meter whose code does not fit, and the remedy."""
    if fault is MacFault.MISSING:
        return Reason.of("mac-missing", meter=meter)
    if fault is MacFault.KEYLESS:
        return Reason.of("mac-without-key", meter=meter)
    return Reason.of("mac-of-another-key" if has_key else "mac-of-unknown-key", meter=meter)


def _why_not_asked(view: UnitView) -> Reason:
    here = {"unit": view.unit, "line": view.line}
    if view.last_request is not None:
        return Reason.of("inverter-stopped", **here)
    return Reason.of("inverter-unreadable" if view.foreign_or_noise else "inverter-silent", **here)
