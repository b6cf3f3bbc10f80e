"""Settings from a TOML file and the environment into attrs classes; every mistake told at once.

A service's settings class has one field per table: `mqtt: MqttSettings`, `meter: tuple[MeterSettings, ...]` for
`[[meter]]`; fields are made by `setting.setting()`. Environment names: `AIRBRIDGE_MQTT__HOST`,
`AIRBRIDGE_METER__0__HOST`, `AIRBRIDGE_LINE__0__UNIT__0__ID`. The environment beats the file.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from service_runtime.common_settings import KNOWN_TABLES

S = TypeVar("S")


class SettingsError(Exception):
    """The settings can't be used; `mistakes` holds one line for each thing that is wrong."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@attrs.frozen
class Loaded(Generic[S]):
    """Settings and, for each key path ("mqtt.host", "meter[0].host"), where the value came from."""

    settings: S
    sources: Mapping[str, str]


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
    """As `load`, and tells where each value came from."""
    raise NotImplementedError


def describe(settings: object, sources: Mapping[str, str] | None = None) -> str:
    """What is in force, as TOML, secrets masked; with `sources` each line says where its value came from."""
    raise NotImplementedError
