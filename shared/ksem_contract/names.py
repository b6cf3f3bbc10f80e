"""Names that become part of a topic."""

import re
from typing import Final

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
    """`text` itself, or ValueError that says which name (`what`) is wrong."""
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
