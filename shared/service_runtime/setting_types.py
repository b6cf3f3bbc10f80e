"""What types a settings field may have, and how a raw TOML value becomes one [core].

str, int, float, bool, Path, `int | str`, `X | None`, `tuple[X, ...]`, an attrs class (a table),
`tuple[attrs class, ...]` (an array of tables). A whole number is taken for a float; nothing else is converted, so
that a typing slip is told.
"""

import math
import types
import typing
from pathlib import Path
from typing import Any

import attrs

WRONG: Any = object()
"""Stands for a value that could not be made; its mistake has been told."""

_WORDS: dict[Any, str] = {
    str: "a text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def leaf_type(kind: Any) -> Any:
    """`X` of `X | None`; any other type as it is."""
    kinds = _choices(kind)
    return kinds[0] if len(kinds) == 1 else kind


def _choices(kind: Any) -> list[Any]:
    """The types of a union, None left out."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return [one for one in typing.get_args(kind) if one is not type(None)]
    return [kind]


def table_class(kind: Any) -> type[Any] | None:
    """The attrs class of a table or of an array of tables; None for a plain value."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
    return inner if isinstance(inner, type) and attrs.has(inner) else None


def type_words(kind: Any) -> str:
    """What is allowed, for people: "a whole number"."""
    kind = leaf_type(kind)
    if typing.get_origin(kind) is tuple:
        return f"a list, each item {type_words(typing.get_args(kind)[0])}"
    return " or ".join(_WORDS[one] for one in _choices(kind))


def converted(raw: object, kind: Any) -> Any:
    """`raw` as the field's type, or WRONG."""
    kind = leaf_type(kind)
    if len(choices := _choices(kind)) > 1:
        made = (converted(raw, one) for one in choices)
        return next((value for value in made if value is not WRONG), WRONG)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        items = [converted(item, inner) for item in raw] if isinstance(raw, list) else [WRONG]
        return WRONG if any(item is WRONG for item in items) else tuple(items)
    if kind is float:
        try:
            number = float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else math.nan
        except OverflowError:  # a whole number with hundreds of digits
            return WRONG
        return number if math.isfinite(number) else WRONG
    if kind is Path:
        return Path(raw) if isinstance(raw, str) and raw else WRONG
    return raw if type(raw) is kind else WRONG
