"""Writes docs/settings.md from the settings classes of all services: `python docs/generate_settings.py`."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from inverter_reader.settings import InverterReaderSettings
from ksem_dashboard.settings import KsemDashboardSettings
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.setting import toml_word
from service_runtime.settings_reader import leaf_type, table_class, type_words

TARGET: Final = Path(__file__).with_name("settings.md")

SERVICES: Final = (
    ("ksem-publisher", "publisher.toml", PublisherSettings),
    ("rtu-server", "rtu-server.toml", RtuServerSettings),
    ("inverter-reader", "inverter-reader.toml", InverterReaderSettings),
    ("ksem-dashboard", "dashboard.toml", KsemDashboardSettings),
)
HOST_DEFAULTS: Final = {("node", "name"): "the host's name, made fit"}
"""Defaults that depend on the host."""

_HEAD: Final = """\
# Settings

<!-- Written by docs/generate_settings.py from the settings classes: change them there. -->

Each service reads one TOML file under `/etc/ksem-airbridge/`: `publisher.toml`, `rtu-server.toml`,
`inverter-reader.toml`, `dashboard.toml`; `--config FILE` names another one.
Only what is marked **needed** has to be given. `[[meter]]`, `[[line]]` and
`[[line.unit]]` may stand several times.

Every key can also be an environment variable, which beats the file: `AIRBRIDGE_`, the table, two underscores, the key;
arrays count from 0. Lists and booleans are written as in TOML, an empty variable counts as not set:

    AIRBRIDGE_MQTT__HOST=broker.lan
    AIRBRIDGE_METER__0__HOST=192.168.1.50
    AIRBRIDGE_LINE__0__UNIT__0__ON_STALE=silent
    AIRBRIDGE_METER__0__PUSH_FROM=["192.168.1.50", "192.168.1.51"]

An unknown key is refused, with the nearest one that there is. Tables of another service are ignored, so one file or one
environment may serve all of them. A password is best put into a file of its own (`password_file`): it stands there
alone, and the file is readable for that service only.

    ksem-publisher --check

tells every mistake with file, table, key and what is allowed (exit code 2), or prints what is in force and where each
value comes from, passwords masked (exit code 0). A change takes effect when the service is started again.
"""
_COLUMNS: Final = "| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n"


def render() -> str:
    """The whole page."""
    parts = [_HEAD]
    shared: dict[Any, str] = {}
    for command, file, settings in SERVICES:
        parts.append(f"\n## {command}: {file}\n")
        kinds = typing.get_type_hints(settings)
        for field in attrs.fields(settings):
            parts += _table(field, kinds[field.name], (), shared)
    return "".join(parts)


def _table(field: Any, kind: Any, above: tuple[str, ...], shared: dict[Any, str]) -> Iterator[str]:
    cls = table_class(kind)
    assert cls is not None, field.name
    path = (*above, field.name)
    title = ".".join(path)
    heading = f"[[{title}]]" if typing.get_origin(kind) is tuple else f"[{title}]"
    caption = f"{heading}: {field.metadata['help']}"
    yield f"\n### {caption}\n\n"
    if cls in shared:
        yield f"The keys are those of [{shared[cls]}](#{_anchor(shared[cls])}).\n"
        return
    shared[cls] = caption
    kinds = typing.get_type_hints(cls)
    plain = [one for one in attrs.fields(cls) if table_class(kinds[one.name]) is None]
    if plain:
        yield _COLUMNS + "".join(_row(one, kinds[one.name], path) for one in plain)
    for one in attrs.fields(cls):
        if one not in plain:
            yield from _table(one, kinds[one.name], path, shared)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def _row(field: Any, kind: Any, table: tuple[str, ...]) -> str:
    words = [rule.text for rule in field.metadata["rules"]]
    if leaf_type(kind) is bool or not words:
        words.insert(0, type_words(kind))
    cells = (f"`{field.name}`", _default(field, table), "; ".join(words), field.metadata["help"])
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def _default(field: Any, table: tuple[str, ...]) -> str:
    if (own := HOST_DEFAULTS.get((*table, field.name))) is not None:
        return own
    if field.default is attrs.NOTHING:
        return "**needed**"
    value = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
    return "not set" if value is None else f"`{toml_word(value)}`"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
