"""Checks the broker, the login, and whether the login may do what its half needs [core].

`probes` lists the messages that show what a role may do.
"""

from collections.abc import Iterator

from airbridge.doctor.facts import Facts, Finding, LoginFacts, Probe, Role
from ksem_contract.topics import Topics

_ACL = "mend the broker's ACL as mosquitto/acl and docs/security.md have it, then reload the broker"


def check_broker(facts: Facts) -> Iterator[Finding]:
    """One line a login, and one for each right that is missing."""
    online = {one.id for one in facts.seen_meters if one.status == "online" or one.alive}
    for login in facts.logins:
        about = f"{login.where} as {login.user or 'nobody'}"
        if not login.up:
            yield from (Finding("broker", about, "wrong", one.text, one.remedy) for one in login.reasons)
            continue
        yield Finding("broker", about, "ok", "reached, logged in")
        missing = [*_missing(login, about), *_no_delivery(login, about, facts.wanted_meters, online)]
        missing += _unanswered(login, about, facts)
        yield from missing
        if not missing and login.role != "other":
            untold = sum(probe.taken is None and probe.came_back is None for probe in login.probes)
            rest = f" ({untold} can't be checked with MQTT 3.1.1)" if untold else ""
            yield Finding("rights", about, "ok", f"may do what the role {login.role} needs{rest}")


def _missing(login: LoginFacts, about: str) -> Iterator[Finding]:
    for probe in login.probes:
        family = probe.family
        if family in login.seen_live or _is_fine(probe):
            continue
        if probe.taken is False:
            text, right = f"the broker refuses what is published on {family}", "write"
        elif probe.came_back is False:
            text = (
                f"what is published on {family} does not come back: the broker grants the subscription and starves it"
            )
            right = "write and read" if probe.taken is None else "read"
        else:
            continue
        remedy = f"let user {login.user or '(none)'} {right} {family}: {_ACL}"
        yield Finding("rights", about, "wrong", text, remedy)


def _is_fine(probe: Probe) -> bool:
    return probe.taken is not False and probe.came_back is not False


def _unanswered(login: LoginFacts, about: str, facts: Facts) -> Iterator[Finding]:
    """Of the inverter's half: the echo, without which no block can be dated."""
    if login.role != "rtu":
        return
    for meter in facts.seen_meters:
        if meter.id in facts.wanted_meters and meter.alive and meter.echo_ms is None:
            family = f"{login.prefix}/+/pong/+"
            text = f"the publisher of meter {meter.id} runs, but no answer to a ping arrives: blocks can't be dated"
            remedy = f"let user {login.user or '(none)'} write {login.prefix}/+/ping/+ and read {family}"
            yield Finding("rights", about, "wrong", text, f"{remedy}, and the publisher's read and write these: {_ACL}")


def _no_delivery(login: LoginFacts, about: str, wanted: tuple[str, ...], online: set[str]) -> Iterator[Finding]:
    """Of the inverter's half: blocks of a publisher that runs do not reach it."""
    if login.role != "rtu":
        return
    for meter in wanted:
        if meter in login.blocks_from or meter not in online:
            continue
        family = f"{login.prefix}/+/block/+"
        text = f"meter {meter} is online, but no block of it is delivered to this login: the subscription is starved"
        yield Finding("rights", about, "wrong", text, f"let user {login.user or '(none)'} read {family}: {_ACL}")


def probes(
    role: Role, topics: Topics, name: str, discovery_prefix: str | None = "homeassistant"
) -> list[tuple[str, str, bool]]:
    """Family, topic, and whether this role receives it, too: empty messages about a meter or node that nobody has.

    They are not retained, and nothing listens to a meter of that name. `discovery_prefix`: None: discovery is off.
    """
    prefix = topics.prefix
    level = f"{discovery_prefix}/device/ksem_{role}"
    discovery = [(f"{level}/+/config", f"{level}/{name}/config", False)] if discovery_prefix is not None else []
    if role == "publisher":
        return [
            (f"{prefix}/+/status", topics.meter_status(name), True),
            (f"{prefix}/+/block/+", topics.meter_block(name, "live"), True),
            (f"{prefix}/+/health", topics.meter_health(name), True),
            (f"{prefix}/+/values", topics.meter_values(name), False),
            (f"{prefix}/+/value/+", topics.meter_value(name, "power"), False),
            (f"{prefix}/+/pong/+", topics.pong(name, name), False),
            *discovery,
        ]
    if role == "rtu":
        return [
            (f"{prefix}/rtu/+/status", topics.node_status(name), True),
            (f"{prefix}/rtu/+/health", topics.node_health(name), True),
            (f"{prefix}/rtu/+/requests", topics.node_requests(name), True),
            (f"{prefix}/+/ping/+", topics.ping(name, name), False),
            *discovery,
        ]
    return []
