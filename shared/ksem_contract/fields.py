"""Reads an object of a message field by field; InvalidMessage names the field by its way from the top."""

import math
from collections.abc import Iterator
from typing import Final

from ksem_contract.checks import check_choice, check_time, check_token, check_whole
from ksem_contract.errors import InvalidMessage
from ksem_contract.message_json import JsonObject
from ksem_contract.register_range import RegisterRange

MAX_TEXT: Final = 2000
"""Longest text that is read, in characters."""


def bounded_text(text: str) -> str:
    """The text, cut to what `Fields.text` reads."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 4]} ..."


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

    def maybe_text(self, name: str) -> str | None:
        return None if self._take(name) is None else self.text(name)

    def token(self, name: str) -> str:
        return check_token(self._path + name, self._take(name))

    def maybe_token(self, name: str) -> str | None:
        return None if self._take(name) is None else self.token(name)

    def time(self, name: str) -> str:
        return check_time(self._path + name, self._take(name))

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        return check_choice(self._path + name, self._take(name), allowed)

    def whole(self, name: str, least: int = 0) -> int:
        return check_whole(self._path + name, self._take(name), least)

    def maybe_whole(self, name: str) -> int | None:
        return None if self._take(name) is None else self.whole(name)

    def number(self, name: str) -> float:
        """A number from 0 on."""
        value = self._take(name)
        if (type(value) is int and 0 <= value < 2**53) or (type(value) is float and 0 <= value < math.inf):
            return float(value)
        raise self._wrong(name, value, "a number from 0 on")

    def maybe_number(self, name: str) -> float | None:
        return None if self._take(name) is None else self.number(name)

    def maybe_signed(self, name: str) -> float | None:
        """A number of any sign, or null."""
        value = self._take(name)
        if value is None or (type(value) is int and abs(value) < 2**53):
            return value if value is None else float(value)
        if type(value) is float and math.isfinite(value):
            return value
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
        for index, value in enumerate(self._list(name)):
            if type(value) is not dict:
                raise self._wrong(name, value, "a list of objects")
            yield Fields(value, f"{self._path}{name}[{index}].")

    def tokens(self, name: str) -> tuple[str, ...]:
        return tuple(check_token(self._path + name, value) for value in self._list(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers from 0 on."""
        items = self._items(name)
        return tuple(items.number(place) for place in items.names())

    def wholes(self, name: str) -> tuple[int, ...]:
        """Whole numbers from 0 on."""
        items = self._items(name)
        return tuple(items.whole(place) for place in items.names())

    def ranges(self, name: str) -> tuple[RegisterRange, ...]:
        """Ranges, each told as its first and its last address."""
        found = []
        for value in self._list(name):
            if type(value) is not list or [type(address) for address in value] != [int, int]:
                raise self._wrong(name, value, "a list of [first, last]")
            first, last = value
            if not 0 <= first <= last <= 0xFFFF:
                raise self._wrong(name, value, "first and last address, 0..65535")
            found.append(RegisterRange(first, last - first + 1))
        return tuple(found)

    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(self._found)

    def _take(self, name: str) -> object:
        try:
            return self._found[name]
        except KeyError:
            raise InvalidMessage(f"{self._path}{name} is missing") from None

    def _items(self, name: str) -> "Fields":
        """The items of a list, each under its place."""
        return Fields({str(place): value for place, value in enumerate(self._list(name))}, f"{self._path}{name}.")

    def _list(self, name: str) -> list[object]:
        value = self._take(name)
        if type(value) is not list:
            raise self._wrong(name, value, "a list")
        return value

    def _wrong(self, name: str, value: object, expected: str) -> InvalidMessage:
        return InvalidMessage(f"{self._path}{name} {value!r:.60}: {expected} is expected")
