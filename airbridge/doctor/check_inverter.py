"""Checks the inverter's end: its serial port, and whether the inverter believes what was measured [core]."""

from collections.abc import Iterator
from typing import Final

from airbridge.doctor.facts import Facts, Finding, InverterFacts, PortFacts
from ksem_contract.inverter_health import Delay
from ksem_contract.reasons import find_reason, without

SERVICE_GROUP = "dialout"
"""What the service's user belongs to (systemd's SupplementaryGroups, the container's group)."""


def check_ports(facts: Facts) -> Iterator[Finding]:
    """Of each serial port."""
    for port in facts.ports:
        yield from _check_one(port)


def _check_one(port: PortFacts) -> Iterator[Finding]:
    path = port.path
    if not port.there:
        there = f"there are: {', '.join(port.others)}" if port.others else "no serial adapter is there"
        yield Finding(
            "port",
            path,
            "wrong",
            f"no such port; {there}",
            "plug the adapter in (dmesg shows what the kernel makes of it), or correct [[line]] port",
        )
        return
    if not port.is_device:
        yield Finding("port", path, "wrong", "it is no serial port", "name the adapter's device in [[line]] port")
        return
    ours = [holder for holder in port.holders if holder.is_ours]
    foreign = [holder for holder in port.holders if not holder.is_ours]
    for holder in foreign:
        text = f"held by another program: {holder.command} (process {holder.pid})"
        yield Finding("port", path, "wrong", text, f"stop that program, or give it another port: kill {holder.pid}")
    if len(ours) > 1:
        pids = ", ".join(str(holder.pid) for holder in ours)
        yield Finding("port", path, "wrong", f"several rtu-servers hold it (processes {pids})", "stop all but one")
    if not foreign and len(ours) == 1:
        yield Finding("port", path, "ok", f"held by rtu-server (process {ours[0].pid}), and by nobody else")
    elif not port.holders:
        yield from _permission(port)
    yield from _comfort(port)


def _permission(port: PortFacts) -> Iterator[Finding]:
    group_may = port.mode & 0o060 == 0o060
    rights = f"{port.mode:03o}, owner {port.owner}, group {port.group}"
    if port.as_root:
        if group_may and port.group == SERVICE_GROUP:
            yield Finding("port", port.path, "ok", "there, free, and open to the group dialout")
            return
        text = f"there and free, but not open to the group {SERVICE_GROUP}, in which rtu-server's user is ({rights})"
        remedy = f"sudo chgrp {SERVICE_GROUP} {port.path}; sudo chmod g+rw {port.path}; for good by a udev rule"
        yield Finding("port", port.path, "wrong", text, remedy)
    elif port.may_open:
        yield Finding("port", port.path, "ok", "there, free, and permitted")
    else:
        text = f"permission denied for user {port.user} ({rights})"
        group = port.group if group_may and port.group != "root" else SERVICE_GROUP
        remedy = f"sudo usermod -aG {group} {port.user}, then log in again; or run the doctor with sudo"
        yield Finding("port", port.path, "wrong", text, remedy)


def _comfort(port: PortFacts) -> Iterator[Finding]:
    if port.latency_ms is not None and port.latency_ms > 1:
        yield Finding(
            "port",
            port.path,
            "warn",
            f"the adapter hands bytes over every {port.latency_ms} ms (FTDI latency timer), which delays every answer",
            "leave low_latency = true in [[line]]: rtu-server then sets it to 1 ms while it holds the port",
        )
    if port.stable_path and not port.path.startswith("/dev/serial/by-"):
        text = "its name may change when something is plugged in or out"
        yield Finding("port", port.path, "warn", text, f'set [[line]] port = "{port.stable_path}"')


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
