"""`airbridge setup` as a process, among simulated devices, an inverter and a real broker."""

import contextlib
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksem_contract.blocks import LIVE
from tests.bridge.broker import Broker, free_port
from tests.bridge.certificates import make_certificates
from tests.bridge.odd_meter import OddPush
from tests.bridge.setup_bench import (
    INVERTER,
    KSEM,
    NETWORK,
    TLS_KSEM,
    Line,
    Terminal,
    _low_ports,  # noqa: F401
    answered,
    five_others,
    meter,
    run_setup,
)

pytestmark = pytest.mark.usefixtures("low_ports")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    one = Broker(folder, users={"me": "right"}).start()
    yield one
    one.stop()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("right\n")
    return path


def published(folder: Path, name: str) -> dict[str, object]:
    return tomllib.loads((folder / name).read_text())


def test_the_meter_is_found_among_five_other_devices_and_both_halves_are_set_up(
    tmp_path: Path, broker: Broker, password: Path
) -> None:
    folder = tmp_path / "settings"
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", password)
    with meter(), five_others(), Line().inverter() as line:
        both = ("--publisher", "--rtu-server", "--network", NETWORK, "--port", line.path)
        ran = run_setup(folder, *both, *login, "--yes", "--wait", 1)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    publisher = published(folder, "publisher.toml")
    assert publisher["meter"] == [{"host": KSEM}]
    assert publisher["mqtt"] == {
        "host": "127.0.0.1",
        "port": broker.port,
        "username": "me",
        "password_file": f"{folder}/logins/publisher/password",
    }
    assert published(folder, "rtu-server.toml")["line"] == [{"port": line.path}]
    assert "The inverter requests unit 1 at 38400 8N2" in ran.stdout
    assert "71234567" in ran.stdout
    assert ran.stdout.count("another Modbus device") + ran.stdout.count("an inverter, not the meter") >= 3
    assert "right" not in ran.stdout


def test_where_nothing_is_found_a_script_ends_with_the_option_and_nothing_is_written(tmp_path: Path) -> None:
    ran = run_setup(tmp_path / "settings", "--publisher", "--network", "127.0.8.0/28", "--yes")
    assert ran.returncode == 3
    assert "No KSEM was found" in ran.stdout
    assert "--meter HOST" in ran.stderr
    assert not (tmp_path / "settings").exists()


def test_an_inverter_instead_of_the_meter_is_named(tmp_path: Path) -> None:
    with socket.create_server((INVERTER, 1502)):
        ran = run_setup(tmp_path / "settings", "--publisher", "--meter", INVERTER, "--yes")
    assert ran.returncode == 3
    assert "an inverter, not the meter" in ran.stdout
    assert "--untested" in ran.stderr
    assert not (tmp_path / "settings").exists()


def test_a_meter_that_speaks_tls_only_is_found_and_set_up_with_tls(
    tmp_path: Path, broker: Broker, password: Path
) -> None:
    made = make_certificates(tmp_path / "ca")
    words = ["ksem", "--host", TLS_KSEM, "--port", "802", "--tls", "--truth", str(tmp_path / "truth"), "--with-parent"]
    words += ["--tls-cert", str(made.server_cert), "--tls-key", str(made.server_key)]
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", password)
    with subprocess.Popen([sys.executable, "-m", "ksem_simulators", *words], stdin=subprocess.PIPE) as simulator:
        try:
            await_port(TLS_KSEM, 802)
            ran = run_setup(tmp_path / "settings", "--publisher", "--network", NETWORK, *login, "--yes", "--wait", 0)
        finally:
            simulator.terminate()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert published(tmp_path / "settings", "publisher.toml")["meter"] == [{"host": TLS_KSEM, "tls": True}]


def test_a_wrong_password_is_named_and_a_script_ends_there(tmp_path: Path, broker: Broker) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", wrong)
    ran = run_setup(tmp_path / "settings", "--publisher", "--meter", KSEM, "--untested", *login, "--yes", "--wait", 0)
    assert ran.returncode == 0  # --untested writes it
    with meter():
        ran = run_setup(tmp_path / "other", "--publisher", "--meter", KSEM, *login, "--yes", "--wait", 0)
    assert ran.returncode == 3
    assert "a name and a password that it knows" in ran.stdout
    assert not (tmp_path / "other").exists()


def test_a_wrong_password_is_asked_for_again_in_a_terminal(tmp_path: Path, broker: Broker) -> None:
    with meter():
        options = ("--publisher", "--meter", KSEM, "--broker", f"127.0.0.1:{broker.port}", "--wait", 0)
        code, text = answered(tmp_path / "settings", ["me", "mistyped", "me", "right"], *options)
    assert code == 0, text
    assert (tmp_path / "settings" / "logins" / "publisher" / "password").read_text() == "right\n"
    assert "mistyped" not in text
    assert "right\n" not in text


def test_the_program_on_the_port_is_named(tmp_path: Path, broker: Broker, password: Path) -> None:
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", password)
    with Line() as line, subprocess.Popen([sys.executable, "-c", HOLDER, line.path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        ran = run_setup(tmp_path / "settings", "--rtu-server", "--port", line.path, *login, "--yes", "--wait", 1)
        other.kill()
    assert "in use" in ran.stdout or "another program holds it" in ran.stdout, ran.stdout


def test_bytes_that_are_no_modbus_at_any_speed_mean_swapped_wires(
    tmp_path: Path, broker: Broker, password: Path
) -> None:
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", password)
    with Line().inverter(data=bytes(range(200, 240))) as line:
        ran = run_setup(tmp_path / "settings", "--rtu-server", "--port", line.path, *login, "--yes", "--wait", 0.5)
    assert "A and B are most likely swapped" in ran.stdout
    assert ran.returncode == 0


def test_the_setup_waits_until_the_meter_writes(tmp_path: Path, broker: Broker, password: Path) -> None:
    folder, port = tmp_path / "settings", free_port()
    folder.mkdir()
    (folder / "publisher.toml").write_text(f"# mine\n[push]\nport = {port}\n")
    login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", password)
    with meter() as one, OddPush(port, lambda: one.registers(LIVE)):
        ran = run_setup(folder, "--publisher", "--meter", KSEM, *login, "--yes", "--wait", 30)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "writes to this host" in ran.stdout
    assert (folder / "publisher.toml").read_text().startswith(f"# mine\n[push]\nport = {port}\n")


def test_killed_at_every_question_the_settings_are_the_old_ones(tmp_path: Path, broker: Broker) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    old = {"publisher.toml": "# old\n", "rtu-server.toml": "# old, too\n"}
    with meter(), Line().inverter() as line:
        answers = ["1", "me", "right", "n", "y"]
        both = ("--publisher", "--rtu-server", "--network", NETWORK, "--port", line.path)
        options = (*both, "--wait", 1, "--broker", f"127.0.0.1:{broker.port}")
        for count in range(len(answers) + 1):
            for name, text in old.items():
                (folder / name).write_text(text)
            with Terminal(folder, *options) as terminal:
                for line_typed in answers[:count]:
                    assert terminal.await_question() is not None, terminal.text
                    terminal.answer(line_typed)
                if terminal.await_question() is None:
                    break
                terminal.kill()
            assert {name: (folder / name).read_text() for name in old} == old, terminal.text
        else:
            raise AssertionError("more questions than answers")
        assert count == len(answers)
    assert 'host = "127.0.7.10"' in (folder / "publisher.toml").read_text()
    assert (folder / "publisher.toml").read_text().startswith("# old\n")


def test_ctrl_c_at_a_question_leaves_everything_as_it_is(tmp_path: Path) -> None:
    with Terminal(tmp_path / "settings", "--publisher") as terminal:
        assert terminal.await_question() is not None
        assert terminal.interrupt() == 130
    assert "Nothing was written" in terminal.text
    assert not (tmp_path / "settings").exists()


HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


def await_port(host: str, port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.2):
            return
        time.sleep(0.1)
    raise AssertionError(f"{host}:{port} does not accept")
