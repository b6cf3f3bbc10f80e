"""Whether the inverter asks and gets data, in one word and one sentence a user can act on."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

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
    port_why: str
    broker_up: bool
    broker_why: str
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
    withheld: bool = False
    """A drill withholds data from the inverter."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` = the inverter asks and gets data; `degraded` = it could have data and does not ask; `down` = it can't."""

    state: State
    why: str
    waiting: bool = False
    """It is too early to say: nothing to tell anybody yet."""

    @property
    def is_served(self) -> bool:
        """Whether the inverter has asked within 5 s and gets data: what the node's status topic means."""
        return self.state == "ok"


_WHY_REFUSED: Final = (
    "the inverter asks only for ranges that the meter does not have, or whose block is old or missing (see requests)"
)
_REPLUG: Final = "its output is stuck; plug the adapter out and in again, or try another one"
OK: Final = Verdict("ok", "")


def judge(view: UnitView, now: float) -> Verdict:
    """Name the first thing that keeps data from the inverter, and the remedy."""
    where = f"unit {view.unit} on {view.line}"
    if not view.enabled:
        return Verdict("degraded", f"{where}: switched off by enabled = false")
    if not view.port_up:
        return Verdict("down", f"{where}: {view.port_why}")
    if view.withheld:
        return Verdict("degraded", f"{where}: data is withheld for a drill (airbridge drill); it ends by itself")
    if _is_stuck(view, now):
        return Verdict("down", f"{where}: {view.port} takes no answers: {_REPLUG}")
    if view.fresh_since is None:
        return Verdict("down", f"{where}: {_why_no_data(view, now)}")
    if view.last_request is None or now - view.last_request > ASKED_WITHIN:
        if now - view.listening_since <= ASKED_WITHIN:
            return Verdict("degraded", f"{where}: waits for the inverter to ask", waiting=True)
        return Verdict("degraded", f"{where}: {_why_not_asked(view)}")
    if view.last_request - max(view.fresh_since, view.last_data or view.fresh_since) > SERVED_WITHIN:
        return Verdict("degraded", f"{where}: {_WHY_REFUSED}")
    return OK


def _is_stuck(view: UnitView, now: float) -> bool:
    """The inverter asks, and for a while no answer has left the port."""
    if view.unsent_since is None or view.last_request is None or now - view.last_request > ASKED_WITHIN:
        return False
    return now - view.unsent_since > SERVED_WITHIN


def _why_no_data(view: UnitView, now: float) -> str:
    meter, topic = view.meter, view.topic
    if not view.broker_up:
        return f"no link to the broker ({view.broker_why})"
    if view.last_heard is None:
        return (
            f"nothing was heard about meter {meter}: no publisher has run yet, its id is another one,"
            f" or the broker's ACL keeps {topic}/# from this user"
        )
    if view.meter_online is False:
        return f"the publisher of meter {meter} says offline: its live data does not flow (see its health)"
    if view.last_block is None or now - view.last_block > BLOCK_WITHIN:
        return (
            f"no block of meter {meter} arrives, and its publisher did not say offline: the network or the publisher"
            f" has stalled, or the broker's ACL keeps {topic}/block/+ from this user"
        )
    if view.undated:
        return (
            f"the publisher of meter {meter} answers no ping, so its blocks can't be dated: the broker's ACL must let"
            f" this user write {topic}/ping/+ and read {topic}/pong/+, and the publisher's read and write these"
        )
    return f"the blocks of meter {meter} arrive too old: the way from its publisher is slow, or a live block is missing"


def _why_not_asked(view: UnitView) -> str:
    remedy = "check wiring A/B, the energy meter set in the inverter's menu, and unit id"
    if view.last_request is not None:
        return f"the inverter has stopped asking; {remedy}"
    if view.foreign_or_noise:
        return f"no request came, but other traffic did: check baudrate, parity, stopbits, unit id; else {remedy}"
    return f"the inverter has never asked; {remedy}"
