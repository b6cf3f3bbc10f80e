"""One key of a settings class: its default, its help text and the values it allows; and settings as TOML text [core].

    @attrs.frozen(kw_only=True)
    class PollSettings:
        energy: float = setting(default=10.0, help="seconds between two reads of the counters", allowed=positive())

A rule carries the text of *what is allowed*; the loader puts file, table, key and value in front of it.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Rule:
    """What a value must be, as text and as a check; an attrs validator. None, an absent value, passes."""

    text: str
    holds: Callable[[Any], bool]

    def __call__(self, _instance: object, attribute: Any, value: object) -> None:
        if value is not None and not self.holds(value):
            raise ValueError(f"{attribute.name} = {toml_word(value)}: {self.text}")


def setting(
    *,
    help: str,  # noqa: A002  (the word every reader of a settings class expects)
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    allowed: Rule | Sequence[Rule] = (),
    secret: bool = False,
    was: Sequence[str] = (),
) -> Any:
    """A field of a settings class (an attrs class). Without default or factory the key is required.

    `was` are the names it had in earlier versions: each is still accepted, and reported.

    `help` is printed in the settings reference. `secret` values are masked wherever settings are shown; a secret
    `password` with a sibling field `password_file` may be given as a file.
    """
    rules = (allowed,) if isinstance(allowed, Rule) else tuple(allowed)
    if factory is not None:
        default = attrs.Factory(factory)
    metadata = {"help": help, "secret": secret, "rules": rules, "was": tuple(was)}
    return attrs.field(default=default, validator=list(rules), metadata=metadata)


def between(low: float, high: float, unit: str = "") -> Rule:
    """A number from `low` to `high`, both included."""
    return Rule(f"{low:g} to {high:g}{_in(unit)}", lambda value: low <= value <= high)


def positive(unit: str = "") -> Rule:
    return Rule(f"above 0{_in(unit)}", lambda value: value > 0)


def not_negative(unit: str = "") -> Rule:
    return Rule(f"0 or above{_in(unit)}", lambda value: value >= 0)


def one_of(*choices: object) -> Rule:
    return Rule("one of " + ", ".join(toml_word(choice) for choice in choices), lambda value: value in choices)


def each(rule: Rule) -> Rule:
    """Every item of a list obeys `rule`."""
    return Rule(f"a list, each item {rule.text}", lambda value: all(rule.holds(item) for item in value))


def matching(pattern: str, text: str) -> Rule:
    """The whole text matches the regular expression."""
    return Rule(text, lambda value: re.fullmatch(pattern, value) is not None)


def not_empty() -> Rule:
    return Rule("not empty", lambda value: len(value) > 0)


def at_least_one() -> Rule:
    """For a field that holds tables: `[[meter]]` stands at least once."""
    return Rule("at least one is needed", lambda value: len(value) > 0)


def port() -> Rule:
    return Rule("a port, 1 to 65535", lambda value: 1 <= value <= 65535)


def name() -> Rule:
    """A meter id or node name, as it may stand in a topic."""
    return matching(r"[a-z0-9_-]{1,32}", "1 to 32 of the characters a-z 0-9 _ -")


def topic_prefix() -> Rule:
    return matching(
        r"(?!\$)[^+#/\s\0]+(/[^+#/\s\0]+)*",
        "a topic prefix like ksem or site/ksem: no + # or blank, no slash at its ends",
    )


def readable_file() -> Rule:
    return Rule("a file that this user may read", lambda value: value.is_file() and os.access(value, os.R_OK))


def _in(unit: str) -> str:
    return f" {unit}" if unit else ""


def is_network(text: str) -> bool:
    """Return whether this is an address, or a network with its length."""
    try:
        to_network(text)
    except ValueError:
        return False
    return True


def to_network(text: str) -> Any:
    import ipaddress  # noqa: PLC0415  (only services with an allow list pay for it)

    return ipaddress.ip_network(text, strict=False)


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
    """The settings in force, as TOML with secrets masked; with `sources` each line names its value's origin.

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
