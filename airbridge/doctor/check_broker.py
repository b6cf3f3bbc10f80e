"""Checks the broker: what one login received from it, and whether the login may do what its half needs [core].

`probes` lists the messages that show what a role may do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, TypeVar

from airbridge.doctor.facts import Facts, Finding, LoginFacts, MeterSeen, NodeSeen, Probe, Role
from ksem_contract.block_message import BlockMessage, Pong
from ksem_contract.health import MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import ParsedTopic, Topics
from service_runtime.mqtt_session import Incoming

_FAMILIES = {
    "status": "{}/+/status",
    "health": "{}/+/health",
    "block": "{}/+/block/+",
    "node_status": "{}/rtu/+/status",
    "node_health": "{}/rtu/+/health",
    "node_requests": "{}/rtu/+/requests",
}


S = TypeVar("S", MeterSeen, NodeSeen)


class Seen:
    """Meters and nodes as they show themselves."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.meters: dict[str, MeterSeen] = {}
        self.nodes: dict[str, NodeSeen] = {}
        self.blocks_from: set[str] = set()
        self.live_families: set[str] = set()
        self.retained: dict[str, bytes] = {}
        """The newest payload on each topic of the contract, for a bundle."""
        self._pings: dict[str, float] = {}

    @property
    def seen(self) -> set[str]:
        """Meters of which any message arrived."""
        return set(self.meters)

    def sent_ping(self, nonce: str, at: float) -> None:
        """A ping goes out now."""
        self._pings[nonce] = at

    def take(self, message: Incoming, wall: datetime) -> None:
        """One message. `wall` is the wall clock, for the difference between hosts."""
        topic = self.topics.parse(message.topic)
        if topic is None or not message.payload:
            return
        if topic.kind != "pong":
            self.retained[message.topic] = message.payload
        if not message.retained and topic.kind in _FAMILIES:
            self.live_families.add(_FAMILIES[topic.kind].format(self.topics.prefix))
        if topic.node is not None and topic.meter is None:
            self._node(topic.node, topic, message)
        elif topic.meter is not None:
            self._meter(topic.meter, topic, message, wall)

    def _meter(self, name: str, topic: ParsedTopic, message: Incoming, wall: datetime) -> None:
        known = self.meters.get(name) or MeterSeen(name)
        live = not message.retained
        try:
            if topic.kind == "status":
                status = message.payload.decode("ascii", "replace")
                # `offline` may be the broker's word: the last will of a publisher that is gone.
                known = replace(known, status=status, alive=known.alive or (live and status == "online"))
            elif topic.kind == "health":
                known = replace(known, health=MeterHealth.decode(message.payload), alive=known.alive or live)
            elif topic.kind == "block":
                block = BlockMessage.decode(message.payload)
                self.blocks_from.add(name)
                known = replace(known, alive=known.alive or live)
                if live and topic.name == "live":
                    known = replace(known, clock_ahead_s=(datetime.fromisoformat(block.time) - wall).total_seconds())
            elif topic.kind == "pong":
                sent = self._pings.get(Pong.decode(message.payload).nonce)
                if sent is not None:
                    known = replace(known, alive=True, echo_ms=round(1000 * (message.received - sent), 1))
        except InvalidMessage as bad:
            known = replace(known, unreadable=f"{message.topic}: {bad}")
        self.meters[name] = known

    def _node(self, name: str, topic: ParsedTopic, message: Incoming) -> None:
        known = self.nodes.get(name) or NodeSeen(name)
        live = not message.retained
        try:
            if topic.kind == "node_status":
                status = message.payload.decode("ascii", "replace")
                known = replace(known, status=status, alive=known.alive or (live and status == "online"))
            elif topic.kind == "node_health":
                known = replace(known, health=NodeHealth.decode(message.payload), alive=known.alive or live)
            elif topic.kind == "node_requests":
                known = replace(known, requests=RequestsMessage.decode(message.payload), alive=known.alive or live)
        except InvalidMessage as bad:
            known = replace(known, unreadable=f"{message.topic}: {bad}")
        self.nodes[name] = known


def merged(parts: Iterable[dict[str, S]]) -> tuple[S, ...]:
    """What several logins received of each meter or node, together, by its name; a later login's facts count first."""
    together: dict[str, S] = {}
    for part in parts:
        for name, one in list(part.items()):  # the broker's thread may add to it meanwhile
            together[name] = replace(together.get(name, one), **_known(one))
    return tuple(together[name] for name in sorted(together))


def _known(one: MeterSeen | NodeSeen) -> dict[str, Any]:
    """The fields that differ from what nothing received would leave."""
    values = {field.name: (getattr(one, field.name), field.default) for field in fields(one)}
    return {name: value for name, (value, default) in values.items() if value != default}


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
