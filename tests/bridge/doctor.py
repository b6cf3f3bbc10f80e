"""`airbridge doctor` as a process, and what it said."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bridge.broker import Broker
from tests.bridge.shipped_broker import MOSQUITTO
from tests.chain import Chain

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORDS = {"publisher": "correct-horse-1", "rtu": "battery-staple-2"}
ACL = (MOSQUITTO / "acl").read_text()
PATIENCE = 11.0
"""The doctor's own, in seconds."""


class Said:
    """One run."""

    def __init__(self, ran: "subprocess.CompletedProcess[str]") -> None:
        self.code = ran.returncode
        self.stdout, self.stderr = ran.stdout, ran.stderr
        try:
            self.findings: list[dict[str, str]] = json.loads(ran.stdout)["findings"]
        except ValueError:
            self.findings = []

    def states(self, check: str) -> set[str]:
        """The states of this check's lines."""
        return {one["state"] for one in self.findings if one["check"] == check}

    def wrong(self, check: str) -> list[str]:
        """Text and remedy of each line of this check that is wrong."""
        return [f"{one['text']} -> {one['remedy']}" for one in self._of(check, "wrong")]

    def complaints(self) -> list[dict[str, str]]:
        """Everything that is wrong or could be better.

        But for a request in two halves, which the server counts as noise where the host gave the line no CPU.
        """
        found = [one for one in self.findings if one["state"] in ("wrong", "warn")]
        return [one for one in found if not re.match(r"\d{1,2} bytes of noise among", one["text"])]

    def assert_found(self, check: str, *texts: str) -> None:
        """It found this and said so; every word stands in one line's text or remedy, and there is a remedy."""
        assert self.code == 1, (self.code, self.stdout, self.stderr)
        for one in self._of(check, "wrong"):
            if all(word in f"{one['text']} {one['remedy']}" for word in texts) and one["remedy"]:
                return
        raise AssertionError(f"{check} with {texts} not in:\n{self.stdout}\n{self.stderr}")

    def _of(self, check: str, state: str) -> list[dict[str, str]]:
        return [one for one in self.findings if (one["check"], one["state"]) == (check, state)]


def doctor(*arguments: object, patience: float = 3.0, json_wanted: bool = True, **process: Any) -> Said:
    """Run it. `process`: further arguments of subprocess.run."""
    words: Sequence[str] = [str(argument) for argument in arguments]
    command = [sys.executable, "-m", "airbridge", "doctor", "--patience", str(patience), *words]
    command += ["--json"] if json_wanted else []
    environ = {key: value for key, value in os.environ.items() if not key.startswith("AIRBRIDGE_")}
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environ, cwd=REPOSITORY, **process
    )
    return Said(ran)


class LoginChain(Chain):
    """A chain whose services log in, each with its own role, as the shipped broker asks them to."""

    def publisher_settings(self, more: str = "") -> str:
        return super().publisher_settings(more).replace("[mqtt]\n", login("publisher"))

    def server_settings(self, more: str = "") -> str:
        return super().server_settings(more).replace("[mqtt]\n", login("rtu"))

    def doctor(self, *arguments: object, patience: float = 3.0) -> Said:
        return doctor(
            *("--publisher-config", self.publisher.settings_path, "--server-config", self.server.settings_path),
            *arguments,
            patience=patience,
        )

    def until(self, holds: Callable[[Said], bool], within: float = 20.0, patience: float = 3.0) -> Said:
        """The doctor's first word for which this holds: health follows what happens within seconds.

        A half whose state does not change is heard of every 10 s only: what rests on that needs the `PATIENCE` that
        people have, else each look may fall between two of its words.
        """
        deadline = time.monotonic() + within
        while not holds(written := self.doctor(patience=patience)):
            assert time.monotonic() < deadline, written.stdout + self.logs()
        return written


def login(role: str) -> str:
    return f'[mqtt]\nusername = "{role}"\npassword = "{PASSWORDS[role]}"\n'


def a_broker(folder: Path, acl: str = ACL) -> Broker:
    return Broker(folder / "broker", users=PASSWORDS, acl=acl)
