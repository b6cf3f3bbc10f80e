"""What a check says [core]."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warn", "wrong"]
"""`note`: nothing to do, or it could not be told; `warn`: it works and could be better; `wrong`: it does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people: what was looked at, how it is, and what to do where it is not well."""

    check: str
    """Which check, as `meter`, `block`, `push`, `broker`, `rights`, `port`, `inverter`; a name in `--json`."""
    about: str
    """Of what: a meter's id, a broker's address, a port."""
    state: State
    text: str
    remedy: str = ""


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong; what could only be better does not count."""
    return all(finding.state != "wrong" for finding in findings)


def count(findings: Iterable[Finding], state: State) -> int:
    """How many are in this state."""
    return sum(finding.state == state for finding in findings)
