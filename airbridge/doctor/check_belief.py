"""Checks whether the inverter believes what was measured, by what its own Modbus port shows [core]."""

from collections.abc import Iterator
from typing import Final

from airbridge.doctor.facts import Facts, Finding, InverterFacts
from ksem_contract.inverter_health import Delay
from ksem_contract.reasons import find_reason, without

CHECK: Final = "belief"
_NOT_COMPARED: Final = "inverter-no-comparison"
_NEUTRAL: Final = ("inverter-agrees", "inverter-comparing", _NOT_COMPARED)
_BROKER: Final = "give --broker, --username and --password-file of a login that may read the meter's values"


def check_belief(facts: Facts) -> Iterator[Finding]:
    """Of the inverter that the command line names."""
    inverter = facts.inverter
    if inverter is None:
        return
    about = f"{inverter.place.host}:{inverter.place.port}"
    if inverter.believed_w is not None:
        yield Finding(CHECK, about, "ok", _believes(inverter))
    for reason in without(inverter.reasons, *_NEUTRAL):
        yield Finding(CHECK, about, "warn" if inverter.state == "degraded" else "wrong", reason.text, reason.remedy)
    if inverter.believed_w is None:
        return
    if inverter.served_w is None or find_reason(inverter.reasons, _NOT_COMPARED):
        yield Finding(CHECK, about, "note", "nothing was measured meanwhile to compare with", _BROKER)
    elif find_reason(inverter.reasons, "inverter-agrees"):
        yield Finding(CHECK, about, "ok", "it believes what was measured")


def _believes(inverter: InverterFacts) -> str:
    parts = [f"believes {inverter.believed_w:.0f} W"]
    if inverter.served_w is not None:
        parts.append(f"{inverter.served_w:.0f} W were measured last")
    if inverter.delay.p50_ms is not None:
        parts.append(_behind(inverter.delay))
    return ", ".join(parts) + f" (byte order {inverter.order})"


def _behind(delay: Delay) -> str:
    seconds = (delay.p50_ms or 0.0) / 1000
    changes = f"{delay.changes} change{'s' * (delay.changes != 1)}"
    return f"{seconds:.1f} s behind the meter (from {changes} of power, each to {delay.within_ms or 0:.0f} ms)"
