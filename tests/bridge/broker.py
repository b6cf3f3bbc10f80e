"""A real mosquitto for tests: on a free loopback port, with a configuration of its own, ended by its process id."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .service import freeze

_random = random.SystemRandom()  # the common one is seeded by hypothesis
_given: set[int] = set()
_SEARCH = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"


class Broker:
    """One mosquitto; it keeps its port over restarts.

    `config` lines follow the `listener` line, so that they may belong to the listener (cafile, require_certificate) or
    to the broker. With `users` (name to password) nobody else may log in; `acl` is the text of an ACL file. Its own
    words are in `log_text()`.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        config: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        persistence: bool = False,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.config = list(config)
        self.users = dict(users) if users is not None else None
        self.acl = acl
        self.persistence = persistence
        self.port = port or free_port()
        self.environ: dict[str, str] = {}
        self.has_children = False
        """Whether signals go to the whole process group."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, patience: float = 10.0) -> Self:
        """Start it and wait until it accepts connections."""
        assert not self.running, "the broker runs already"
        self._write_files()
        with self._log_path.open("ab") as log:
            process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                start_new_session=self.has_children,
            )
        self._process = process
        deadline = time.monotonic() + patience
        while not accepts(self.host, self.port):
            assert process.poll() is None, f"the broker ended at once:\n{self.log_text()}"
            assert time.monotonic() < deadline, f"the broker does not accept on port {self.port}:\n{self.log_text()}"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it as systemd does (SIGTERM): clients are told, persistence is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it where it is (SIGSTOP): the kernel still accepts connections and bytes, nobody reads them."""
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """Write users and ACL anew and have it read them (SIGHUP)."""
        self._write_files()
        os.kill(self.pid, signal.SIGHUP)

    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()

    def _command(self) -> list[str]:
        program = shutil.which("mosquitto", path=_SEARCH)
        assert program is not None, "mosquitto is not installed (make tools)"
        return [program, "-c", str(self._config_path)]

    @property
    def _config_path(self) -> Path:
        return self.folder / "mosquitto.conf"

    @property
    def _log_path(self) -> Path:
        return self.folder / "mosquitto.log"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            self._signal(process, how)
            self._signal(process, signal.SIGCONT)  # a frozen process takes SIGTERM only when it goes on
        process.wait(timeout=20)

    def _signal(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        if self.has_children:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} {self.host}", *self.config, "set_tcp_nodelay true", "log_timestamp false"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it drops to a user that may not read this folder
        if self.persistence:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
        if self.users is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self._write_passwords()}"]
        if self.acl is not None:
            acl = self.folder / "acl"
            acl.write_text(self.acl)
            lines.append(f"acl_file {acl}")
        self._config_path.write_text("\n".join(lines) + "\n")

    def _write_passwords(self) -> Path:
        path = self.folder / "passwords"
        path.write_text("".join(f"{name}:{password}\n" for name, password in (self.users or {}).items()))
        path.chmod(0o600)
        program = shutil.which("mosquitto_passwd", path=_SEARCH)
        assert program is not None, "mosquitto_passwd is not installed (make tools)"
        if self.users:
            subprocess.run([program, "-U", str(path)], check=True)
        return path


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now, and that no outgoing connection is given meanwhile."""
    while True:
        port = _random.randrange(20_000, 32_768)  # below Linux's own choices (ip_local_port_range)
        if port in _given:  # whoever asked for it may not listen yet
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
