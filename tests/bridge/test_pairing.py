"""Two hosts paired by one line: a tree with the publisher, a tree with the RTU server, and what lies between."""

import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airbridge.pairing.line import MAX_LINE, decode
from tests.bridge.test_install_functions import ROOT, bash

PASSWORD = "a-password-of-rtu"
PUBLISHER = """[[meter]]
host = "192.0.2.7"

[mqtt]
host = "127.0.0.1"
port = 1884
# kept

[integrity]
# key_file = (a path; not set)
"""
CANONICAL = 4095
"""Characters that a terminal hands over in one line (termios(3))."""


def pair(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airbridge", "pair", *words]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}"}
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environ)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The settings of the publisher's host."""
    folder = tmp_path / "here"
    login = folder / "logins/rtu"
    login.mkdir(parents=True)
    (login / "password").write_text(f"{PASSWORD}\n")
    (folder / "publisher.toml").write_text(PUBLISHER)
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The settings of the inverter's host, as install.sh makes them."""
    folder = tmp_path / "there"
    folder.mkdir()
    shipped = (ROOT / "deploy/packaging/rtu-server.toml").read_text()
    (folder / "rtu-server.toml").write_text(shipped.replace("/dev/serial/by-id/usb-...", "/dev/ttyUSB7"))
    return folder


def show(folder: Path, *words: str) -> str:
    ended = pair("show", "--folder", str(folder), "--broker", "192.0.2.5", *words)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    return ended.stdout


def tree(folder: Path) -> Mapping[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def settings(folder: Path, name: str) -> dict[str, Any]:
    return tomllib.loads((folder / name).read_text())


def test_one_line_carries_login_broker_and_key_to_the_other_host(here: Path, there: Path) -> None:
    line = show(here)
    taken = pair("take", "-", "--folder", str(there), stdin=line)
    assert taken.returncode == 0, taken.stderr
    login = there / "logins/rtu"
    found = settings(there, "rtu-server.toml")
    assert found["mqtt"] == {
        "host": "192.0.2.5",
        "port": 1883,
        "username": "rtu",
        "password_file": str(login / "password"),
    }
    assert found["line"][0]["port"] == "/dev/ttyUSB7"
    assert (login / "password").read_text() == f"{PASSWORD}\n"
    publisher = settings(here, "publisher.toml")
    key = Path(publisher["integrity"]["key_file"]).read_text()
    assert Path(found["integrity"]["key_file"]).read_text() == key
    assert publisher["mqtt"] == {"host": "127.0.0.1", "port": 1884}
    assert "# kept" in (here / "publisher.toml").read_text()
    checked = subprocess.run(
        [sys.executable, "-m", "rtu_server", "--config", there / "rtu-server.toml", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_only_root_and_the_services_group_may_read_what_is_secret(here: Path, there: Path) -> None:
    pair("take", "--folder", str(there), stdin=show(here))
    for file in (here / "logins/publisher/message.key", *(there / "logins/rtu").iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o640, file
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750, file


def test_a_second_run_gives_the_same_line_and_changes_nothing(here: Path) -> None:
    first = show(here)
    before = tree(here)
    assert show(here) == first
    assert tree(here) == before


def test_a_key_that_the_settings_name_is_handed_on_and_stays_where_it_is(here: Path) -> None:
    key = here / "own.key"
    key.write_text("11" * 32 + "\n")
    (here / "publisher.toml").write_text(PUBLISHER.replace("# key_file = (a path; not set)", f'key_file = "{key}"'))
    assert decode(show(here)).key == key.read_text()
    assert not (here / "logins/publisher").exists()


def test_an_rtu_server_beside_the_publisher_gets_the_key_too(here: Path, there: Path) -> None:
    (here / "rtu-server.toml").write_bytes((there / "rtu-server.toml").read_bytes())
    line = decode(show(here))
    assert Path(settings(here, "rtu-server.toml")["integrity"]["key_file"]).read_text() == line.key


def test_with_tls_the_line_carries_certificates_and_fits_a_terminals_line(here: Path, there: Path) -> None:
    names = ("broker.lan", "192.0.2.5")
    made: list[str | Path] = [*names, "--ca", here / "ca", "--broker", here / "broker", "--logins", here / "logins"]
    subprocess.run([sys.executable, ROOT / "mosquitto/make-certs", *made], check=True, capture_output=True)
    line = show(here, "--tls")
    assert len(line) < min(CANONICAL, MAX_LINE)
    assert pair("take", "--folder", str(there), stdin=line).returncode == 0
    login, mqtt = there / "logins/rtu", settings(there, "rtu-server.toml")["mqtt"]
    assert (mqtt["port"], mqtt["tls"], mqtt["key_file"]) == (8883, True, str(login / "key.pem"))
    for name in ("ca.pem", "cert.pem", "key.pem"):
        assert (login / name).read_text() == (here / "logins/rtu" / name).read_text()
    assert not (login / "password").exists()
    refused = pair("show", "--folder", str(here), "--tls")
    assert refused.returncode == 1
    assert "give --broker NAME" in refused.stderr


def test_without_a_login_for_the_other_host_nothing_is_made(here: Path) -> None:
    (here / "logins/rtu/password").unlink()
    before = tree(here)
    ended = pair("show", "--folder", str(here))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "make-users rtu" in ended.stderr
    assert tree(here) == before


@pytest.mark.parametrize("damage", ["", "airbridge-pair-1.AAAA.00000000\n", "cut", "no line at all\n"])
def test_a_bad_line_changes_nothing(here: Path, there: Path, damage: str) -> None:
    before = tree(there)
    ended = pair("take", "--folder", str(there), stdin=show(here)[:-9] if damage == "cut" else damage)
    assert ended.returncode == 2
    assert "Nothing was changed." in ended.stderr
    assert tree(there) == before


def test_variables_that_beat_the_settings_file_are_named_and_nothing_is_written(here: Path, there: Path) -> None:
    (there / "rtu-server.env").write_text("AIRBRIDGE_MQTT__HOST=old.lan\nAIRBRIDGE_NODE__NAME=attic\n")
    before = tree(there)
    ended = pair("take", "--folder", str(there), stdin=show(here))
    assert ended.returncode == 1
    assert "AIRBRIDGE_MQTT__HOST, which beats" in ended.stderr
    assert tree(there) == before


def test_variables_of_the_publisher_count_in_the_line(here: Path) -> None:
    (here / "publisher.env").write_text("AIRBRIDGE_MQTT__PREFIX=site/ksem\n")
    assert decode(show(here)).prefix == "site/ksem"


def test_a_line_given_as_an_argument_is_refused(here: Path, there: Path) -> None:
    ended = pair("take", show(here).strip(), "--folder", str(there))
    assert ended.returncode == 2
    assert "standard input" in ended.stderr
    assert not (there / "logins").exists()


def test_neither_side_prints_anything_secret_beside_the_line(here: Path, there: Path) -> None:
    shown = pair("show", "--folder", str(here), "--broker", "192.0.2.5")
    taken = pair("take", "--folder", str(there), stdin=shown.stdout)
    key = decode(shown.stdout).key.strip()
    for text in (shown.stderr, taken.stdout, taken.stderr):
        assert key not in text
        assert PASSWORD not in text
        assert shown.stdout.strip() not in text


def test_containers_share_logins_and_take_the_line_into_them(here: Path, tmp_path: Path) -> None:
    (here / "logins/publisher").mkdir()
    other = tmp_path / "volume"
    (other / "rtu").mkdir(parents=True)
    line = pair("show", "--logins", str(here / "logins"), "--broker", "192.0.2.5").stdout
    taken = pair("take", "--logins", str(other), stdin=line)
    assert taken.stdout.splitlines() == ["MQTT_HOST=192.0.2.5", "MQTT_PORT=1883", "MESSAGE_KEY=true"]
    key = (here / "logins/publisher/message.key").read_text()
    assert (here / "logins/rtu/message.key").read_text() == (other / "rtu/message.key").read_text() == key
    assert (other / "rtu/password").read_text() == f"{PASSWORD}\n"


def program(folder: Path) -> None:
    """The installed command, which writes down its arguments."""
    command = folder / "bin/airbridge"
    command.parent.mkdir(exist_ok=True)
    command.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/calls\n'
        f'PYTHONPATH={ROOT}:{ROOT}/shared exec {sys.executable} -m airbridge "$@"\n'
    )
    command.chmod(0o755)


class TestInstallScript:
    def test_the_script_pairs_two_trees_and_no_secret_is_an_argument(self, tmp_path: Path, here: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        for host in (one, other):
            host.mkdir()
            program(host)
        here.rename(one / "etc")
        printed = bash(one, "has_systemd() { false; }; broker=192.0.2.5; print_pairing")
        assert printed.returncode == 0, printed.stderr
        assert "without this key gets no data from now on" in printed.stderr
        line = printed.stdout
        (other / "etc").mkdir()
        (other / "etc/rtu-server.toml").write_bytes((ROOT / "deploy/packaging/rtu-server.toml").read_bytes())
        taken = bash(other, "pairing=-; read_pairing; check_pairing; take_pairing", stdin=line)
        assert taken.returncode == 0, taken.stderr
        assert settings(other / "etc", "rtu-server.toml")["mqtt"]["host"] == "192.0.2.5"
        calls = (one / "calls").read_text() + (other / "calls").read_text()
        for secret in (PASSWORD, line.strip(), decode(line).key.strip()):
            assert secret not in calls + taken.stdout + taken.stderr + printed.stderr

    def test_a_bad_line_ends_the_script_before_it_changes_anything(self, tmp_path: Path) -> None:
        ended = bash(tmp_path, "pairing=-; read_pairing; check_pairing; echo went on", stdin="airbridge-pair-1.AA.0\n")
        assert ended.returncode == 2
        assert "Nothing was changed" in ended.stderr
        assert "went on" not in ended.stdout

    def test_a_host_without_the_publisher_prints_no_line(self, tmp_path: Path) -> None:
        ended = bash(tmp_path, "print_pairing")
        assert ended.returncode == 1
        assert "ksem-publisher" in ended.stderr

    @pytest.mark.parametrize("words", [["publisher", "--pair", "x"], ["rtu-server", "--pair", "x", "--broker", "b"]])
    def test_the_line_goes_with_the_rtu_server_and_names_the_broker(self, words: list[str]) -> None:
        ended = subprocess.run([ROOT / "install.sh", *words], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert "--pair" in ended.stderr
