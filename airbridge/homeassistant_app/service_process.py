"""Runs one service as a process of the app [shell]."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from airbridge.doctor.gather_host import PLACES
from airbridge.homeassistant_app.keeper import Keeper
from airbridge.homeassistant_app.options import Plan
from service_runtime.clock import uptime

USER: Final = int(os.environ.get("APP_USER", "10001"))
"""What the services run as: a number without a name or rights, that of the images. 0: as the app itself."""
STOP_WITHIN: Final = 5.0
_CHECK_WITHIN: Final = 60.0
_log: Final = logging.getLogger("app")


class ServiceProcess:
    """Starts it, ends it, looks at it. Everything it needs lies in `folder`."""

    def __init__(self, service: str, folder: Path, log_level: str) -> None:
        self.service = service
        self.keeper = Keeper()
        self.plan: Plan | None = None
        self._folder, self._log_level = folder, log_level
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / f"{service}.toml"
        self._health = folder / service / "health"

    def accept(self, plan: Plan) -> bool:
        """Take a plan that the service itself accepts, and end what runs by the old one. False: it has mistakes."""
        if plan == self.plan:
            return True
        new = self._settings.with_suffix(".new")
        self._write(new, plan.settings)
        mistakes = self._check(plan, new)
        if mistakes:
            _log.error("%s: the options can't be used, what runs goes on:\n%s", self.service, mistakes)
            new.unlink()
            return False
        new.replace(self._settings)
        self.plan = plan
        self.stop(uptime())
        return True

    def turn(self, now: float) -> None:
        """Start it where it is due, note its end, end it where it hangs."""
        if self._process is not None:
            code = self._process.poll()
            if code is not None:
                _log.warning("%s ended (%s), it is started again", self.service, code)
                self._process = None
                self.keeper.ended(now)
            elif self.keeper.is_hung(now, self._health_age(now)):
                _log.error("%s hangs, it is killed and started again", self.service)
                self._process.kill()
        if self.plan is not None and self.keeper.is_due(now):
            self.keeper.started(now)
            try:
                self._start(self.plan)
            except OSError as error:  # no memory, no process left: like an end at once
                _log.error("%s can't be started: %s", self.service, error)
                self.keeper.ended(now)

    def stop(self, now: float) -> None:
        """End it, by force if need be."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.keeper.ended(now, wanted=True)

    @property
    def is_well(self) -> bool:
        """Whether it runs and its loop is alive."""
        now = uptime()
        return self.plan is None or (self.keeper.is_running and not self.keeper.is_hung(now, self._health_age(now)))

    def _start(self, plan: Plan) -> None:
        self._health.parent.mkdir(exist_ok=True)
        self._health.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", PLACES[self.service][0], "--config", str(self._settings)]
        command += ["--log-level", self._log_level]
        environ = {key: value for key, value in os.environ.items() if key != "SUPERVISOR_TOKEN"}
        environ |= {**plan.environ, "HEALTH_FILE": str(self._health)}
        if os.geteuid() == 0 and USER:
            os.chown(self._health.parent, USER, USER)
            groups = [_group_of(plan.port)] if plan.port else []
            self._process = subprocess.Popen(command, env=environ, user=USER, group=USER, extra_groups=groups)
        else:
            self._process = subprocess.Popen(command, env=environ)
        _log.info("%s started (process %d)", self.service, self._process.pid)

    def _check(self, plan: Plan, settings: Path) -> str:
        command = [sys.executable, "-P", "-m", PLACES[self.service][0], "--config", str(settings), "--check"]
        environ = {**os.environ, **plan.environ}
        try:
            ran = subprocess.run(
                command, env=environ, capture_output=True, text=True, timeout=_CHECK_WITHIN, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{self.service} --check did not end within {_CHECK_WITHIN:.0f} s"
        return "" if ran.returncode == 0 else ran.stderr.strip()

    def _write(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        if os.geteuid() == 0 and USER:
            os.chown(path, USER, USER)

    def _health_age(self, now: float) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            return now - int(self._health.read_text(encoding="utf-8").split()[0])
        return None


def _group_of(port: str) -> int:
    """The group that may open the port: its number differs between Home Assistant OS and Debian."""
    try:
        return Path(port).stat().st_gid
    except OSError:
        return USER
