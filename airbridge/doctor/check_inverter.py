"""Checks the inverter's end: its serial port, its requests, and whether it believes what was measured [core]."""

from collections.abc import Iterator
from typing import Final

from airbridge.doctor.facts import Facts, Finding, InverterFacts, NodeSeen, PortFacts, State
from ksem_contract.health import RequestEntry, UnitHealth
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


REQUESTED_WITHIN_MS = 15_000
"""A health message is up to 10 s old, and an active inverter sent a request within 5 s before it."""
_SEE_OTHERS_INVERTER = "see the lines about the publisher, its push and the rights"
NOISY = 0.01
"""Bytes of noise a request, above which a line that works deserves a look."""
_WIRING = (
    "check A and B (swap them), GND, 120 ohm at the ends, and that the inverter's energy meter is set to "
    "KOSTAL Smart Energy Meter in its service menu"
)


def check_inverters(facts: Facts) -> Iterator[Finding]:
    """Findings on each node that is wanted or was seen."""
    if not any(login.up for login in facts.logins):
        return
    seen = {one.name: one for one in facts.seen_nodes}
    names = dict.fromkeys((*facts.wanted_nodes, *seen))
    if not names:
        remedy = "on the inverter's host: systemctl status rtu-server; or this login may not read it"
        yield Finding("server", "any", "warn", "no RTU server is seen: no inverter is served", remedy)
    for name in names:
        yield from _check_node(
            name, seen.get(name), elsewhere=bool(facts.wanted_nodes) and name not in facts.wanted_nodes
        )


def _check_node(name: str, node: NodeSeen | None, *, elsewhere: bool) -> Iterator[Finding]:
    """`elsewhere`: this host's settings name another node, so this one may be one that was given up."""
    start = f"on the host {name}: systemctl status rtu-server; journalctl -u rtu-server -e"
    if node is None or (node.status is None and node.health is None):
        yield Finding("server", name, "wrong", "nothing is seen of this RTU server", start)
        return
    if node.unreadable:
        yield Finding("server", name, "warn", f"its health can't be read: {node.unreadable}", "upgrade both halves")
    health = node.health
    if not node.alive and node.status != "online":
        last = f"; its last word: {health.why}" if health and health.why else ""
        forget = "; is it gone for good: mosquitto_pub -r -n on its retained topics" if elsewhere else ""
        state: State = "note" if elsewhere else "wrong"
        yield Finding("server", name, state, f"the RTU server {name} does not run{last}", start + forget)
        return
    if health is None:
        yield Finding("server", name, "note", f"runs ({node.status}); its health is not shown to this login")
        return
    yield Finding("server", name, "ok", "runs" + (f": {health.why}" if health.why and node.status == "online" else ""))
    requests = node.requests.requests if node.requests else ()
    for unit in health.units:
        mine = tuple(one for one in requests if (one.line, one.unit) == (unit.line, unit.unit))
        yield from _check_unit(f"{name}, {unit.line}, unit {unit.unit}", unit, mine)


def _check_unit(about: str, unit: UnitHealth, requests: tuple[RequestEntry, ...]) -> Iterator[Finding]:
    if unit.port.state != "up":
        for reason in unit.port.reasons:
            yield Finding("inverter", about, "wrong", f"the port is not open: {reason.text}", reason.remedy)
        return
    if find_reason(unit.reasons, "unit-off"):
        yield Finding("inverter", about, "note", "switched off by enabled = false: the inverter is never answered")
        return
    ago = unit.last_request_ago_ms
    if ago is None or ago > REQUESTED_WITHIN_MS:
        yield _not_requested(about, unit)
        return
    if unit.state == "ok":
        yield Finding("inverter", about, "ok", _well(unit, requests))
    else:
        shares = ", ".join(f"{count} x {reason}" for reason, count in unit.refused.items()) or "nothing good"
        for reason in unit.reasons:
            text = f"sends requests and gets no good data ({shares}): {reason.text}"
            yield Finding("inverter", about, "wrong", text, reason.remedy or _SEE_OTHERS_INVERTER)
    if unit.requests and unit.noise > NOISY * unit.requests:
        text = f"{unit.noise} bytes of noise among {unit.requests} requests"
        yield Finding("inverter", about, "warn", text, "check GND, shielding and the 120 ohm at both ends")


def _not_requested(about: str, unit: UnitHealth) -> Finding:
    if not unit.requests and unit.foreign:
        text = f"{unit.foreign} requests on the line were for another unit, none for unit {unit.unit}: wrong unit id"
        remedy = "set id in [[line.unit]] to the requested unit (a Plenticore: 1); `airbridge capture bus` shows it"
        return Finding("inverter", about, "wrong", text, remedy)
    if not unit.requests and unit.noise:
        text = f"{unit.noise} bytes came and no request can be read from them: wrong baud rate, parity or stop bits"
        remedy = f'set baudrate = 38400, parity = "N", stopbits = 2 in [[line]] for a Plenticore; else {_WIRING}'
        return Finding("inverter", about, "wrong", text, remedy)
    how = "has stopped sending requests" if unit.requests else "is silent: it has never sent a request"
    return Finding("inverter", about, "wrong", f"the inverter {how}", _WIRING)


def _well(unit: UnitHealth, requests: tuple[RequestEntry, ...]) -> str:
    share = 100 * unit.data / unit.requests if unit.requests else 0.0
    rate = sum(one.per_s for one in requests)
    requested = ", ".join(_range(one) for one in requests[:4])
    parts = [f"{rate:.1f} requests a second" if requests else "sends requests", f"{share:.1f} % answered with data"]
    if unit.age_ms.p50 is not None:
        parts.append(f"values {unit.age_ms.p50:.0f} ms old (longest {unit.age_ms.max:.0f})")
    if unit.turnaround_ms.p50 is not None:
        parts.append(f"answered in {unit.turnaround_ms.p50:.1f} ms")
    return ", ".join(parts) + (f"; registers {requested}" if requested else "")


def _range(request: RequestEntry) -> str:
    return f"{request.start}-{request.start + request.count - 1}" if request.count > 1 else f"{request.start}"


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
