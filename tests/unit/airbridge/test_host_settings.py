"""Broker and login of a command come from the services' settings on this host."""

import os
import signal
from pathlib import Path

import pytest

from airbridge.doctor import gather_host
from airbridge.doctor.gather_host import settings_of_this_host


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {"ksem-publisher": "publisher.toml", "rtu-server": "rtu-server.toml", "ksem-dashboard": "dashboard.toml"}
    places = {service: ("", tmp_path / name, "") for service, name in files.items()}
    monkeypatch.setattr(gather_host, "PLACES", places)
    return tmp_path


def test_a_host_without_settings_has_none(folder: Path) -> None:
    assert settings_of_this_host() is None
    assert not list(folder.iterdir())


def test_the_dashboards_come_first_and_a_file_that_is_wrong_is_passed_over(folder: Path) -> None:
    (folder / "rtu-server.toml").write_text('[mqtt]\nhost = "third"\n[[line]]\nport = "/dev/null"\n')
    assert settings_of_this_host().host == "third"  # type: ignore[union-attr]
    (folder / "publisher.toml").write_text('[mqtt]\nhost = "second"\n')
    (folder / "password").write_text("secret\n")
    (folder / "publisher.env").write_text(
        f"AIRBRIDGE_MQTT__USERNAME=publisher\nAIRBRIDGE_MQTT__PASSWORD_FILE={folder}/password\n"
    )
    found = settings_of_this_host()
    assert found is not None
    assert (found.host, found.username, found.password) == ("second", "publisher", "secret")
    (folder / "dashboard.toml").write_text("[mqtt\n")
    assert settings_of_this_host() == found


def test_settings_that_may_not_be_read_are_named_with_the_remedy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "publisher.toml").write_text("[mqtt]\n")

    def refuse(*_args: object, **_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ValueError, match=r"publisher\.toml: can.t be read") as raised:
        settings_of_this_host()
    assert "sudo" in str(raised.value)


def test_a_process_takes_a_signal_that_it_handles_or_blocks_and_no_other() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        assert gather_host.takes_signal(os.getpid(), signal.SIGUSR1, "SigBlk", "SigCgt")
        assert not gather_host.takes_signal(os.getpid(), signal.SIGUSR1, "SigCgt")
        assert gather_host.takes_signal(os.getpid(), signal.SIGINT, "SigCgt")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
