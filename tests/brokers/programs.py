"""Brokers for tests, each a process with a configuration and a folder of its own, on a free loopback port.

`tests/brokers/install` brings the programs. What could not be installed is skipped, and docs/brokers.md shows it so.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

from tests.bridge.broker import Broker, free_port
from tests.bridge.certificates import Certificates

HERE: Final = Path(__file__).parent
PROGRAMS: Final = Path(os.environ.get("AIRBRIDGE_BROKERS", HERE / ".programs"))
"""Where tests/brokers/install puts what is no Debian package."""
_SEARCH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", str(Path(sys.executable).parent)))


def _found(name: str) -> Path | None:
    path = shutil.which(name, path=_SEARCH)
    return Path(path) if path else None


def _version(command: Sequence[str | Path]) -> str:
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?", ran.stdout + ran.stderr)
    return match[0] if match else "?"


class NamedBroker(Broker):
    """A broker with what the tests and the table must know about it."""

    name: ClassVar[str]
    newest: ClassVar[int] = 3
    """The newest MQTT version it speaks: 5, or 3 for MQTT 3.1.1."""
    keeps_retained: ClassVar[bool] = False
    """Whether retained messages survive its restart, as it is set up here."""
    patience: ClassVar[float] = 60.0
    login: ClassVar[tuple[str, str] | None] = None
    """User and password, where it lets nobody in without."""
    anomalies: ClassVar[str] = ""
    """What a user must know, for the table."""

    def __init__(self, folder: Path, *, tls: Certificates | None = None) -> None:
        super().__init__(folder)
        self.tls = tls
        self.tls_port = free_port() if tls else None

    @classmethod
    def program(cls) -> Path | None:
        """The program; None where it is not installed."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    def start(self, patience: float | None = None) -> Self:
        return super().start(patience or self.patience)


class Mosquitto20(NamedBroker):
    name = "mosquitto 2.0"
    newest = 5

    @classmethod
    def program(cls) -> Path | None:
        return next((path for path in cls._candidates() if _version((path, "-h")).startswith(cls._series())), None)

    @classmethod
    def _candidates(cls) -> list[Path]:
        found = _found("mosquitto")
        own = PROGRAMS / "mosquitto-2.1" / "sbin" / "mosquitto"
        return [path for path in (found, own) if path is not None and path.exists()]

    @classmethod
    def _series(cls) -> str:
        return cls.name.split()[-1]

    @classmethod
    def version(cls) -> str:
        return _version((cls.program() or "false", "-h"))

    def _command(self) -> list[str]:
        return [str(self.program()), "-c", str(self._config_path)]

    def _write_files(self) -> None:
        if self.tls is not None:
            self.config = [
                f"listener {self.tls_port} {self.host}",
                f"cafile {self.tls.ca}",
                f"certfile {self.tls.server_cert}",
                f"keyfile {self.tls.server_key}",
                "require_certificate true",
            ]
        super()._write_files()


class Mosquitto21(Mosquitto20):
    name = "mosquitto 2.1"


class ErlangBroker(NamedBroker):
    """A broker in Erlang. It brings a name server (epmd) of its own, so that nothing outlives the test."""

    def start(self, patience: float | None = None) -> Self:
        self.has_children = True
        names = free_port()
        self.environ |= {"ERL_EPMD_PORT": str(names), "HOME": str(self.folder)}
        self._names = subprocess.Popen(["epmd", "-port", str(names), "-address", self.host], stderr=subprocess.DEVNULL)
        return super().start(patience)

    def _end(self, how: signal.Signals) -> None:
        super()._end(how)
        names = getattr(self, "_names", None)
        if names is not None:
            names.kill()
            names.wait()

    @property
    def _node(self) -> str:
        return f"airbridge{self.port}@localhost"


class RabbitMq(ErlangBroker):
    """Debian's package, with the plugin rabbitmq_mqtt. Its start script is taken, not the wrapper that wants root."""

    name = "RabbitMQ"
    anomalies = "name the meters and nodes in `[dashboard]`; MQTT 5 only from 3.13 on"
    keeps_retained = True

    @classmethod
    def program(cls) -> Path | None:
        path = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        return path if path.exists() else None

    @classmethod
    def version(cls) -> str:
        plugins = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
        return next((path.name.rpartition("-")[2] for path in plugins), "?")

    def _command(self) -> list[str]:
        return [str(self.program())]

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\nmqtt.listeners.tcp.default = {self.host}:{self.port}\nmqtt.allow_anonymous = true\n"
            "mqtt.tcp_listen_options.nodelay = true\nlog.console = true\nlog.file = false\n" + self._tls_lines()
        )
        (self.folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        self.environ |= {
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 2:2",
        }

    def _tls_lines(self) -> str:
        if self.tls is None:
            return ""
        return (
            f"mqtt.listeners.ssl.default = {self.host}:{self.tls_port}\nssl_options.cacertfile = {self.tls.ca}\n"
            f"ssl_options.certfile = {self.tls.server_cert}\nssl_options.keyfile = {self.tls.server_key}\n"
            "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
        )


class Ejabberd(ErlangBroker):
    """Debian's package, started by Erlang itself: its control script wants to become another user."""

    name = "ejabberd"
    newest = 5
    keeps_retained = True
    login = ("airbridge", "any")
    anomalies = "wants a user name, also where guests are allowed"

    @classmethod
    def program(cls) -> Path | None:
        return next(Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.app"), None)

    @classmethod
    def version(cls) -> str:
        program = cls.program()
        match = re.search(r'vsn,\s*"([^"]+)"', program.read_text()) if program else None
        return match[1] if match else "?"

    def _command(self) -> list[str]:
        spool = self.folder / "mnesia"
        return ["erl", "+sbwt", "none", "+S", "2:2", "-noinput", "-sname", self._node, "-mnesia", "dir", f'"{spool}"',
                "-s", "ejabberd"]  # fmt: skip

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "ejabberd.yml"
        path.write_text(
            f"""hosts: [localhost]
auth_method: [anonymous]
anonymous_protocol: both
allow_multiple_connections: true
listen:
  - {{port: {self.port}, ip: "{self.host}", module: mod_mqtt}}
{self._tls_lines()}
modules:
  mod_mqtt: {{}}
"""
        )
        program = self.program()
        assert program is not None
        if self.tls is not None:
            (self.folder / "both.pem").write_text(self.tls.server_cert.read_text() + self.tls.server_key.read_text())
        self.environ |= {
            "EJABBERD_CONFIG_PATH": str(path),
            "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
            "ERL_LIBS": str(program.parents[2]),
            "ERL_CRASH_DUMP": str(self.folder / "crash"),
        }

    def _tls_lines(self) -> str:
        if self.tls is None:
            return ""
        return (
            f'  - {{port: {self.tls_port}, ip: "{self.host}", module: mod_mqtt, tls: true, tls_verify: true}}\n'
            f'ca_file: "{self.tls.ca}"\ncertfiles: ["{self.folder}/both.pem"]'
        )


class Nats(NamedBroker):
    """One server with JetStream, which MQTT needs for sessions and retained messages."""

    name = "NATS"
    anomalies = "MQTT needs JetStream switched on and a `server_name`"
    keeps_retained = True

    @classmethod
    def program(cls) -> Path | None:
        return _found("nats-server")

    @classmethod
    def version(cls) -> str:
        return _version((cls.program() or "false", "--version"))

    def __init__(self, folder: Path, *, tls: Certificates | None = None) -> None:
        super().__init__(folder, tls=tls)
        self.port = self.tls_port or self.port  # one MQTT listener a server

    def _command(self) -> list[str]:
        return [str(self.program()), "-c", str(self.folder / "nats.conf")]

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "nats.conf").write_text(
            f"""server_name: airbridge
listen: "{self.host}:{free_port()}"
jetstream {{ store_dir: "{self.folder / "jetstream"}" }}
mqtt {{
  listen: "{self.host}:{self.port}"
{self._tls_lines()}
}}
"""
        )

    def _tls_lines(self) -> str:
        if self.tls is None:
            return ""
        files = f'cert_file: "{self.tls.server_cert}", key_file: "{self.tls.server_key}", ca_file: "{self.tls.ca}"'
        return f"  tls {{ {files}, verify: true }}"


class Aedes(NamedBroker):
    """The library of Node.js as a small program; ioBroker and Node-RED offer brokers built on it."""

    name = "aedes"

    @classmethod
    def program(cls) -> Path | None:
        package = PROGRAMS / "node_modules" / "aedes" / "package.json"
        return package if package.exists() and _found("node") else None

    @classmethod
    def version(cls) -> str:
        program = cls.program()
        return _version(("grep", '"version"', program)) if program else "?"

    def _command(self) -> list[str]:
        tls = self.tls
        files = [self.tls_port, tls.server_key, tls.server_cert, tls.ca] if tls else []
        return ["node", str(HERE / "aedes.mjs"), str(PROGRAMS), str(self.port), *map(str, files)]

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)


BROKERS: Final[tuple[type[NamedBroker], ...]] = (Mosquitto20, Mosquitto21, RabbitMq, Nats, Aedes, Ejabberd)
