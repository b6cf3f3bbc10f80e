"""Whether the inverter asks and gets data, in one word and one sentence a user can act on."""

from dataclasses import dataclass
from typing import Final, Literal

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
    enabled: bool
    port_up: bool
    port_why: str
    broker_up: bool
    broker_why: str
    meter_online: bool | None
    data_fresh: bool
    last_heard: float | None
    last_request: float | None
    last_data: float | None
    foreign_or_noise: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` = the inverter asks and gets data; `degraded` = it could have data and does not ask; `down` = it can't."""

    state: State
    why: str


OK: Final = Verdict("ok", "")


def judge(view: UnitView, now: float) -> Verdict:
    """Name the first thing that keeps data from the inverter, and the remedy."""
    where = f"unit {view.unit} on {view.line}"
    if not view.enabled:
        return Verdict("degraded", f"{where}: switched off by enabled = false")
    if not view.port_up:
        return Verdict("down", f"{where}: {view.port_why}")
    if not view.data_fresh:
        return Verdict("down", f"{where}: {_why_no_data(view)}")
    if view.last_request is None or now - view.last_request > ASKED_WITHIN:
        return Verdict("degraded", f"{where}: {_why_not_asked(view)}")
    if view.last_data is None or view.last_request - view.last_data > SERVED_WITHIN:
        return Verdict("degraded", f"{where}: the inverter asks only for ranges that the meter does not have")
    return OK


def is_served(view: UnitView, now: float) -> bool:
    """Tell whether the inverter has asked within 5 s and gets data: what the node's status topic means."""
    return judge(view, now).state == "ok"


def _why_no_data(view: UnitView) -> str:
    meter = view.meter
    if not view.broker_up:
        return f"no link to the broker ({view.broker_why})"
    if view.last_heard is None:
        return (
            f"nothing was heard about meter {meter}: no publisher has run yet, its id is another one,"
            f" or the broker's ACL keeps ksem/{meter}/# from this user"
        )
    if view.meter_online is False:
        return f"the publisher of meter {meter} says offline: its live data does not flow (see its health)"
    return f"the data of meter {meter} is old or was never dated: no live block or no echo comes from its publisher"


def _why_not_asked(view: UnitView) -> str:
    remedy = "check wiring A/B, the energy meter set in the inverter's menu, and unit id"
    if view.last_request is not None:
        return f"the inverter has stopped asking; {remedy}"
    if view.foreign_or_noise:
        return f"no request came, but other traffic did: check baudrate, parity, stopbits, unit id; else {remedy}"
    return f"the inverter has never asked; {remedy}"
