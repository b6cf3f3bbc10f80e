"""Declared messages: the type of a dataclass's field decides how the field is written and read [core].

    str, int, float, bool   a text, a whole number from 0 on, a number from 0 on, true or false
    Signed                  a number that may be negative
    Literal["a", "b"]       one of these words
    X | None                X, or null
    tuple[X, ...]           a list
    Mapping[str, X]         an object
    RegisterRange           [first, last]
    a class with to_json    an object inside this one

`Annotated` adds: a `Rule`; FLAT, where the inner object's fields stand among those of the outer one; OMITTED,
where the field is left out while it has its default. A field with a default may be missing in what is read.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, Union, cast, get_args, get_origin, get_type_hints

from ksem_contract.message_fields import Fields, JsonObject, bounded_text, check_time, check_token
from ksem_contract.registers import RegisterRange

FLAT: Final = "flat"
OMITTED: Final = "omitted"
SIGNED: Final = "signed"


class Codec(NamedTuple):
    """Turns a value into JSON, and back from the field of that name. `read` raises InvalidMessage."""

    write: Callable[[Any], object]
    read: Callable[[Fields, str], Any]


class Rule(NamedTuple):
    """`check` gets the field's path from the top and its value; `shorten` makes a value fit before it is written."""

    check: Callable[[str, Any], Any] | None = None
    shorten: Callable[[Any], Any] | None = None


Token = Annotated[str, Rule(check_token)]
"""A session or a nonce: 1 to 32 of A-Z, a-z, 0-9, _ and -."""
Signed = Annotated[float, SIGNED]
"""A number that may be negative."""
Moment = Annotated[str, Rule(check_time)]
"""RFC 3339, UTC; for people."""


class Declared:
    """Base of a dataclass whose fields' types write and read it."""

    __slots__ = ()

    def to_json(self) -> JsonObject:
        """The object in a message."""
        found: JsonObject = {}
        for one in _declared(cast("Any", type(self))):
            value = getattr(self, one.name)
            if FLAT in one.marks:
                found |= value.to_json()
            elif OMITTED not in one.marks or value != one.default:
                found[one.name] = one.codec.write(value)
        return found

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read from a message; other fields beside it are ignored. Raises InvalidMessage."""
        names = fields.names()
        return cls(
            **{
                one.name: one.codec.read(fields, one.name)
                for one in _declared(cast("Any", cls))
                if one.name in names or one.default is dataclasses.MISSING
            }
        )


class _Field(NamedTuple):
    name: str
    codec: Codec
    marks: tuple[object, ...]
    default: object


@lru_cache
def _declared(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for one in dataclasses.fields(kind):
        marks = tuple(mark for mark in getattr(hints[one.name], "__metadata__", ()) if isinstance(mark, str))
        codec = _codec(hints[one.name])
        if FLAT in marks:
            codec = Codec(codec.write, _flat_reader(get_args(hints[one.name])[0]))
        found.append(_Field(one.name, codec, marks, one.default))
    return tuple(found)


def _flat_reader(kind: Any) -> Callable[[Fields, str], Any]:
    return lambda fields, _name: kind.from_json(fields)


_SIMPLE: Final[Mapping[object, Codec]] = {
    str: Codec(bounded_text, Fields.text),
    int: Codec(int, Fields.whole),
    float: Codec(float, Fields.number),
    bool: Codec(bool, Fields.truth),
    RegisterRange: Codec(lambda span: [span.start, span.last], Fields.span),
}


def _codec(hint: Any) -> Codec:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hasattr(hint, "__metadata__"):
        if SIGNED in hint.__metadata__:
            return Codec(float, Fields.signed)
        rules = [mark for mark in hint.__metadata__ if isinstance(mark, Rule)]
        return reduce(_ruled, rules, _codec(hint.__origin__))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return Codec(str, lambda fields, name: fields.choice(name, inner))
    if origin in (Union, UnionType):
        return _optional(_codec(inner[0]))
    if origin is tuple:
        return _list_of(_codec(inner[0]))
    if origin is Mapping:
        return _object_of(_codec(inner[1]))
    return Codec(hint.to_json, lambda fields, name: hint.from_json(fields.part(name)))


def _ruled(codec: Codec, rule: Rule) -> Codec:
    check, shorten = rule.check, rule.shorten
    return Codec(
        codec.write if shorten is None else lambda value: codec.write(shorten(value)),
        codec.read if check is None else lambda fields, name: check(fields.path(name), codec.read(fields, name)),
    )


def _optional(codec: Codec) -> Codec:
    return Codec(
        lambda value: None if value is None else codec.write(value),
        lambda fields, name: None if fields.is_null(name) else codec.read(fields, name),
    )


def _list_of(codec: Codec) -> Codec:
    def read(fields: Fields, name: str) -> tuple[Any, ...]:
        items = fields.items(name)
        return tuple(codec.read(items, place) for place in items.names())

    return Codec(lambda values: [codec.write(value) for value in values], read)


def _object_of(codec: Codec) -> Codec:
    def read(fields: Fields, name: str) -> dict[str, Any]:
        inside = fields.part(name)
        return {key: codec.read(inside, key) for key in inside.names()}

    return Codec(lambda values: {key: codec.write(value) for key, value in values.items()}, read)
