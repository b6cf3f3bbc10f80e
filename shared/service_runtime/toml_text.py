"""Values and whole settings as TOML text [core]."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

MASK = "********"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def toml_word(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)  # Python refuses to write thousands of decimal digits
    if isinstance(value, str | Path):
        return '"' + "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in str(value)) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_word(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = ..." for key in value) + "}"  # without its values: one may be a password
    return repr(value) if isinstance(value, float) else str(value)


def describe(settings: Any, sources: Mapping[str, str] | None = None) -> str:
    """What is in force, as TOML with secrets masked; with `sources` each line says where its value came from.

    The text can be used as a settings file again, once the masked secrets are filled in.
    """
    lines: list[str] = []
    for field in attrs.fields(type(settings)):
        value = getattr(settings, field.name)
        tables = [((field.name,), value)] if attrs.has(type(value)) else _items((field.name,), value)
        for path, table in tables:
            lines += _table_lines(table, path, array=isinstance(value, tuple), sources=sources)
    return "\n".join(lines).strip() + "\n"


def _table_lines(table: Any, path: tuple[str, ...], *, array: bool, sources: Mapping[str, str] | None) -> Iterator[str]:
    title = ".".join(part for part in path if not part.isdigit())
    yield ""
    yield f"[[{title}]]" if array else f"[{title}]"
    deeper = []
    for field in attrs.fields(type(table)):
        value, key = getattr(table, field.name), (*path, field.name)
        if _holds_tables(value):
            deeper += _items(key, value)
        elif value is None:
            yield f"# {field.name} is not set"
        else:
            word = toml_word(MASK) if field.metadata.get("secret") else toml_word(value)
            source = f"  # {sources.get('.'.join(key), 'default')}" if sources is not None else ""
            yield f"{field.name} = {word}{source}"
    for key, value in deeper:
        yield from _table_lines(value, key, array=True, sources=sources)


def _items(path: tuple[str, ...], tables: tuple[Any, ...]) -> list[tuple[tuple[str, ...], Any]]:
    return [((*path, str(index)), table) for index, table in enumerate(tables)]


def _holds_tables(value: object) -> bool:
    return isinstance(value, tuple) and any(attrs.has(type(item)) for item in value)
