"""Reads and checks the fields of a message [core]. InvalidMessage names the field by its path from the top.

JSON as the contract's messages use it: one object, compact, without any ambiguity.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from ksem_contract.registers import RegisterRange
from ksem_contract.topics import INVERTERS, NAME_RULE, RESERVED_METER, is_meter, is_node


class ContractError(ValueError):
    """Anything that breaks the contract."""


class InvalidMessage(ContractError):
    """A message that must not be used; the text names the field, what it held and what is allowed."""


class UnknownVersion(InvalidMessage):
    """A message of a version of the contract that this code does not know."""

    def __init__(self, version: object) -> None:
        super().__init__(f"v is {version!r:.40}, this side knows version 1 only")
        self.version = version


class SunspecError(ContractError):
    """No chain of SunSpec models that can be served begins at 40000."""


MAX_PAYLOAD: Final = 65536
"""Longest payload that is read, in bytes. A full block is below 3 kB."""

JsonObject = dict[str, Any]


def write_object(fields: Mapping[str, object]) -> bytes:
    """The object as compact JSON. ValueError for NaN and infinity, which JSON does not have."""
    return _encode(fields).encode("ascii")


def write_numbers(numbers: Sequence[float | None]) -> str:
    """A list of numbers, None as null, in compact JSON."""
    return _encode(numbers)


def read_object(payload: bytes) -> JsonObject:
    """The object that `payload` holds.

    InvalidMessage for everything that is not one JSON object in UTF-8 of at most 64 KiB, for a key that occurs
    twice in it, NaN, infinity, and nesting beyond reason.
    """
    if len(payload) > MAX_PAYLOAD:
        raise InvalidMessage(f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed")
    try:
        found = _decode(payload.decode("utf-8"))
    except InvalidMessage:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"no readable JSON: {error}") from None
    if type(found) is not dict:
        raise InvalidMessage(f"a JSON object is expected, this is a {type(found).__name__}")
    return found


def read_versioned(payload: bytes) -> JsonObject:
    """The object that `payload` holds, of version 1. UnknownVersion for any other `v`, InvalidMessage without `v`."""
    found = read_object(payload)
    version = found.get("v")
    if type(version) is not int:
        raise InvalidMessage(f"v is {version!r:.40}, a version number is expected")
    if version != 1:
        raise UnknownVersion(version)
    return found


def printable(value: Any) -> Any:
    """Return the value without control characters in any text: they could steer the terminal that shows it."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(filter(str.isprintable, value))
    if isinstance(value, list):
        return [printable(one) for one in value]
    if isinstance(value, dict):
        return _unique([(printable(key), printable(one)) for key, one in value.items()])
    return value


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidMessage("a key stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise InvalidMessage(f"{text} is no JSON number")


# Built once: json.loads with a hook builds a decoder on each call.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode

MAX_TEXT: Final = 2000
"""Longest text that is read, in characters."""


def bounded_text(text: str, most: int = MAX_TEXT) -> str:
    """The text, cut to `most` characters; `Fields.text` reads no longer one than MAX_TEXT."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."


class Fields:
    """One JSON object. Each reader raises InvalidMessage if the field is missing or holds something else."""

    __slots__ = ("_found", "_path")

    def __init__(self, found: JsonObject, path: str = "") -> None:
        self._found = found
        self._path = path

    def text(self, name: str) -> str:
        """Any text; a character that can't be shown (half a surrogate pair) becomes `?`."""
        value = self._take(name)
        if type(value) is not str or len(value) > MAX_TEXT:
            raise self._wrong(name, value, f"a text of at most {MAX_TEXT} characters")
        return value.encode("utf-8", "replace").decode("utf-8")

    def time(self, name: str) -> str:
        return check_time(self._path + name, self._take(name))

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        return check_choice(self._path + name, self._take(name), allowed)

    def whole(self, name: str, least: int = 0) -> int:
        return check_whole(self._path + name, self._take(name), least)

    def number(self, name: str) -> float:
        """A number from 0 on."""
        value = self._take(name)
        if (type(value) is int and 0 <= value < 2**53) or (type(value) is float and 0 <= value < math.inf):
            return float(value)
        raise self._wrong(name, value, "a number from 0 on")

    def signed(self, name: str) -> float:
        """A number of any sign."""
        value = self._take(name)
        if (type(value) is int and abs(value) < 2**53) or (type(value) is float and math.isfinite(value)):
            return float(value)
        raise self._wrong(name, value, "a number")

    def truth(self, name: str) -> bool:
        value = self._take(name)
        if type(value) is not bool:
            raise self._wrong(name, value, "true or false")
        return value

    def part(self, name: str) -> "Fields":
        """An object inside this one."""
        value = self._take(name)
        if type(value) is not dict:
            raise self._wrong(name, value, "an object")
        return Fields(value, f"{self._path}{name}.")

    def parts(self, name: str) -> Iterator["Fields"]:
        """The objects of a list."""
        items = self.items(name)
        return (items.part(place) for place in items.names())

    def items(self, name: str) -> "Fields":
        """The items of a list; their names are `[0]`, `[1]` ..."""
        value = self._take(name)
        if type(value) is not list:
            raise self._wrong(name, value, "a list")
        return Fields({f"[{place}]": item for place, item in enumerate(value)}, f"{self._path}{name}")

    def span(self, name: str) -> RegisterRange:
        """A range, by its first and its last address."""
        value = self._take(name)
        if type(value) is not list or [type(address) for address in value] != [int, int]:
            raise self._wrong(name, value, "[first, last]")
        first, last = value
        if not 0 <= first <= last <= 0xFFFF:
            raise self._wrong(name, value, "first and last address, 0..65535")
        return RegisterRange(first, last - first + 1)

    def is_null(self, name: str) -> bool:
        """Whether the field is there and holds null."""
        return self._take(name) is None

    def path(self, name: str) -> str:
        """The field's path from the top of the message."""
        return self._path + name

    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(self._found)

    def _take(self, name: str) -> object:
        try:
            return self._found[name]
        except KeyError:
            raise InvalidMessage(f"{self._path}{name} is missing") from None

    def _wrong(self, name: str, value: object, expected: str) -> InvalidMessage:
        return InvalidMessage(f"{self._path}{name} {value!r:.60}: {expected} is expected")


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
