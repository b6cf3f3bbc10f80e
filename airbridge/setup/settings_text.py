"""Changes some values in a settings file's text and keeps everything else, comments included [core]."""

import re
from collections.abc import Mapping
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from service_runtime.setting import toml_word

Key = tuple[str, str]
"""Table and key. Of `[[meter]]` and `[[line]]` the first one is meant."""

EMPTY: Final = {
    "publisher.toml": "# Settings of ksem-publisher.\n\n[[meter]]\n\n[mqtt]\n",
    "rtu-server.toml": "# Settings of rtu-server.\n\n[[line]]\n\n[mqtt]\n",
    "dashboard.toml": "# Settings of ksem-dashboard.\n\n[dashboard]\n\n[mqtt]\n",
}
"""What a new file begins with, where no example file is installed."""
PLACEHOLDERS: Final[Mapping[Key, str]] = {("line", "port"): "/dev/serial/by-id/usb-..."}
"""What an example file holds in the place of an answer, and nobody's settings do."""
_LISTS: Final = ("meter", "line")
"""Tables of which there may be several."""


class UnreadableSettings(Exception):
    """The text is no TOML, or a table is something else there; the text names the line."""


def values(text: str) -> dict[Key, Any]:
    """What the file sets, placeholders left out."""
    values: dict[Key, Any] = {}
    for name, table in _parsed(text).unwrap().items():
        rows = table if isinstance(table, list) else [table]
        if rows and isinstance(rows[0], dict):
            values |= {(name, key): value for key, value in rows[0].items() if PLACEHOLDERS.get((name, key)) != value}
    return values


def change(text: str, changes: Mapping[Key, Any]) -> str:
    """The text with these values. None takes a key out, so that its default counts again."""
    for key, value in changes.items():
        text = _change_one(text, key, value)
    return text


def _change_one(text: str, key: Key, value: Any) -> str:
    document = _parsed(text)
    table = _table(document, key[0])
    if value is None:
        if key[1] not in table:
            return text
        table.remove(key[1])
    elif key[1] in table:
        if table[key[1]] == value:
            return text
        table[key[1]] = value
    elif (shown := _uncommented(text, key, value)) is not None:
        return shown
    else:
        table.add(key[1], value)
    return tomlkit.dumps(document)


def _uncommented(text: str, key: Key, value: Any) -> str | None:
    """The value in the place of the comment that shows the default; None where there is no such comment."""
    lines = text.splitlines(keepends=True)
    inside = False
    for number, line in enumerate(lines):
        if header := re.match(r"\[+([^\]]+)\]+", line):
            inside = header[1].strip() == key[0]
        elif inside and re.match(rf"#\s?{re.escape(key[1])}\s*=", line):
            lines[number] = f"{key[1]} = {toml_word(value)}\n"
            changed = "".join(lines)
            return changed if values(changed).get(key) == value else None
    return None


def _table(document: tomlkit.TOMLDocument, name: str) -> Any:
    if name not in document:
        if name in _LISTS:
            rows = tomlkit.aot()
            rows.append(tomlkit.table())
            document.append(name, rows)
        else:
            document.append(name, tomlkit.table())
    table: Any = document[name]
    if isinstance(table, list):
        table = table[0]
    if not hasattr(table, "add"):
        raise UnreadableSettings(f"[{name}] is no table")
    return table


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise UnreadableSettings(str(error)) from error
