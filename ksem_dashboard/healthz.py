"""Whether data flows, for /healthz, the container's health check and systemd's status line [core]."""

from ksem_contract.reasons import sentence

from .faults import find_faults, judge
from .picture import Picture


def health_verdict(picture: Picture, now: float) -> tuple[bool, str]:
    """True only while every meter's fresh data arrives here and every inverter that is known gets data; and why."""
    if not picture.link_up:
        return False, f"no link to the broker: {sentence(picture.link_reasons) or 'not connected yet'}"
    faults = find_faults(picture, now)
    for fault in faults:
        if fault.severity == "bad":
            return False, fault.text
    silent = [meter.meter for meter in picture.meters.values() if not meter.flows(now) and not picture.is_memory(meter)]
    if silent or not picture.meters:
        return False, f"no fresh data yet of meter {', '.join(silent)}" if silent else "no meter has been heard of yet"
    waiting = [node.node for node in picture.nodes.values() if node.status != "online" and not picture.is_memory(node)]
    if waiting:
        return False, f"no inverter gets data yet at RTU server {', '.join(waiting)}"
    return True, judge(picture, faults).text
