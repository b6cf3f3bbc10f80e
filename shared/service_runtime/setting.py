"""One key of a settings class: its default, its help text and what values it allows.

A validator is an attrs validator that raises ValueError with the words for *what is allowed* ("a port, 1 to 65535");
the loader puts file, table, key and value in front.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

Validator = Callable[[Any, Any, Any], None]


def setting(
    *,
    help: str,  # noqa: A002  (the word every reader of a settings class expects)
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    allowed: Validator | Sequence[Validator] = (),
    secret: bool = False,
) -> Any:
    """A field of a settings class (an attrs class). Without default or factory the key is required.

    `help` is printed in the settings reference. `secret` values are masked wherever settings are shown.
    Fields of type `X | None` default to None when the key is absent; validators do not see None.
    """
    validators = [allowed] if callable(allowed) else list(allowed)
    optional = [attrs.validators.optional(one) for one in validators]
    if factory is not None:
        default = attrs.Factory(factory)
    return attrs.field(default=default, validator=optional or None, metadata={"help": help, "secret": secret})


def between(low: float, high: float, unit: str = "") -> Validator:
    """A number from `low` to `high`, both included."""
    words = f"a number from {low:g} to {high:g}{f' {unit}' if unit else ''}"
    return _rule(words, lambda value: low <= value <= high)


def positive(unit: str = "") -> Validator:
    """A number above 0."""
    words = f"a number above 0{f' ({unit})' if unit else ''}"
    return _rule(words, lambda value: 0 < value < float("inf"))


def not_negative(unit: str = "") -> Validator:
    """A number of 0 or more."""
    words = f"0 or a number above it{f' ({unit})' if unit else ''}"
    return _rule(words, lambda value: 0 <= value < float("inf"))


def one_of(*choices: object) -> Validator:
    """One of the values named."""
    words = "one of " + ", ".join(toml_word(choice) for choice in choices)
    return _rule(words, lambda value: value in choices)


def each(rule: Validator) -> Validator:
    """Every item of a list obeys `rule`."""

    def check(instance: object, attribute: Any, value: Sequence[object]) -> None:
        try:
            for item in value:
                rule(instance, attribute, item)
        except ValueError as error:
            raise ValueError(f"a list, each item {error}") from None

    return check


def port() -> Validator:
    """A TCP port, 1 to 65535."""
    return _rule("a port, 1 to 65535", lambda value: 1 <= value <= 65535)


def name() -> Validator:
    """A meter id or node name as it may stand in a topic: `[a-z0-9_-]{1,32}`."""
    words = "1 to 32 of the characters a-z 0-9 _ -"
    return _rule(words, lambda value: re.fullmatch(r"[a-z0-9_-]{1,32}", value) is not None)


def topic_prefix() -> Validator:
    """A topic prefix: one or more levels, no wildcard, no leading or trailing slash."""
    words = "a topic prefix like ksem or site/ksem: no + # or blank, no slash at its ends"
    return _rule(words, lambda value: re.fullmatch(r"[^+#/\s\0$][^+#/\s\0]*(/[^+#/\s\0]+)*", value) is not None)


def not_empty() -> Validator:
    """A text or list that holds something."""
    return _rule("not empty", lambda value: len(value) > 0)


def toml_word(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\u{ord(c):04X}") for c in value)
        return f'"{escaped}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_word(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_word(item)}" for key, item in value.items()) + "}"
    return repr(value) if isinstance(value, float) else str(value)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _rule(words: str, holds: Callable[[Any], bool]) -> Validator:
    def check(_instance: object, _attribute: object, value: object) -> None:
        if not holds(value):
            raise ValueError(words)

    return check
