"""install.sh's functions one by one, in folders of their own: what is looked at, written, taken back and printed."""

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ksem_contract.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]


def bash(folder: Path, program: str, *, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that has install.sh's functions, with every place of the host moved below `folder`."""
    places = {"HOME_DIR": "opt", "SETTINGS": "etc", "COMMANDS": "bin", "UNITS": "units", "BROKER": "mosquitto"}
    moved = "".join(f"{name}={folder}/{place}; mkdir -p {folder}/{place}; " for name, place in places.items())
    text = f"source {ROOT}/install.sh; {moved}\n{program}"
    return subprocess.run(
        ["bash", "-c", text], input=stdin, capture_output=True, text=True, check=False, cwd=cwd or folder
    )


def configure(folder: Path, name: str, text: str) -> Path:
    file = folder / "mosquitto" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


class TestPorts:
    def test_a_listener_in_the_owners_own_file_stops_the_run_before_anything_is_changed(self, tmp_path: Path) -> None:
        own = configure(tmp_path, "conf.d/local.conf", "allow_anonymous true\nlistener 1883\n")
        ended = bash(tmp_path, "check_broker_ports; echo went on")
        assert ended.returncode == 1
        assert f"Port 1883 already belongs to {own} line 2" in ended.stderr
        assert "nothing was changed" in ended.stderr
        assert "went on" not in ended.stdout

    @pytest.mark.parametrize("line", ["port 1883", "  listener 1883 0.0.0.0", "listener\t1883"])
    def test_each_way_to_write_a_listener_is_seen(self, tmp_path: Path, line: str) -> None:
        configure(tmp_path, "mosquitto.conf", f"{line}\n")
        assert "already belongs to" in bash(tmp_path, "check_broker_ports").stderr

    @pytest.mark.parametrize("line", ["# listener 1883", "listener 18830", "listener 8883"])
    def test_other_lines_are_no_owner(self, tmp_path: Path, line: str) -> None:
        configure(tmp_path, "mosquitto.conf", f"{line}\n")
        assert "mosquitto.conf" not in bash(tmp_path, "owner_of_port 1883").stdout

    def test_a_running_program_on_the_port_is_named(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            written = bash(tmp_path, f"owner_of_port {server.getsockname()[1]}").stdout
        assert f"process {os.getpid()} " in written

    def test_a_broker_that_does_not_start_gets_its_own_files_back(self, tmp_path: Path) -> None:
        program = """
        systemctl() { case $1 in restart) [[ ! -e $BROKER/conf.d/ksem-airbridge.conf ]] ;; *) true ;; esac; }
        touch "$BROKER/conf.d/ksem-airbridge.conf"
        restart_broker "$BROKER/conf.d/ksem-airbridge.conf"
        """
        configure(tmp_path, "conf.d/local.conf", "")
        ended = bash(tmp_path, program)
        assert ended.returncode == 1
        assert "taken out again" in ended.stderr
        assert [file.name for file in (tmp_path / "mosquitto/conf.d").iterdir()] == ["local.conf"]


@pytest.mark.slow
def test_nothing_in_the_folder_that_it_is_started_from_is_imported(tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    for name in ("venv", "pip", "argparse", "sysconfig"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    program = """
    fingerprint() { echo one; }; step() { :; }; changed() { :; }
    export PYTHONPATH=$PWD
    install_programs ksem-publisher
    """
    # (pip is not run to its end: an index that does not exist ends it.)
    bash(
        tmp_path,
        f"export PIP_INDEX_URL=http://127.0.0.1:1 PIP_RETRIES=0 PYTHONPATH={tmp_path}\n{program}",
        cwd=tmp_path,
    )
    assert not mark.exists()


@pytest.mark.slow
def test_programs_whose_hash_is_another_one_are_not_installed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "locked.txt").write_text("mdurl==0.1.2 --hash=sha256:" + "0" * 64 + "\n")
    source = (ROOT / "install.sh").read_text().replace('CHECKOUT=$(cd "$(dirname', f"CHECKOUT={checkout} # ")
    source = source.replace(f"CHECKOUT={checkout} # ", f"CHECKOUT={checkout}\n: # ", 1)
    (checkout / "install.sh").write_text(source)
    program = f"source {checkout}/install.sh; HOME_DIR={tmp_path}/opt; fingerprint() {{ echo one; }}; install_programs"
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "What ran before still runs" in ended.stderr
    assert not (tmp_path / "opt/versions/one").exists()


def test_no_temporary_file_stays_after_a_failure(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ended = bash(tmp_path, "fail no")
    assert ended.returncode == 1
    before = subprocess.run(
        ["bash", "-c", f"source {ROOT}/install.sh; touch $SCRATCH/x; fail no"],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        check=False,
    )
    assert before.returncode == 1
    assert not list(scratch.iterdir())


def adapters(folder: Path, *names: str) -> str:
    """Plug adapters in: by-id links, each to a device of its own; return the lines that name their folder."""
    by_id = folder / "serial" / "by-id"
    by_id.mkdir(parents=True)
    for number, name in enumerate(names):
        (by_id / name).symlink_to(f"../../ttyUSB{number}")
    return f"SERIAL={folder}/serial\n"


class TestFindPort:
    def test_the_one_adapter_is_taken_and_printed(self, tmp_path: Path) -> None:
        program = adapters(tmp_path, "usb-FTDI_FT232R_A1-if00-port0") + 'find_port; echo "port=$port"'
        written = bash(tmp_path, program).stdout
        assert written.count("usb-FTDI_FT232R_A1-if00-port0") == 2
        assert "port=/" in written

    @pytest.mark.parametrize(
        "name",
        [
            "usb-ITead_Sonoff_Zigbee_3.0_USB_Dongle_Plus_0001-if00-port0",
            "usb-dresden_elektronik_ConBee_II_DE1-if00",
            "usb-Nabu_Casa_SkyConnect_v1.0_abc-if00-port0",
            "usb-Texas_Instruments_TI_CC2531_USB_CDC-if00",
            "usb-Nabu_Casa_ZWA-2_Z-Wave_abc-if00",
        ],
    )
    def test_a_stick_that_is_no_rs485_adapter_is_not_taken(self, tmp_path: Path, name: str) -> None:
        written = bash(tmp_path, adapters(tmp_path, name) + 'find_port; echo "port=$port"').stdout
        assert "port=\n" in written
        assert "--port PATH" in written
        assert name in written

    def test_two_adapters_behind_one_link_are_not_taken_silently(self, tmp_path: Path) -> None:
        program = adapters(tmp_path, "usb-1a86_USB_Serial-if00-port0")
        by_path = tmp_path / "serial" / "by-path"
        by_path.mkdir()
        for number in range(2):
            (by_path / f"platform-usb-0:1.{number}:1.0-port0").symlink_to(f"../../ttyUSB{number}")
        written = bash(tmp_path, program + 'find_port; echo "port=$port"').stdout
        assert "port=\n" in written
        assert "by-path/platform-usb-0:1.1" in written

    def test_none_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        written = bash(tmp_path, f"SERIAL={tmp_path}/none; find_port").stdout
        assert "No USB-RS485 adapter was found. Plug it in and run this command again." in written


SETTINGS_OF = {
    "ksem-publisher": "publisher.toml",
    "rtu-server": "rtu-server.toml",
    "inverter-reader": "inverter-reader.toml",
    "ksem-dashboard": "dashboard.toml",
}


def settings(folder: Path, service: str, program: str, before: str | None = None) -> tuple[str, str]:
    """Run make_settings; return the file and what was printed."""
    file = folder / "etc" / SETTINGS_OF[service]
    if before is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(before)
    stubs = 'own_by_group() { :; }; install() { cp "${@: -2:1}" "${@: -1}"; }; meter_answers() { true; }\n'
    ended = bash(folder, f"{stubs}SERIAL={folder}/serial\n{program}\nmake_settings {service}")
    assert ended.returncode == 0, ended.stderr
    return file.read_text(), ended.stdout


class TestSettings:
    def test_a_meter_that_was_missing_is_filled_in_by_a_second_run(self, tmp_path: Path) -> None:
        text, _ = settings(tmp_path, "ksem-publisher", "")
        assert '\nhost = "192.168.1.50"' not in text
        text, written = settings(tmp_path, "ksem-publisher", "meter=192.0.2.7")
        assert tomllib.loads(text)["meter"][0]["host"] == "192.0.2.7"
        assert "192.0.2.7" in written

    @pytest.mark.parametrize("line", ["", '\nhost = "192.168.1.50"\n'])
    def test_a_missing_key_and_a_placeholder_are_filled(self, tmp_path: Path, line: str) -> None:
        text, _ = settings(tmp_path, "ksem-publisher", "meter=192.0.2.7", f"[[meter]]{line}\n[mqtt]\nport = 1883\n")
        assert tomllib.loads(text)["meter"][0]["host"] == "192.0.2.7"

    def test_another_value_is_kept_and_the_line_to_change_is_printed(self, tmp_path: Path) -> None:
        before = '[[meter]]\nhost = "192.0.2.1"\n'
        text, written = settings(tmp_path, "ksem-publisher", "meter=192.0.2.7", before)
        assert text == before
        assert 'publisher.toml line 2: host = "192.0.2.1" was kept' in written
        assert 'host = "192.0.2.7"' in written

    def test_an_adapter_that_comes_later_is_found(self, tmp_path: Path) -> None:
        _, written = settings(tmp_path, "rtu-server", "")
        assert "No USB-RS485 adapter was found" in written
        adapters(tmp_path, "usb-FTDI_A1-if00-port0")
        text, _ = settings(tmp_path, "rtu-server", "")
        assert tomllib.loads(text)["line"][0]["port"].endswith("usb-FTDI_A1-if00-port0")

    def test_a_login_that_comes_later_is_written_into_the_settings(self, tmp_path: Path) -> None:
        settings(tmp_path, "rtu-server", "port=/dev/ttyUSB0")
        login = tmp_path / "etc/logins/rtu/password"
        login.parent.mkdir(parents=True)
        login.write_text("secret\n")
        mqtt = tomllib.loads(settings(tmp_path, "rtu-server", "broker=192.0.2.5")[0])["mqtt"]
        assert mqtt == {"host": "192.0.2.5", "username": "rtu", "password_file": str(login)}

    def test_a_second_run_with_the_same_words_changes_nothing(self, tmp_path: Path) -> None:
        words = "port=/dev/ttyUSB0 broker=192.0.2.5"
        first, _ = settings(tmp_path, "rtu-server", words)
        again, written = settings(tmp_path, "rtu-server", words)
        assert again == first
        assert "kept" in written

    @pytest.mark.parametrize(
        ("given", "host"),
        [
            ("http://192.168.77.50/", "192.168.77.50"),
            ("https://admin@ksem.lan:443/login", "ksem.lan"),
            ("192.168.77.50:502", "192.168.77.50"),
            ("http://[fd00::5]:80/", "fd00::5"),
            ("fd00::5", "fd00::5"),
            ("ksem.lan", "ksem.lan"),
        ],
    )
    def test_an_address_from_a_browser_becomes_a_host(self, tmp_path: Path, given: str, host: str) -> None:
        assert bash(tmp_path, f"host_of '{given}'").stdout == host

    def test_the_page_is_for_the_house_where_that_was_given(self, tmp_path: Path) -> None:
        text, _ = settings(tmp_path, "ksem-dashboard", "page=house")
        assert tomllib.loads(text)["dashboard"]["listen"] == "0.0.0.0"

    def test_services_on_the_brokers_host_take_its_loopback_listener(self, tmp_path: Path) -> None:
        shipped = (ROOT / "mosquitto/conf.d/ksem-airbridge.conf").read_text()
        configure(tmp_path, "conf.d/ksem-airbridge.conf", shipped)
        text, _ = settings(tmp_path, "ksem-publisher", "mosquitto=yes meter=192.0.2.7")
        assert tomllib.loads(text)["mqtt"] == {"host": "127.0.0.1", "port": 1884}


def test_an_upgrade_prints_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/CHANGELOG.md").write_text((ROOT / "CHANGELOG.md").read_text().split("- **The chain**")[0])
    written = bash(tmp_path, "show_news; show_news").stdout
    assert written.count("What is new:") == 1
    assert "- **The chain**" in written
    assert "# Changelog" not in written


def test_a_command_names_the_upgrade_after_debian_got_another_python(tmp_path: Path) -> None:
    bash(tmp_path, "link_command airbridge")
    for place in ("bin", "lib/python3.1"):
        (tmp_path / "opt/current" / place).mkdir(parents=True)
    (tmp_path / "opt/current/bin/python3").symlink_to("/bin/sh")
    ended = subprocess.run([tmp_path / "bin/airbridge"], capture_output=True, text=True, check=False)
    assert (ended.returncode, "sudo ./install.sh upgrade" in ended.stderr) == (1, True), ended


def test_a_command_starts_what_is_installed(tmp_path: Path) -> None:
    bash(tmp_path, "link_command airbridge")
    program = tmp_path / "opt/current/bin/airbridge"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (program.parent / "python3").symlink_to(sys.executable)
    version = Path(sys.executable).resolve().name
    (tmp_path / "opt/current/lib" / version).mkdir(parents=True)
    assert (
        subprocess.run([tmp_path / "bin/airbridge", "a b"], capture_output=True, text=True, check=True).stdout
        == "a b\n"
    )


def test_the_unit_may_open_the_ports_of_the_settings_only(tmp_path: Path) -> None:
    port = tmp_path / "adapter"
    port.symlink_to("/dev/null")  # a character device of major number 1
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/rtu-server.toml").write_text(f'[[line]]\nport = "{port}"\n')
    bash(tmp_path, "has_systemd() { false; }; allow_port")
    drop_in = (tmp_path / "units/rtu-server.service.d/serial-port.conf").read_text()
    assert drop_in.splitlines()[1:] == ["[Service]", "DeviceAllow=", "DeviceAllow=char-1 rw"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("live data flows", 0),
        (str(Reason.of("inverter-served")), 0),  # what rtu-server reports to systemd
        ("no data: the meter is not reached", 1),
        ("", 1),
    ],
)
def test_data_flows_or_does_not_by_what_the_services_report(tmp_path: Path, status: str, code: int) -> None:
    program = f"systemctl() {{ echo '{status}'; }}; wanted=(ksem-publisher rtu-server ksem-dashboard); data_flows"
    assert bash(tmp_path, program).returncode == code


class TestSetup:
    def run(self, folder: Path, program: str) -> list[str]:
        """With stand-ins of the installed commands; returns the command lines of `airbridge`."""
        for name, body in (
            ("airbridge", f'echo "$@" >>{folder}/calls'),
            ("ksem-publisher", "true"),
            ("rtu-server", "true"),
        ):
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        head = f"COMMANDS={folder}; SETTINGS={folder}; wanted=(ksem-publisher rtu-server); allow_port() {{ :; }}; "
        ran = bash(folder, head + program)
        assert ran.returncode == 0, ran.stderr
        return (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []

    def test_new_settings_lead_to_the_questions_with_what_was_named(self, tmp_path: Path) -> None:
        calls = self.run(tmp_path, "settings_made=yes; meter=10.0.0.5; port=/dev/ttyUSB0; run_setup")
        assert calls == ["setup --no-start --publisher --rtu-server --meter 10.0.0.5 --port /dev/ttyUSB0"]

    def test_complete_settings_lead_to_none(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, "run_setup") == []

    def test_without_a_terminal_nothing_is_asked(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, "if uses_setup; then run_setup; fi") == []
