"""Settings from a TOML file and the environment into attrs classes; every mistake reported at once [shell].

A service's settings class has one field per table: `mqtt: MqttSettings`, `meter: tuple[MeterSettings, ...]` for
`[[meter]]`; the fields of a table are made by `setting.setting()`. Environment names: `AIRBRIDGE_MQTT__HOST`,
`AIRBRIDGE_METER__0__HOST`, `AIRBRIDGE_LINE__0__UNIT__0__ID`; lists and booleans as TOML literals. The environment
overrides the file. An empty variable counts as not set, as compose files pass `${NAME:-}`.
"""

import re
import tomllib
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from service_runtime.common_settings import KNOWN_TABLES
from service_runtime.settings_reader import WRONG, TreeReader, Variable, suggestion

PREFIX = "AIRBRIDGE_"

S = TypeVar("S")


class SettingsError(Exception):
    """The settings can't be used; `mistakes` holds one line for each thing that is wrong."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@attrs.frozen
class Loaded(Generic[S]):
    """Settings and, by key ("mqtt.host", "meter.0.host"), where each value came from; keys left out are defaults."""

    settings: S
    sources: Mapping[str, str]
    renamed: tuple[str, ...] = ()
    """A line for each key that was given by an old name."""


def load(
    cls: type[S],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    own: Collection[str] | None = None,
    default_path: Path | None = None,
    known: Collection[str] = KNOWN_TABLES,
) -> S:
    """The settings of a service; raises SettingsError with all mistakes.

    `path` (the command line's --config) must exist; `default_path` is read where there is no `path`, if it exists.
    `own` are the tables this service reads, by default the fields of `cls`; other tables in `known` are ignored.
    """
    return load_with_sources(cls, path=path, environ=environ, own=own, default_path=default_path, known=known).settings


def load_with_sources(
    cls: type[S],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    own: Collection[str] | None = None,
    default_path: Path | None = None,
    known: Collection[str] = KNOWN_TABLES,
) -> Loaded[S]:
    """As `load`, and returns where each value came from."""
    if path is None and default_path is not None and default_path.exists():
        path = default_path
    raw = _read_file(path)
    file = str(path or default_path or "settings")
    tables = {name: kind for name, kind in typing.get_type_hints(cls).items() if own is None or name in own}
    known = {*known, *tables}
    variables, mistakes = _variables(environ, known)
    mistakes = _unknown_tables(raw, known, file) + mistakes
    reader = TreeReader(file, _read_secret)
    values: dict[str, Any] = {}
    for field in attrs.fields(typing.cast("Any", cls)):
        if field.name in tables:
            made = reader.field(field, tables[field.name], raw, variables, ())
            values.update({field.name: made[0]} if made is not None else {})
    mistakes += reader.mistakes
    settings = WRONG if mistakes else reader.build(cls, values, file)
    if settings is WRONG:
        missing = path is None and default_path is not None
        raise SettingsError([f"no settings file at {default_path}"] * missing + (mistakes or reader.mistakes))
    return Loaded(settings, reader.sources, tuple(reader.renamed))


def _read_file(path: Path | None) -> dict[str, Any]:
    """The file's tables; a file that can't be read is reported alone: all else would only follow from it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except OSError as error:
        raise SettingsError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path}: not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: not TOML: {error}{_quotes_hint(path, str(error))}"]) from None
    except (ValueError, RecursionError):  # a number with thousands of digits; brackets hundreds deep
        raise SettingsError([f"{path}: a number is too long or brackets are nested too deep"]) from None


def _quotes_hint(path: Path | None, error: str) -> str:
    """Return what to change where the line holds text without quotes. Its value is not shown: it may be a password."""
    found = re.search(r"at line (\d+)", error)
    lines = path.read_text(encoding="utf-8").split("\n") if path is not None and found else []
    line = lines[int(found[1]) - 1] if found and int(found[1]) <= len(lines) else ""
    bare = re.match(r"\s*([A-Za-z0-9_-]+)\s*=\s*[^\s\"'\[{#]", line)
    return f'; text stands in quotes: {bare[1]} = "..."' if bare else ""


def _unknown_tables(raw: Mapping[str, Any], known: Iterable[str], file: str) -> list[str]:
    mistakes = []
    for key, value in raw.items():
        if key in known:
            continue
        if isinstance(value, dict | list):
            mistakes.append(f"{file}: [{key}]: unknown table; {suggestion(key, known)}")
        else:
            # Without its value: it may be a password.
            mistakes.append(f"{file}: {key}: stands outside of any table, like [mqtt]")
    return mistakes


def _variables(environ: Mapping[str, str], known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The environment's tree by name parts, and mistakes; variables of unknown tables are mistakes."""
    tree: dict[str, Any] = {}
    mistakes = []
    for name, text in sorted(environ.items()):
        parts = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or not text:
            continue
        if parts[0] not in known or len(parts) == 1:
            hint = _variable_hint(parts[0], known) if len(parts) == 1 else suggestion(parts[0], known)
            mistakes.append(f"environment: {name}: unknown table {parts[0]}; {hint}")
            continue
        node = tree
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            if isinstance(below, Variable):  # A__B and A__B__C are both set
                mistakes.append(f"environment: {name}: {below.name} is set too; give one of them")
                break
            node = below
        else:
            node[parts[-1]] = Variable(name, text)
    return tree, mistakes


def _variable_hint(word: str, known: Iterable[str]) -> str:
    table = next((one for one in sorted(known, key=len, reverse=True) if word.startswith(f"{one}_")), None)
    if table is None:
        return f"names look like {PREFIX}MQTT__HOST (two underscores between table and key)"
    rest = word.removeprefix(f"{table}_")
    return f"did you mean {PREFIX}{table.upper()}__{rest.upper()}? (two underscores between table and key)"


def _read_secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not text:
        raise ValueError("the file is empty")
    return text
