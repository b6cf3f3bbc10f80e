"""Reads an object of a message field by field; InvalidMessage names the field by its way from the top."""

import math
from collections.abc import Iterator
from typing import Final

from ksem_contract.checks import check_choice, check_time, check_whole
from ksem_contract.errors import InvalidMessage
from ksem_contract.message_json import JsonObject
from ksem_contract.register_range import RegisterRange

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
        """Any text; what can't be shown in it (half a surrogate pair) becomes `?`."""
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
        """The field's way from the top of the message."""
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
