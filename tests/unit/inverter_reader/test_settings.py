"""inverter-reader.toml: what is refused, and in which words."""

from pathlib import Path

import pytest

from inverter_reader.settings import InverterReaderSettings
from service_runtime.settings import SettingsError, load


def loaded(folder: Path, text: str) -> InverterReaderSettings:
    path = folder / "inverter-reader.toml"
    path.write_text(text)
    return load(InverterReaderSettings, path=path, environ={})


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as found:
        loaded(folder, text)
    return found.value.mistakes


def test_a_host_alone_is_enough(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, '[[inverter]]\nhost = "192.168.1.60"\n').inverter
    assert (one.id, one.port, one.unit, one.meter) == ("main", 1502, 71, "main")
    assert (one.byte_order, one.interval, one.share) == ("auto", 1.0, False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('byte_order = "middle"', ("byte_order", "middle", "auto", "little", "big")),
        ("interval = 0.1", ("interval", "0.1", "0.5 to 60 seconds")),
        ("unit = 0", ("unit", "1 to 255")),
        ('id = "block"', ("id", "block")),
        ('write = "1"', ("write", "unknown")),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_is_allowed(
    tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    (mistake,) = mistakes(tmp_path, f'[[inverter]]\nhost = "192.168.1.60"\n{line}\n')
    for word in ("inverter-reader.toml", *words):
        assert word in mistake


def test_two_inverters_of_one_id_are_refused(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, '[[inverter]]\nhost = "a"\n[[inverter]]\nhost = "b"\n')
    assert "main is there twice" in mistake


def test_no_inverter_is_refused(tmp_path: Path) -> None:
    assert "inverter" in mistakes(tmp_path, '[mqtt]\nhost = "a"\n')[0]
