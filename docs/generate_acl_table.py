"""Writes the table of roles and topics in docs/security.md from mosquitto/acl: `python docs/generate_acl_table.py`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ksem_contract.topics import Topics

ROOT: Final = Path(__file__).resolve().parent.parent
ACL: Final = ROOT / "mosquitto" / "acl"
PAGE: Final = ROOT / "docs" / "security.md"
BEGIN: Final = "<!-- made from mosquitto/acl by docs/generate_acl_table.py -->"
END: Final = "<!-- end -->"

_topics = Topics()
FAMILIES: Final[Mapping[str, str]] = {
    "ksem/<meter>/status": _topics.meter_status("main"),
    "ksem/<meter>/block/<name>": _topics.meter_block("main", "live"),
    "ksem/<meter>/health": _topics.meter_health("main"),
    "ksem/<meter>/values": _topics.meter_values("main"),
    "ksem/<meter>/value/<key>": _topics.meter_value("main", "power"),
    "ksem/<meter>/ping/<node>": _topics.ping("main", "cellar"),
    "ksem/<meter>/pong/<node>": _topics.pong("main", "cellar"),
    "ksem/rtu/<node>/status": _topics.node_status("cellar"),
    "ksem/rtu/<node>/health": _topics.node_health("cellar"),
    "ksem/rtu/<node>/requests": _topics.node_requests("cellar"),
    "ksem/inverter/<id>/status": _topics.inverter_status("main"),
    "ksem/inverter/<id>/health": _topics.inverter_health("main"),
    "ksem/inverter/<id>/values": _topics.inverter_values("main"),
    "ksem/ anything else": "ksem/main/other",
    "homeassistant/device/ksem_publisher/<id>/config": "homeassistant/device/ksem_publisher/ksem_main/config",
    "homeassistant/device/ksem_rtu/<id>/config": "homeassistant/device/ksem_rtu/ksem_cellar/config",
    "homeassistant/device/ksem_inverter/<id>/config": "homeassistant/device/ksem_inverter/ksem_main/config",
    "homeassistant/device/<other>/config": "homeassistant/device/other/config",
    "homeassistant/status": "homeassistant/status",
    "homeassistant/ anything else": "homeassistant/sensor/other/config",
    "anything else": "zigbee2mqtt/bridge/state",
}
"""What the table's rows are called, and one topic that stands for each."""

Rules = Mapping[str, Sequence[tuple[str, str]]]
"""Role to (access, pattern)."""


def read_acl(text: str) -> Rules:
    """Return the rules of an ACL file. ValueError for a line that this table could not show."""
    rules: dict[str, list[tuple[str, str]]] = {}
    role = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        match words:
            case ["user", name]:
                role = name
                rules[role] = []
            case ["topic", ("read" | "write" | "readwrite") as access, pattern] if role is not None:
                rules[role].append((access, pattern))
            case _:
                raise ValueError(
                    f"acl line {number}: {line!r}: only `user NAME` and `topic read|write PATTERN` below it"
                )
    return rules


def rights(rules: Rules, role: str, topic: str) -> str:
    """Return "read", "write", "read, write" or "" ."""
    granted = {access for access, pattern in rules.get(role, ()) if matches(pattern, topic)}
    return ", ".join(one for one in ("read", "write") if one in granted or "readwrite" in granted)


def matches(pattern: str, topic: str) -> bool:
    """Tell whether the topic falls under an MQTT pattern."""
    wanted, given = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(want in ("+", have) for want, have in zip(wanted, given, strict=True))


def table(rules: Rules) -> str:
    """Return the table in Markdown."""
    lines = ["| topic | " + " | ".join(rules) + " |", "| --- |" + " --- |" * len(rules)]
    for name, topic in FAMILIES.items():
        cells = [rights(rules, role, topic) or "-" for role in rules]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_table(page: str, rules: Rules) -> str:
    """Return the page with the table between its marks renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(rules)}\n\n{END}{after}"


def main() -> int:
    PAGE.write_text(with_table(PAGE.read_text(), read_acl(ACL.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
