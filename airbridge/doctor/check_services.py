"""Checks what the services publish: publisher and push by their health, the versions, and the hosts' clocks [core]."""

from collections.abc import Iterator

from airbridge.doctor.check_meter import REFUSED_REMEDY
from airbridge.doctor.facts import Facts, Finding, MeterSeen, State
from ksem_contract.health import MeterHealth
from ksem_contract.reasons import find_reason, sentence, without

_REFUSED = ("push-refused", "push-refused-more", "push-ambiguous")
_MENU = "in the meter's web page, Modbus settings: the slave list, the register groups and the interval"
_SEE_OTHERS = "see the lines about the meter and its push"
_START = "on the meter's host: systemctl status ksem-publisher; journalctl -u ksem-publisher -e"


def check_publishers(facts: Facts) -> Iterator[Finding]:
    """Findings on each meter that is wanted or was seen."""
    if not any(login.up for login in facts.logins):
        return
    seen = {one.id: one for one in facts.seen_meters}
    if not facts.wanted_meters and not seen:
        prefixes = ", ".join(sorted({f"{login.prefix}/" for login in facts.logins if login.up}))
        text = f"no publisher is seen below {prefixes}"
        remedy = (
            f"correct the prefix, or let this login read there; {_START}. Some brokers (RabbitMQ) give what is retained"
            " to exact topics alone: run the doctor on a host with settings, which name the meter"
        )
        yield Finding("publisher", "any", "wrong", text, remedy)
    for meter in dict.fromkeys((*facts.wanted_meters, *seen)):
        one = seen.get(meter)
        if one is None or (one.status is None and one.health is None and not one.alive):
            others = ", ".join(sorted(set(seen) - {meter})) or "none"
            yield Finding(
                "publisher",
                meter,
                "wrong",
                f"nothing is seen of a publisher for meter {meter} (others seen: {others})",
                f"start it, or correct the meter's id on one side, or the login's rights; {_START}",
            )
        else:
            yield from _check_one(one, facts)


def _check_one(seen: MeterSeen, facts: Facts) -> Iterator[Finding]:
    health = seen.health
    if seen.unreadable:
        yield Finding(
            "publisher", seen.id, "warn", f"its health can't be read: {seen.unreadable}", "upgrade both halves"
        )
    if not seen.alive and seen.status != "online":
        last = f"; its last word: {health.why}" if health else ""
        # Where the settings name other meters, this may be one that was given up, and the broker keeps its last words.
        elsewhere = bool(facts.wanted_meters) and seen.id not in facts.wanted_meters
        state: State = "note" if elsewhere else "wrong"
        yield Finding("publisher", seen.id, state, f"the publisher of meter {seen.id} does not run{last}", _START)
        return
    if health is None:
        text = f"it runs, live data {'flows' if seen.status == 'online' else 'does not flow'}; its health is not shown"
        remedy = f"let this login read {facts.logins[0].prefix}/+/health (the file mosquitto/acl has it)"
        yield Finding("publisher", seen.id, "warn" if seen.status == "online" else "wrong", text, remedy)
        return
    if health.state == "down":
        for reason in health.reasons:
            yield Finding("publisher", seen.id, "wrong", reason.text, reason.remedy or _SEE_OTHERS)
    elif health.poll.link.state != "up":
        refused = any(flag.name == "refused-device" for flag in health.checks)
        for reason in health.poll.link.reasons:
            remedy = "see the line about the refused block" if refused else reason.remedy or _START
            yield Finding("publisher", seen.id, "wrong", f"polls are not answered: {reason.text}", remedy)
    else:
        live = health.blocks.get("live")
        source = f" {live.source}ed, {live.per_s:g} a second" if live and live.source in ("push", "poll") else ""
        yield Finding("publisher", seen.id, "ok", f"runs, live data flows:{source or ' yes'}")
    if health.publishers:
        text = f"a second publisher runs for meter {seen.id} (sessions {', '.join(health.publishers)})"
        yield Finding("publisher", seen.id, "wrong", text, "stop one of the two, or give its meter another id")
    yield from _flags(seen.id, health)
    yield from check_push(seen.id, health, facts)


def _flags(meter: str, health: MeterHealth) -> Iterator[Finding]:
    for flag in health.checks:
        reason = flag.reason
        if reason.code == "broker-delivers-nothing":
            yield Finding("rights", meter, "wrong", reason.text, reason.remedy)
        elif flag.name == "refused-device":
            text = f"{reason.text}; an inverter that starts requests these first"
            yield Finding("block", meter, "wrong", text, REFUSED_REMEDY)
        elif flag.name.startswith("refused-"):
            yield Finding("block", meter, "warn", reason.text, REFUSED_REMEDY)
        elif reason.code not in _REFUSED:
            yield Finding("values", meter, "warn", reason.text, reason.remedy)


def check_push(meter: str, health: MeterHealth, facts: Facts) -> Iterator[Finding]:
    """The push: from whom, how often, which groups; what is missing."""
    push = health.push
    refused = [flag.reason for flag in health.checks if flag.reason.code in _REFUSED]
    own = next((one.own_address for one in facts.meters if one.place.id == meter and one.own_address), None)
    target = f"address {own or 'of the host that runs ksem-publisher'} and port {facts.push_port if own else 5020}"
    if push.link.state == "up":
        groups = ", ".join(map(str, push.groups))
        missing = sentence(without(push.link.reasons, "push-arrives"))
        text = f"arrives from {push.peer} every {push.period_ms} ms, registers {groups}"
        yield Finding("push", meter, "ok", text + (f"; {missing}" if missing else ""))
    elif find_reason(push.link.reasons, "push-off"):
        yield Finding("push", meter, "note", "switched off in [push]: the meter is polled")
    elif refused:
        for reason in refused:
            yield Finding("push", meter, "wrong", reason.text, reason.remedy)
        return
    elif push.link.state == "waiting":
        yield Finding(
            "push",
            meter,
            "wrong",
            "no push has arrived yet; the meter is polled instead, which makes the values a little older",
            f"in the meter's web page, Modbus settings, TCP master: add a slave with {target}; mind the firewall",
        )
    else:
        for reason in push.link.reasons:
            yield Finding("push", meter, "wrong", reason.text, reason.remedy or _MENU)
    for reason in refused:
        yield Finding("push", meter, "note", str(reason))


def check_listened(facts: Facts) -> Iterator[Finding]:
    """Findings from the doctor's own push listener."""
    received = facts.listened
    if received is None:
        return
    if received.error:
        yield Finding("push", received.where, "note", received.error)
        return
    if not received.peers:
        text = f"nobody pushed to {received.where} within {received.seconds:g} s"
        remedy = "in the meter's web page, TCP master: add this host's address and that port; look at the firewall"
        yield Finding("push", received.where, "wrong", text, remedy)
    meters = {one.place.host for one in facts.meters}
    for peer, pushed in received.peers.items():
        period = f" every {pushed.period_ms} ms" if pushed.period_ms else ""
        text = f"{peer} pushes{period}: registers {', '.join(pushed.groups)} ({pushed.writes} writes)"
        foreign = bool(meters) and peer not in meters
        remedy = f'it is not the meter\'s address: if it is its, set push_from = ["{peer}"]' if foreign else ""
        yield Finding("push", peer, "warn" if foreign else "ok", text, remedy)


def check_versions(facts: Facts) -> Iterator[Finding]:
    """One line: all the same, or who has which."""
    versions = {f"publisher of {one.id}": one.health.version for one in facts.seen_meters if one.health}
    versions |= {f"RTU server {one.name}": one.health.version for one in facts.seen_nodes if one.health}
    versions["this command"] = facts.version
    if len(versions) == 1:
        yield Finding("versions", "all", "note", f"{facts.version} here; no service of ours was seen")
    elif len(set(versions.values())) == 1:
        yield Finding("versions", "all", "ok", f"{facts.version} everywhere ({len(versions)} seen)")
    else:
        listed = ", ".join(f"{who} {version}" for who, version in versions.items())
        yield Finding("versions", "all", "warn", f"they differ: {listed}", "upgrade all to one version, in any order")


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """For people who compare logs: ages do not depend on it."""
    for meter in facts.seen_meters:
        ahead = meter.clock_ahead_s
        if ahead is None:
            continue
        if abs(ahead) < 1.0:
            yield Finding("clocks", meter.id, "ok", "the publisher's clock and this host's agree")
        else:
            text = f"the publisher's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host's"
            yield Finding("clocks", meter.id, "note", f"{text}; logs show it, ages do not depend on it")
