"""A service of ours as a process of its own, with its log, ended by its process id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


def freeze(pid: int) -> None:
    """Stop a process (SIGSTOP), and wait until all of its threads stand: on a busy host they go on for a while."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while any(not _stands(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.0002)


def _stands(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TZX"


class Service:
    """`module` run as `python -m`, with a settings file in `folder`. What it logs is in `log_text()`."""

    def __init__(
        self, module: str, settings: str, folder: Path, *, environ: Mapping[str, str] | None = None, python: str = ""
    ) -> None:
        self.module = module
        self.folder = folder
        self._environ = {**os.environ, **(environ or {})}
        self._python = python
        folder.mkdir(parents=True, exist_ok=True)
        self.settings_path = folder / f"{module}.toml"
        self.settings_path.write_text(settings)
        self._log_path = folder / f"{module}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.module} is not running"
        return self._process.pid

    def start(self) -> Self:
        assert self._process is None, f"{self.module} runs already"
        command = [self._python or sys.executable, "-m", self.module, "--config", str(self.settings_path)]
        with self._log_path.open("ab") as log:
            # In its own folder, so that an installed service can't find the sources instead.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environ, cwd=self.folder if self._python else None
            )
        return self

    def stop(self, within: float = 3.0) -> int:
        """End it as systemd does; return its exit code."""
        process, self._process = self._process, None
        assert process is not None, f"{self.module} is not running"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.module} did not end within {within} s:\n{self.log_text()}") from None

    def wait(self, within: float = 5.0) -> int:
        """Wait until it ends by itself; return its exit code."""
        assert self._process is not None, f"{self.module} is not running"
        code = self._process.wait(within)
        self._process = None
        return code

    def kill(self) -> None:
        """End it as a power cut does; does nothing where it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def await_log(self, text: str, within: float = 10.0, times: int = 1) -> None:
        """Wait until `text` stands in the log `times` times."""
        deadline = time.monotonic() + within
        while self.log_text().count(text) < times:
            assert self._process is None or self._process.poll() is None, f"{self.module} ended:\n{self.log_text()}"
            assert time.monotonic() < deadline, f"{self.module} never logged {text!r}:\n{self.log_text()}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()
