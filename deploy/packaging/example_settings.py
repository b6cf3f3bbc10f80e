"""Writes the example settings from the settings classes: a TOML file for each service, beside this one.

What must be given stands there as a placeholder; everything else as a comment with its default, ready to be changed.
Run it after a change of a settings class: `python deploy/packaging/example_settings.py`. A test compares.
"""

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
from service_runtime.settings_reader import table_class, type_words

HERE: Final = Path(__file__).parent

PLACEHOLDERS: Final = {
    ("meter", "host"): "192.168.1.50",
    ("inverter", "host"): "192.168.1.60",
    ("line", "port"): "/dev/serial/by-id/usb-...",
    ("openwb", "counter", "id"): 2,
    ("tcp", "unit", "id"): 71,
}
"""Settings without a default. install.sh replaces them with its options or with what it has found."""
HOST_DEFAULTS: Final = {("node", "name"): "the host's name"}
"""Defaults that depend on the host."""

_HEAD: Final = """\
# Settings of {name}.
#
# A line that begins with "# key =" shows a default: remove the # to change it. After a change:
#   sudo {name} --check             prints every mistake, or what is in force
#   sudo systemctl restart {name}
# Every key can also be given as an environment variable, AIRBRIDGE_MQTT__HOST=..., in {env}.
"""
_LOGIN: Final = """
# A login that the broker knows. On the broker's host `make-users` makes one; install.sh --mosquitto writes it here.
# username = "{role}"
# password_file = "/etc/ksem-airbridge/logins/{role}/password"
"""


@attrs.frozen
class Example:
    """One service's example file."""

    command: str
    role: str
    settings: type[Any]

    @property
    def path(self) -> Path:
        """Where it stands: named as under /etc/ksem-airbridge."""
        return HERE / f"{self.command.removeprefix('ksem-')}.toml"

    def render(self) -> str:
        """The file's text."""
        env = f"/etc/ksem-airbridge/{self.path.stem}.env"
        lines = [_HEAD.format(name=self.command, env=env)]
        kinds = typing.get_type_hints(self.settings)
        for field in attrs.fields(self.settings):
            lines += _maybe_table(field, kinds[field.name], (), self.role)
        return "\n".join(lines)


def _table(field: Any, kind: Any, above: tuple[str, ...], role: str) -> Iterator[str]:
    cls = table_class(kind)
    assert cls is not None, field.name
    path = (*above, field.name)
    title = ".".join(path)
    yield f"# {_sentence(field.metadata['help'])}"
    yield f"[[{title}]]" if typing.get_origin(kind) is tuple else f"[{title}]"
    kinds = typing.get_type_hints(cls)
    deeper = []
    for inner in attrs.fields(cls):
        if table_class(kinds[inner.name]) is not None:
            deeper.append(inner)
        elif path == ("mqtt",) and inner.name in {"username", "password", "password_file"}:
            # These three belong together, and the password best stands in a file.
            if inner.name == "username":
                yield _LOGIN.format(role=role).strip()
        else:
            yield from _key(inner, kinds[inner.name], path)
    yield ""
    for inner in deeper:
        yield from _maybe_table(inner, kinds[inner.name], path, role)


def _maybe_table(field: Any, kind: Any, above: tuple[str, ...], role: str) -> Iterator[str]:
    lines = _table(field, kind, above, role)
    if default_of(field) != ():
        yield from lines
        return
    yield "# There is none unless the first # of these lines is removed."
    yield from (f"#{line}" if line else "" for line in lines)


def _key(field: Any, kind: Any, table: tuple[str, ...]) -> Iterator[str]:
    key = (*table, field.name)
    allowed = [rule.text for rule in field.metadata["rules"] if rule.text != "not empty"]
    yield f"# {_sentence(field.metadata['help'])}" + (f" ({'; '.join(allowed)})" if allowed else "")
    if key in PLACEHOLDERS:
        yield f"{field.name} = {toml_word(PLACEHOLDERS[key])}"
    elif key in HOST_DEFAULTS:
        yield f"# {field.name} = ({HOST_DEFAULTS[key]})"
    elif (default := default_of(field)) is None:
        yield f"# {field.name} = ({type_words(kind)}; not set)"
    else:
        yield f"# {field.name} = {toml_word(default)}"


def default_of(field: Any) -> Any:
    """The default of a key."""
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


EXAMPLES: Final = (
    Example("ksem-publisher", "publisher", PublisherSettings),
    Example("rtu-server", "rtu", RtuServerSettings),
    Example("inverter-reader", "inverter", InverterReaderSettings),
    Example("ksem-dashboard", "dashboard", KsemDashboardSettings),
)

if __name__ == "__main__":
    for example in EXAMPLES:
        example.path.write_text(example.render(), encoding="utf-8")
        print(example.path)
