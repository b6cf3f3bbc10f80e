"""The doctor finds each fault of a chain made of simulators, names its remedy, and leaves a well one alone."""

import os
import pty
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airbridge.command import app
from ksem_simulators.simulator import KsemHandle
from tests.bridge.broker import Broker, free_port
from tests.bridge.certificates import make_certificates
from tests.bridge.doctor import ACL, PASSWORDS, LoginChain, Said, a_broker, doctor

SERIAL_NUMBER = "00000000SIMULATED"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginChain]:
    folder = tmp_path_factory.mktemp("well")
    with LoginChain(folder, broker=a_broker(folder)) as chain:
        chain.start()
        chain.publisher.await_log("push is up")
        chain.await_good()
        yield chain


class TestOnAWellChain:
    def test_it_has_no_complaint_and_ends_with_0(self, chain: LoginChain) -> None:
        written = chain.until(lambda written: written.code == 0 and not written.complaints())
        assert written.stderr.strip() == ""
        for check in ("settings", "meter", "broker", "rights", "publisher", "push", "port", "server", "inverter"):
            assert written.states(check) == {"ok"}, (check, written.stdout)
        assert written.states("versions") == {"ok"}
        push = next(one["text"] for one in written.findings if one["check"] == "push")
        assert re.search(r"from 127.0.0.1 every (19|20)\d ms, registers 0-27, 40-145", push)

    @pytest.mark.parametrize("half", ["publisher", "server"])
    def test_it_sees_both_halves_from_either_host(self, chain: LoginChain, half: str) -> None:
        config = getattr(chain, half).settings_path
        written = doctor(f"--{half}-config", config)
        assert (written.code, written.complaints()) == (0, []), written.stdout
        assert written.states("push") == written.states("inverter") == {"ok"}

    def test_people_get_a_line_a_check_and_a_sum(self, chain: LoginChain) -> None:
        written = doctor("--server-config", chain.server.settings_path, json_wanted=False)
        assert re.search(r"^ok {5}inverter {2}attic, rs485, unit 1: .* requests a .* 0-", written.stdout, re.MULTILINE)
        assert "All is well" in written.stdout

    def test_a_bundle_holds_no_password_no_token_and_no_serial_number(self, chain: LoginChain, tmp_path: Path) -> None:
        file = tmp_path / "report.tar.gz"
        written = chain.doctor("--bundle", file)
        assert written.code == 0, written.stdout
        assert file.stat().st_mode & 0o077 == 0
        with tarfile.open(file) as archive:
            texts = {}
            for name in archive.getnames():
                member = archive.extractfile(name)
                assert member is not None
                texts[Path(name).name] = member.read().decode()
        assert {"doctor.txt", "doctor.json", "retained.txt", "versions.txt", "ports.txt"} <= texts.keys()
        assert "ksem/main/block/device" in texts["retained.txt"]
        assert 'host = "127.0.0.1"' in texts["settings-ksem-publisher.txt"]
        everything = "".join(texts.values())
        words = [str(int.from_bytes(SERIAL_NUMBER[at : at + 2].encode(), "big")) for at in range(0, 16, 2)]
        for secret in (*PASSWORDS.values(), SERIAL_NUMBER, ", ".join(words), ",".join(words)):
            assert secret not in everything, secret


class TestMeter:
    def test_an_address_without_a_meter(self) -> None:
        doctor("--meter", f"127.0.0.1:{free_port()}").assert_found(
            "meter", "refuses connections", "address in [[meter]]"
        )
        doctor("--meter", "no-such-meter.invalid").assert_found("meter", "is not known", "IP address")

    def test_an_inverter_in_the_meters_place(self, tmp_path: Path) -> None:
        with KsemHandle(tmp_path) as device:
            device.command("fault", name="foreign")
            written = doctor("--meter", f"127.0.0.1:{device.port}")
        written.assert_found("meter", "is an inverter, not a KSEM", "KSEM's own address and port 502")

    def test_the_modbus_slave_switched_off(self, tmp_path: Path) -> None:
        with KsemHandle(tmp_path, port=(port := free_port()), options=["--closed"]):
            doctor("--meter", f"127.0.0.1:{port}").assert_found(
                "meter", "slave is switched off", "switch the TCP slave on"
            )

    def test_tls_only(self, tmp_path: Path) -> None:
        made = make_certificates(tmp_path / "certificates")
        files = ["--tls-cert", str(made.server_cert), "--tls-key", str(made.server_key)]
        with KsemHandle(tmp_path, options=["--tls", *files]) as meter:
            written = doctor("--meter", f"127.0.0.1:{meter.port}")
        written.assert_found("meter", "speaks TLS only", "tls = true")


class TestPort:
    def test_a_port_that_is_missing(self) -> None:
        doctor("--serial", "/dev/serial/by-id/usb-none").assert_found("port", "no such port", "plug the adapter in")

    def test_a_port_that_another_program_holds(self) -> None:
        master, slave = pty.openpty()
        path = os.ttyname(slave)
        with subprocess.Popen(["cat"], stdin=slave) as thief:
            os.close(slave)
            written = doctor("--serial", path)
            thief.kill()
        os.close(master)
        written.assert_found("port", "held by another program: cat", f"process {thief.pid}", "stop that program")


class TestBroker:
    def settings(self, folder: Path, port: int, password: str) -> Path:
        path = folder / "rtu-server.toml"
        text = f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nusername = "rtu"\npassword = "{password}"\n'
        path.write_text(text + '[[line]]\nport = "/dev/null"\n')
        return path

    def test_a_broker_that_is_down(self, tmp_path: Path) -> None:
        written = doctor("--server-config", self.settings(tmp_path, free_port(), "x"))
        written.assert_found("broker", "no broker listens there", "systemctl status mosquitto")

    def test_a_wrong_password(self, tmp_path: Path) -> None:
        with a_broker(tmp_path) as broker:
            written = doctor("--server-config", self.settings(tmp_path, broker.port, "wrong"))
        written.assert_found("broker", "bad user name or password", "password_file")
        assert "wrong-password" not in written.stdout

    def test_an_acl_that_starves_and_one_that_refuses(self, tmp_path: Path) -> None:
        acl = ACL.replace("topic read ksem/rtu/+/status\n", "").replace("topic write ksem/+/ping/+\n", "")
        with a_broker(tmp_path, acl) as broker:
            written = doctor("--server-config", self.settings(tmp_path, broker.port, PASSWORDS["rtu"]), patience=1.5)
        written.assert_found("rights", "ksem/rtu/+/status", "starves it", "let user rtu read ksem/rtu/+/status")
        written.assert_found("rights", "refuses what is published on ksem/+/ping/+", "let user rtu write ksem/+/ping/+")
        assert len(written.wrong("rights")) == 2

    def test_settings_with_mistakes_are_told_key_by_key(self, tmp_path: Path) -> None:
        path = self.settings(tmp_path, 1883, "x")
        path.write_text(path.read_text() + "baudrate = 12\nstopbit = 2\n")
        written = doctor("--server-config", path)
        written.assert_found("settings", "baudrate = 12", "1200 to 921600", "restart rtu-server")
        written.assert_found("settings", "stopbit", "did you mean stopbits")


def test_it_asks_the_services_that_are_installed_not_what_lies_where_it_is_called_from(tmp_path: Path) -> None:
    """A checkout of another version, for one, or whatever somebody put there."""
    (tmp_path / "rtu_server").mkdir()
    (tmp_path / "rtu_server" / "__init__.py").touch()
    (tmp_path / "rtu_server" / "__main__.py").write_text("raise SystemExit('not me')\n")
    config = tmp_path / "rtu-server.toml"
    config.write_text('[mqtt]\nport = 1\n[[line]]\nport = "/dev/null"\n')
    program = Path(sys.executable).with_name("airbridge")
    command = f"{program} doctor --json --patience 0.5 --server-config {config}"
    ran = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert Said(ran).states("settings") == {"ok"}, ran.stdout


@pytest.mark.parametrize(
    "words",
    [("--server-config", "/does/not/exist.toml"), ("--meter", "host:port"), ("--no-such-option",)],
    ids=" ".join,
)
def test_the_command_line_is_refused_with_2(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["doctor", *words]).exit_code == 2


def test_nothing_that_is_heard_is_not_well(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        written = doctor("--broker", f"127.0.0.1:{broker.port}", patience=1.5)
    written.assert_found("publisher", "no publisher is seen below ksem/", "systemctl status ksem-publisher")


@pytest.mark.slow
def test_discovery_that_is_switched_off_or_elsewhere_needs_no_right(tmp_path: Path) -> None:
    test = TestBroker()
    acl = re.sub(r"topic write homeassistant/device/.*\n", "", ACL).replace(
        "user rtu\n", "user rtu\ntopic write ha/device/ksem_rtu/+/config\n"
    )
    with a_broker(tmp_path, acl) as broker:
        path = test.settings(tmp_path, broker.port, PASSWORDS["rtu"])
        text = path.read_text()
        assert doctor("--server-config", path, patience=1.5).wrong("rights")
        for more in ("discovery = false", 'prefix = "ha"'):
            path.write_text(f"{text}[homeassistant]\n{more}\n")
            assert doctor("--server-config", path, patience=1.5).wrong("rights") == []


def test_a_service_of_this_host_that_failed_is_named(tmp_path: Path) -> None:
    """systemd is what a test can't start: a stand-in answers as it would."""
    shown = [
        ("ksem-publisher", "loaded", "active", "running", "success", "enabled"),
        ("rtu-server", "not-found", "inactive", "dead", "success", ""),
        ("ksem-dashboard", "loaded", "activating", "auto-restart", "exit-code", "enabled"),
    ]
    keys = ("LoadState", "ActiveState", "SubState", "Result", "UnitFileState")
    parts = ["\n".join([f"Id={name}.service", *map("=".join, zip(keys, rest, strict=True))]) for name, *rest in shown]
    (tmp_path / "shown").write_text("\n\n".join(parts) + "\n")
    stand_in = tmp_path / "systemctl"
    stand_in.write_text(f"#!/bin/sh\ncat {tmp_path}/shown\n")
    stand_in.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        written = doctor("--serial", "/dev/null")
    finally:
        os.environ["PATH"] = path
    written.assert_found("service", "ends soon after each start (exit-code)", "journalctl -u ksem-dashboard")
    assert {one["about"] for one in written.findings if one["check"] == "service"} == {
        "ksem-publisher",
        "ksem-dashboard",
    }


@pytest.mark.slow
def test_the_dashboards_settings_and_login_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.toml"
    path.write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n[dashboard]\nprot = 1\n')
    doctor("--dashboard-config", path).assert_found("settings", "prot", "did you mean port", "restart ksem-dashboard")
    path.write_text(path.read_text().replace("prot = 1", "port = 8081"))
    doctor("--dashboard-config", path).assert_found("broker", "no broker listens there")
