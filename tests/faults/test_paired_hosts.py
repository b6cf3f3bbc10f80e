"""Two hosts with a tree each: install.sh prints a line on the one, and all that the other one gets is that line.

install.sh runs from its first line to its last on both, in a terminal, with a shell that keeps a history. Its places
are moved into the host's tree, and packages, users and units of this machine are left alone.
"""

import contextlib
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pytest

from airbridge.pairing.line import Pairing, decode
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from tests.bridge.broker import Broker
from tests.bridge.service import Service

from .namespaces import CELLAR, Host, Network, may_make_networks

pytestmark = pytest.mark.skipif(not may_make_networks(), reason="network namespaces are root's alone")

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCED: Final = '[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0'
COMMANDS: Final = {
    "airbridge": "airbridge",
    "ksem-publisher": "ksem_publisher --config {etc}/publisher.toml",
    "rtu-server": "rtu_server --config {etc}/rtu-server.toml",
}
PROMPT: Final = "host# "
STUBS: Final = """
install_packages() { :; }
install_programs() { : >"$old_versions"; }
install_unit() { :; }
make_user() { :; }
own_by_group() { chmod "$2" "$3"; }
has_systemd() { false; }
runuser() { shift 3; "$@"; }
cp() {
    command cp "$@" || return 1
    [[ ! -f ${@: -1} ]] || sed -i "s|/etc/ksem-airbridge|$SETTINGS|g; s|/etc/mosquitto|$BROKER|g" "${@: -1}"
}
install() { cp "${@: -2:1}" "${@: -1}"; }
put() { cmp -s "$1" "$2" && return 1; mkdir -p "$(dirname "$2")" && cp "$1" "$2"; }
make_login() {
    python3 -I -B "$CHECKOUT/mosquitto/make-users" "$1" --group root --broker "$BROKER/ksem-airbridge" \\
        --logins "$SETTINGS/logins" >/dev/null
}
"""
"""What would change this machine and not the tree: packages, users, groups and units; and files that name places."""


class Tree:
    """A host of its own: a network, a folder for all that install.sh writes, and a shell in a terminal."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self.host = folder, host
        for name in ("opt", "etc", "bin", "units", "mosquitto/conf.d", "serial/by-id"):
            (folder / name).mkdir(parents=True)
        for command, module in COMMANDS.items():
            started = f"{sys.executable} -m {module.format(etc=folder / 'etc')}"
            self._write(f"bin/{command}", f'PYTHONPATH={ROOT}:{ROOT}/shared exec {started} "$@"\n')
        text = (ROOT / "install.sh").read_text()
        assert text.count(SOURCED) == 1
        places = {"HOME_DIR": "opt", "SETTINGS": "etc", "COMMANDS": "bin", "UNITS": "units", "BROKER": "mosquitto"}
        moved = "\n".join(f"{name}={folder}/{place}" for name, place in {**places, "SERIAL": "serial"}.items())
        text = text.replace('CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)', f"CHECKOUT={ROOT}")
        self._write("install.sh", text.replace(SOURCED, f"{moved}\n{STUBS}").removeprefix("#!/bin/bash\n"), "/bin/bash")
        self.history = folder / "history"
        self.screen = ""

    def _write(self, name: str, text: str, shell: str = "/bin/sh") -> None:
        (self.folder / name).write_text(f"#!{shell}\n{text}")
        (self.folder / name).chmod(0o755)

    @contextlib.contextmanager
    def shell(self) -> Iterator[None]:
        """A shell as its owner has it: interactive, with a history."""
        self._terminal, other = pty.openpty()
        environ = {**os.environ, "HISTFILE": str(self.history), "PS1": PROMPT, "TERM": "dumb"}
        with self.host.entered():
            shell = subprocess.Popen(
                ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
                stdin=other,
                stdout=other,
                stderr=other,
                env=environ,
                cwd=self.folder,
            )
        os.close(other)
        self.await_text(PROMPT)
        try:
            yield
            self.type("exit")
            shell.wait(10)
        finally:
            shell.kill()
            shell.wait()
            os.close(self._terminal)

    def type(self, text: str) -> None:
        os.write(self._terminal, f"{text}\n".encode())

    def run(self, command: str) -> str:
        """Type a command; return what the screen shows until the next prompt."""
        self.type(command)
        return self.await_text(PROMPT)

    def await_text(self, text: str, within: float = 60.0) -> str:
        """Wait for it on the screen; return what came until then."""
        begin, deadline = len(self.screen), time.monotonic() + within
        while text not in self.screen[begin:]:
            assert select.select([self._terminal], [], [], deadline - time.monotonic())[0], self.screen[begin:]
            self.screen += os.read(self._terminal, 65536).decode(errors="replace").replace("\r", "")
        return self.screen[begin:]


class Bystander(threading.Thread):
    """Another user of this machine, who notes every command line and every environment that can be seen."""

    def __init__(self) -> None:
        super().__init__(name="bystander", daemon=True)
        self.seen: set[bytes] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add((process / name).read_bytes())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


class InstalledBroker(Broker):
    """mosquitto with what install.sh wrote into a tree, at its own ports."""

    host = CELLAR

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree.folder / "mosquitto", port=1883)

    def _write_files(self) -> None:
        more = "user root\nlog_dest stderr\nlog_type all\n"
        self._config_path.write_text(f"{more}include_dir {self.folder}/conf.d\n")


def installed(tree: Tree, module: str, name: str) -> Service:
    """The service with the settings of its tree, as they are there."""
    service = Service(module, "", tree.folder / "run")
    service.settings_path.unlink()
    service.settings_path = tree.folder / "etc" / name
    return service


def secrets_of(line: str) -> tuple[str, ...]:
    """What nobody may see: the line, its content, and the secrets in it."""
    pairing: Pairing = decode(line)
    return line, line.split(".")[1][:100], pairing.password, pairing.key.strip()


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        with network.cellar.entered():
            subprocess.run(["ip", "route", "add", "default", "dev", "cable"], check=True)
        yield network


@pytest.mark.slow
def test_a_host_that_gets_nothing_but_the_pasted_line_serves_its_inverter(tmp_path: Path, network: Network) -> None:
    cellar, attic = Tree(tmp_path / "cellar", network.cellar), Tree(tmp_path / "attic", network.attic)
    with Bystander() as bystander, contextlib.ExitStack() as stack:
        with network.cellar.entered():
            meter = KsemHandle(tmp_path, host=CELLAR, port=502, push=(CELLAR, 5020))
            stack.enter_context(meter)
        with cellar.shell():
            written = cellar.run(f"./install.sh publisher --mosquitto --meter {CELLAR} --no-setup")
            assert "Done." in written, written
            with network.cellar.entered():
                broker = stack.enter_context(InstalledBroker(cellar))
            cellar.run("./install.sh pair >line")
        line = (cellar.folder / "line").read_text().strip()
        (cellar.folder / "line").unlink()
        with network.cellar.entered():
            publisher = stack.enter_context(installed(cellar, "ksem_publisher", "publisher.toml"))
        with network.attic.entered():
            rs485 = stack.enter_context(LineHandle(tmp_path))
        (attic.folder / "serial/by-id/usb-FTDI_FT232R_USB_UART_A10KZP4S-if00-port0").symlink_to(rs485.server)
        with attic.shell():
            attic.type("./install.sh rtu-server --pair - --no-setup")
            attic.await_text("press Enter: ")
            attic.type(line)
            written = attic.await_text(PROMPT)
            assert "Done." in written, written
        assert "rtu-server --pair -" in attic.history.read_text()
        with network.attic.entered():
            server = stack.enter_context(installed(attic, "rtu_server", "rtu-server.toml"))
            inverter = PlenticoreHandle(tmp_path, line=rs485, truth=meter.truth)
            stack.enter_context(inverter)
        inverter.wait_for("good", 50, 30.0)
        server.await_log("the inverter gets data")
        logs = f"{broker.log_text()}{publisher.log_text()}{server.log_text()}{cellar.screen}{attic.screen}"
    seen = logs + attic.history.read_text() + cellar.history.read_text() + repr(bystander.seen)
    assert f"--broker {CELLAR}" not in seen, "nobody had to give the broker's address"
    assert "ksem_publisher --config" in repr(bystander.seen).replace("\\x00", " "), "the bystander looks at processes"
    for secret in secrets_of(line):
        assert secret not in seen
    for file in (one for one in tmp_path.rglob("*") if one.is_file()):
        assert line.encode() not in file.read_bytes(), file
