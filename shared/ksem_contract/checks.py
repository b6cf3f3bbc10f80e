"""Checks of single fields, used by every message when it is built."""

import re
from collections.abc import Sequence
from typing import Final

from ksem_contract.errors import InvalidMessage
from ksem_contract.message_json import JsonObject
from ksem_contract.names import INVERTERS, NAME_RULE, RESERVED_METER, is_meter, is_node

MAX_NUMBER: Final = 2**53 - 1
"""The greatest whole number that every JSON reader keeps exactly."""

_is_token = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch
_is_reason_code = re.compile(r"[a-z][a-z0-9-]{0,39}").fullmatch
_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII).fullmatch


def take(found: JsonObject, name: str) -> object:
    """The field `name`, whatever it holds; InvalidMessage if it is not there."""
    try:
        return found[name]
    except KeyError:
        raise InvalidMessage(f"{name} is missing") from None


def check_token(name: str, value: object) -> str:
    """A session's or a ping's name."""
    if type(value) is not str or not _is_token(value):
        raise InvalidMessage(f"{name} {value!r:.60}: allowed are 1 to 32 of A-Z, a-z, 0-9, _ and -")
    return value


def check_reason_code(name: str, value: str) -> str:
    """The code of a reason."""
    if not _is_reason_code(value):
        raise InvalidMessage(f"{name} {value!r:.60}: allowed are 1 to 40 of a-z, 0-9 and -, a letter first")
    return value


def check_meter_field(name: str, value: object) -> str:
    """The name of a meter."""
    if type(value) is not str or not is_meter(value):
        raise InvalidMessage(
            f"{name} {value!r:.60}: allowed are {NAME_RULE}, and not {RESERVED_METER!r} or {INVERTERS!r}"
        )
    return value


def check_node_field(name: str, value: object) -> str:
    """The name of a node."""
    if type(value) is not str or not is_node(value):
        raise InvalidMessage(f"{name} {value!r:.60}: the name of a node is expected, {NAME_RULE}")
    return value


def check_choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """One of a few words."""
    if type(value) is not str or value not in allowed:
        raise InvalidMessage(f"{name} {value!r:.60}: allowed are {', '.join(allowed)}")
    return value


def check_time(name: str, value: object) -> str:
    """A moment for people: RFC 3339 in UTC."""
    if type(value) is not str or not _is_time(value):
        raise InvalidMessage(f"{name} {value!r:.60}: expected is e.g. 2026-11-22T10:00:00.123Z")
    return value


def check_whole(name: str, value: object, least: int = 0, most: int = MAX_NUMBER) -> int:
    """A whole number; True and False are none."""
    if type(value) is not int or not least <= value <= most:
        raise InvalidMessage(f"{name} {value!r:.60}: a whole number {least}..{most} is expected")
    return value
