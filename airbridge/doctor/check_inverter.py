"""Does the inverter ask, what, and does it get good answers? By the node's health and requests on MQTT [core]."""

from collections.abc import Iterator

from airbridge.doctor.facts import Facts, NodeSeen
from airbridge.doctor.finding import Finding, State
from ksem_contract.health import UnitHealth
from ksem_contract.reasons import find_reason
from ksem_contract.requests import RequestEntry

ASKS_WITHIN_MS = 15_000
"""A health message is up to 10 s old, and an inverter that asks has asked within 5 s before it."""
_SEE_OTHERS = "see the lines about the publisher, its push and the rights"
NOISY = 0.01
"""Bytes of noise a request, above which a line that works deserves a look."""
_WIRING = (
    "check A and B (swap them), GND, 120 ohm at the ends, and that the inverter's energy meter is set to "
    "KOSTAL Smart Energy Meter in its service menu"
)


def check_inverters(facts: Facts) -> Iterator[Finding]:
    """Of each node that is wanted or was heard of."""
    if not any(login.up for login in facts.logins):
        return
    seen = {one.name: one for one in facts.seen_nodes}
    names = dict.fromkeys((*facts.wanted_nodes, *seen))
    if not names:
        remedy = "on the inverter's host: systemctl status rtu-server; or this login may not read it"
        yield Finding("server", "any", "warn", "no RTU server is heard of: no inverter is served", remedy)
    for name in names:
        yield from _check_node(
            name, seen.get(name), elsewhere=bool(facts.wanted_nodes) and name not in facts.wanted_nodes
        )


def _check_node(name: str, node: NodeSeen | None, *, elsewhere: bool) -> Iterator[Finding]:
    """`elsewhere`: this host's settings name another node, so this one may be one that was given up."""
    start = f"on the host {name}: systemctl status rtu-server; journalctl -u rtu-server -e"
    if node is None or (node.status is None and node.health is None):
        yield Finding("server", name, "wrong", "nothing is heard of this RTU server", start)
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
    if ago is None or ago > ASKS_WITHIN_MS:
        yield _not_asked(about, unit)
        return
    if unit.state == "ok":
        yield Finding("inverter", about, "ok", _well(unit, requests))
    else:
        shares = ", ".join(f"{count} x {reason}" for reason, count in unit.refused.items()) or "nothing good"
        for reason in unit.reasons:
            text = f"asks, and gets no good data ({shares}): {reason.text}"
            yield Finding("inverter", about, "wrong", text, reason.remedy or _SEE_OTHERS)
    if unit.requests and unit.noise > NOISY * unit.requests:
        text = f"{unit.noise} bytes of noise among {unit.requests} requests"
        yield Finding("inverter", about, "warn", text, "check GND, shielding and the 120 ohm at both ends")


def _not_asked(about: str, unit: UnitHealth) -> Finding:
    if not unit.requests and unit.foreign:
        text = f"{unit.foreign} requests on the line were for another unit, none for unit {unit.unit}: wrong unit id"
        remedy = "set id in [[line.unit]] to the unit that is asked (a Plenticore: 1); `airbridge capture bus` shows it"
        return Finding("inverter", about, "wrong", text, remedy)
    if not unit.requests and unit.noise:
        text = f"{unit.noise} bytes came and no request can be read from them: wrong baud rate, parity or stop bits"
        remedy = f'set baudrate = 38400, parity = "N", stopbits = 2 in [[line]] for a Plenticore; else {_WIRING}'
        return Finding("inverter", about, "wrong", text, remedy)
    how = "has stopped asking" if unit.requests else "is silent: it has never asked"
    return Finding("inverter", about, "wrong", f"the inverter {how}", _WIRING)


def _well(unit: UnitHealth, requests: tuple[RequestEntry, ...]) -> str:
    share = 100 * unit.data / unit.requests if unit.requests else 0.0
    rate = sum(one.per_s for one in requests)
    asked = ", ".join(_range(one) for one in requests[:4])
    parts = [f"asks {rate:.1f} times a second" if requests else "asks", f"{share:.1f} % answered with data"]
    if unit.age_ms.p50 is not None:
        parts.append(f"values {unit.age_ms.p50:.0f} ms old (longest {unit.age_ms.max:.0f})")
    if unit.turnaround_ms.p50 is not None:
        parts.append(f"answered in {unit.turnaround_ms.p50:.1f} ms")
    return ", ".join(parts) + (f"; registers {asked}" if asked else "")


def _range(request: RequestEntry) -> str:
    return f"{request.start}-{request.start + request.count - 1}" if request.count > 1 else f"{request.start}"
