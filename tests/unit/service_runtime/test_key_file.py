"""The keys of [integrity]: read at the start, and again whenever their file changes."""

import logging
from pathlib import Path

import pytest

from ksem_contract.mac import KEYLESS
from rtu_server.settings import RtuServerSettings
from service_runtime.common_settings import IntegritySettings
from service_runtime.key_file import KeyFile
from service_runtime.settings import SettingsError, load

OLD, NEW = "0a" * 32, "0b" * 32
LOG = logging.getLogger("test")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "message.key"
    path.write_text(OLD)
    return path


def test_without_a_file_there_is_no_key_and_nothing_to_look_at() -> None:
    keys = KeyFile(IntegritySettings(), LOG)
    assert (keys.keys(), keys.look(), keys.problem) == (KEYLESS, False, "")


def test_a_file_that_changes_is_read_again_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keys = KeyFile(IntegritySettings(key_file=file), LOG)
    assert not keys.look()
    file.write_text(f"{OLD}\n\n{NEW}\n")
    assert keys.look()
    assert keys.keys().keys == (bytes.fromhex(OLD), bytes.fromhex(NEW))
    assert not keys.look()
    assert "2 key(s) count now" in caplog.text
    assert OLD not in caplog.text


@pytest.mark.parametrize("text", [None, "", "secret-that-is-no-hex", "\xff"])
def test_while_the_file_is_gone_or_broken_the_keys_of_before_count_and_it_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    keys = KeyFile(IntegritySettings(key_file=file), LOG)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    for _ in range(3):
        assert not keys.look()
        assert keys.keys().keys == (bytes.fromhex(OLD),)
        assert "message.key" in keys.problem
        assert "the last good keys stay in force" in keys.problem
    assert len(caplog.records) == 1
    assert "secret" not in keys.problem + caplog.text
    file.write_text(NEW)
    assert keys.look()
    assert keys.problem == ""


@pytest.mark.parametrize(("text", "words"), [("", "0 keys"), ("secret", "line 1 is no key"), (None, "may read")])
def test_a_file_without_a_usable_key_ends_the_start_with_file_key_and_remedy(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path, settings = tmp_path / "message.key", tmp_path / "rtu.toml"
    if text is not None:
        path.write_text(text)
    settings.write_text(f'[[line]]\nport = "/dev/null"\n[integrity]\nkey_file = "{path}"\n')
    with pytest.raises(SettingsError) as caught:
        load(RtuServerSettings, path=settings, environ={})
    (mistake,) = caught.value.mistakes
    assert all(word in mistake for word in ("rtu.toml", "[integrity]", "key_file", str(path), words))
    assert "secret" not in mistake
