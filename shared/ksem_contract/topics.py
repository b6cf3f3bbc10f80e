"""The topics of the contract, written and read, and the names that are part of a topic [core]."""

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ksem_contract.blocks import NAMED_BLOCKS

Kind = Literal[
    "status",
    "block",
    "health",
    "values",
    "value",
    "ping",
    "pong",
    "node_status",
    "node_health",
    "node_requests",
    "inverter_status",
    "inverter_health",
    "inverter_values",
]

_METER_KINDS: Final[dict[str, Kind]] = {"status": "status", "health": "health", "values": "values"}
_NAMED_KINDS: Final[dict[str, Kind]] = {"block": "block", "value": "value"}
_ECHO_KINDS: Final[dict[str, Kind]] = {"ping": "ping", "pong": "pong"}
_NODE_KINDS: Final[dict[str, Kind]] = {
    "status": "node_status",
    "health": "node_health",
    "requests": "node_requests",
}
_INVERTER_KINDS: Final[dict[str, Kind]] = {
    "status": "inverter_status",
    "health": "inverter_health",
    "values": "inverter_values",
}
_is_prefix = re.compile(r"[^/+#\x00]+(/[^/+#\x00]+)*").fullmatch


class ParsedTopic(NamedTuple):
    """The parts of a topic. `name` is a block's name or a value's key."""

    kind: Kind
    meter: str | None = None
    node: str | None = None
    name: str | None = None
    inverter: str | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics below one prefix, which may have several levels (`site/house/ksem`). ValueError for bad names."""

    prefix: str = "ksem"

    def __post_init__(self) -> None:
        if not _is_prefix(self.prefix) or self.prefix.startswith("$"):
            raise ValueError(f"prefix {self.prefix!r}: levels joined by /, none empty, none with + or #, no leading $")

    def meter_status(self, meter: str) -> str:
        """Retained `online` / `offline`: whether the meter's live data flows."""
        return f"{self.prefix}/{check_meter(meter)}/status"

    def meter_block(self, meter: str, name: str) -> str:
        """One retained register block."""
        return f"{self.prefix}/{check_meter(meter)}/block/{check_name(name, 'block')}"

    def meter_blocks(self, meter: str) -> str:
        """Pattern of all blocks of a meter."""
        return f"{self.prefix}/{check_meter(meter)}/block/+"

    def meter_block_subscriptions(self, meter: str) -> list[str]:
        """Subscriptions to all blocks of a meter, also where a broker sends retained ones to exact topics only."""
        return [*(self.meter_block(meter, name) for name in NAMED_BLOCKS), self.meter_blocks(meter)]

    def meter_health(self, meter: str) -> str:
        """Retained health of a meter's publisher."""
        return f"{self.prefix}/{check_meter(meter)}/health"

    def meter_values(self, meter: str) -> str:
        """All decoded values of one measuring cycle."""
        return f"{self.prefix}/{check_meter(meter)}/values"

    def meter_value(self, meter: str, key: str) -> str:
        """One decoded value, a plain number."""
        return f"{self.prefix}/{check_meter(meter)}/value/{check_name(key, 'value')}"

    def ping(self, meter: str, node: str) -> str:
        """A node's request for the publisher's clock."""
        return f"{self.prefix}/{check_meter(meter)}/ping/{check_node(node)}"

    def pings(self, meter: str) -> str:
        """Pattern of all nodes' pings to a meter's publisher."""
        return f"{self.prefix}/{check_meter(meter)}/ping/+"

    def pong(self, meter: str, node: str) -> str:
        """The publisher's answer to one node."""
        return f"{self.prefix}/{check_meter(meter)}/pong/{check_node(node)}"

    def pongs(self, meter: str) -> str:
        """Pattern of a publisher's answers to all nodes."""
        return f"{self.prefix}/{check_meter(meter)}/pong/+"

    def node_status(self, node: str) -> str:
        """Retained `online` / `offline`: whether the inverter requests and gets data."""
        return f"{self.prefix}/rtu/{check_node(node)}/status"

    def node_health(self, node: str) -> str:
        """Retained health of an RTU server."""
        return f"{self.prefix}/rtu/{check_node(node)}/health"

    def node_requests(self, node: str) -> str:
        """Retained list of what the inverter requests."""
        return f"{self.prefix}/rtu/{check_node(node)}/requests"

    def inverter_status(self, inverter: str) -> str:
        """Retained `online` / `offline`: whether the inverter's own values are read."""
        return f"{self.prefix}/{INVERTERS}/{check_inverter(inverter)}/status"

    def inverter_health(self, inverter: str) -> str:
        """Retained health of an inverter's reader, and of what the inverter believes."""
        return f"{self.prefix}/{INVERTERS}/{check_inverter(inverter)}/health"

    def inverter_values(self, inverter: str) -> str:
        """What the inverter believes of its meter, once a read."""
        return f"{self.prefix}/{INVERTERS}/{check_inverter(inverter)}/values"

    def all_nodes_requests(self) -> str:
        """Pattern of the requests of all nodes."""
        return f"{self.prefix}/rtu/+/requests"

    def all_nodes_status(self) -> str:
        """Pattern of the status of all nodes."""
        return f"{self.prefix}/rtu/+/status"

    def everything(self) -> str:
        """Pattern of all topics of the contract."""
        return f"{self.prefix}/#"

    def parse(self, topic: str) -> ParsedTopic | None:
        """The parts of `topic`; None if the contract has no such topic."""
        head = len(self.prefix)
        if topic[head : head + 1] != "/" or not topic.startswith(self.prefix):
            return None
        match topic[head + 1 :].split("/"):
            case [level, inverter, leaf] if level == INVERTERS and leaf in _INVERTER_KINDS and is_node(inverter):
                return ParsedTopic(_INVERTER_KINDS[leaf], inverter=inverter)
            case ["rtu", node, leaf] if leaf in _NODE_KINDS and is_node(node):
                return ParsedTopic(_NODE_KINDS[leaf], node=node)
            case [meter, leaf] if leaf in _METER_KINDS and is_meter(meter):
                return ParsedTopic(_METER_KINDS[leaf], meter=meter)
            case [meter, leaf, name] if is_meter(meter) and is_name(name):
                if leaf in _NAMED_KINDS:
                    return ParsedTopic(_NAMED_KINDS[leaf], meter=meter, name=name)
                if leaf in _ECHO_KINDS and is_node(name):
                    return ParsedTopic(_ECHO_KINDS[leaf], meter=meter, node=name)
        return None


NAME_RULE: Final = "1 to 32 of a-z, 0-9, _ and -"
RESERVED_METER: Final = "rtu"
"""Topics of RTU servers stand beside those of meters: `<prefix>/rtu/<node>/...`."""
INVERTERS: Final = "inverter"
"""So do those of inverters: `<prefix>/inverter/<id>/...`; ids follow the rule for nodes."""
RESERVED_NODES: Final = frozenset(
    {"block", "capture", "health", "ping", "pong", "requests", "status", "value", "values"}
)
"""Levels of a meter's topics. `<prefix>/rtu/block/status` would be a topic that a publisher may write: its rights are
`<prefix>/+/block/+`."""

_is_name = re.compile(r"[a-z0-9_-]{1,32}").fullmatch


def is_name(text: str) -> bool:
    """Whether `text` can name a block or a value: 1 to 32 of a-z, 0-9, _ and -."""
    return _is_name(text) is not None


def is_meter(text: str) -> bool:
    """Whether `text` can name a meter: a name, but neither `rtu` nor `inverter`."""
    return text not in (RESERVED_METER, INVERTERS) and _is_name(text) is not None


def is_node(text: str) -> bool:
    """Whether `text` can name a node: a name, but no level of a meter's topics."""
    return text not in RESERVED_NODES and _is_name(text) is not None


def check_name(text: str, what: str) -> str:
    """`text` itself, or ValueError that names the wrong name (`what`)."""
    if not is_name(text):
        raise ValueError(f"{what} {text!r}: allowed are {NAME_RULE}")
    return text


def check_meter(text: str) -> str:
    """`text` itself, or ValueError: a meter's name is a name, but neither `rtu` nor `inverter`."""
    if not is_meter(text):
        raise ValueError(f"meter {text!r}: allowed are {NAME_RULE}, and not {RESERVED_METER!r} or {INVERTERS!r}")
    return text


def check_node(text: str) -> str:
    """`text` itself, or ValueError: a node's name is a name, but no level of a meter's topics."""
    if not is_node(text):
        raise ValueError(f"node {text!r}: allowed are {NAME_RULE}, and not {', '.join(sorted(RESERVED_NODES))}")
    return text


def check_inverter(text: str) -> str:
    """`text` itself, or ValueError: an inverter's name follows the rule for nodes."""
    if not is_node(text):
        raise ValueError(f"inverter {text!r}: allowed are {NAME_RULE}, and not {', '.join(sorted(RESERVED_NODES))}")
    return text
