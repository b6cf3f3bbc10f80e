"""JSON as the contract's messages use it: one object, compact, nothing that a reader could take in two ways."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from ksem_contract.errors import InvalidMessage, UnknownVersion

MAX_PAYLOAD: Final = 65536
"""Longest payload that is looked at, in bytes. A full block is below 3 kB."""

JsonObject = dict[str, Any]


def write_object(fields: Mapping[str, object]) -> bytes:
    """The object as compact JSON. ValueError for NaN and infinity, which JSON does not have."""
    return _encode(fields).encode("ascii")


def write_numbers(numbers: Sequence[float | None]) -> str:
    """A list of numbers, None as null, as it stands in compact JSON."""
    return _encode(numbers)


def read_object(payload: bytes) -> JsonObject:
    """The object that `payload` holds.

    InvalidMessage for everything that is not one JSON object in UTF-8 of at most 64 KiB, and for a key that stands
    in it twice, NaN, infinity, nesting beyond reason.
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
