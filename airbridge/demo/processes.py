"""Runs one process of the demo and ends it by its process id; finds free TCP ports and the broker to start [shell]."""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from airbridge.demo.options import Address

END_WITHIN: Final = 3.0
"""Seconds for a clean end; services promise 2."""
TAIL: Final = 8


class Child:
    """One process. In a session of its own, so that Ctrl-C in the terminal reaches the demo alone."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._argv = [sys.executable, "-P", "-m", "airbridge.demo.with_parent", *argv]
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it. OSError where that fails."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,
            )
        return self

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def died(self) -> str:
        """How it ended by itself, with the last lines of its log; empty while it runs and after `stop`."""
        if self._process is None or (code := self._process.poll()) is None:
            return ""
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {how}. The end of its log:\n{log_tail(self.log)}"

    def terminate(self) -> None:
        """Send it SIGTERM, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End it and wait until it is gone. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def log_tail(path: Path, lines: int = TAIL) -> str:
    """The last lines of a log file, indented."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return "  (none)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"


def clean_environ() -> dict[str, str]:
    """This environment without settings of services: the demo's own settings files are to count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRBRIDGE_")}
    # Where the demo found its own code, its children shall find theirs: also in a checkout that was never installed.
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # Else a service would write its lines for the journal, which does not read these files.
    kept.pop("JOURNAL_STREAM", None)
    return kept


LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(place: Address) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((place.host, place.port), timeout=1.0):
            return True
    except OSError:
        return False


_SEARCH: Final = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/sbin"
_REMEDY: Final = (
    "no broker was found. Install mosquitto (sudo apt-get install mosquitto), or a broker from pip "
    "(pip install 'ksem-airbridge[demo]'), or name one with --broker HOST"
)


class NoBroker(Exception):
    """There is no broker on this computer; the text names the packages to install."""


@dataclass(frozen=True, slots=True)
class BrokerProgram:
    """What to start, and what it is called."""

    name: str
    argv: tuple[str, ...]


def own_broker(folder: Path, place: Address) -> BrokerProgram:
    """A broker that listens at `place` alone; its configuration goes to `folder`. Raises NoBroker."""
    mosquitto = shutil.which("mosquitto", path=_SEARCH)
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(_mosquitto_conf(place))
        return BrokerProgram(_mosquitto_name(mosquitto), (mosquitto, "-c", str(config)))
    if importlib.util.find_spec("iotcore"):
        config = folder / "iotcore.toml"
        config.write_text(_iotcore_toml(place))
        name = f"iotcore {importlib.metadata.version('iotcore')} (from pip; no mosquitto is installed)"
        return BrokerProgram(name, (sys.executable, "-P", "-m", "iotcore", "--config", str(config)))
    raise NoBroker(_REMEDY)


def _mosquitto_name(program: str) -> str:
    version = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return version.replace(" version", "") if version.startswith("mosquitto version") else "mosquitto"


def _mosquitto_conf(place: Address) -> str:
    lines = [f"listener {place.port} {place.host}", "allow_anonymous true", "set_tcp_nodelay true"]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes a user that may not read this folder
    return "\n".join(lines) + "\n"


def _iotcore_toml(place: Address) -> str:
    # Its own defaults listen everywhere and keep 100 MB of old messages.
    return f"""\
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 2

[v5.1]
name = "v5"
listen = "{place.host}:{place.port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 65536
max_inflight_count = 100
dynamic_filters = true
"""
