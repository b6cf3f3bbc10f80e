"""A compose project as a test sees it: brought up, looked at, taken down."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.platform.checkout import ROOT
from tests.platform.docker_engine import DockerEngine

_begun = time.monotonic()


def print_line(text: str) -> None:
    print(f"[{time.monotonic() - _begun:6.1f} s] {text}", flush=True)


def until(what: str, holds: Callable[[], bool], patience: float) -> float:
    """Wait until it holds; return how long that took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < patience, f"not within {patience} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - begun


class Project:
    """The compose file, with the variables of a `.env` of its own."""

    def __init__(
        self,
        engine: DockerEngine,
        *profiles: str,
        name: str = "ksem-airbridge",
        folder: Path | None = None,
        **variables: str,
    ) -> None:
        self.engine = engine
        self.folder = folder or ROOT
        self.profiles = profiles
        self.name = name
        self.title = " ".join([*profiles, *(f"{key}={value}" for key, value in variables.items())])
        self._env_file = (folder or Path(tempfile.mkdtemp())) / ".env"
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    def compose(self, *words: str, check: bool = True) -> str:
        profiles = [word for profile in self.profiles for word in ("--profile", profile)]
        base: tuple[str | Path, ...] = (
            "compose",
            "-p",
            self.name,
            "--project-directory",
            self.folder,
            "--env-file",
            self._env_file,
        )
        return self.engine.docker(*base, *profiles, *words, check=check)

    def inspect(self, service: str) -> dict[str, Any]:
        number = self.compose("ps", "--all", "--quiet", service)
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", number))[0]
        return found

    def health(self, service: str) -> str:
        state = self.inspect(service)["State"]
        return str(state.get("Health", {}).get("Status", state["Status"]))

    def last_check(self, service: str) -> str:
        checks = self.inspect(service)["State"]["Health"]["Log"]
        return str(checks[-1]["Output"]).strip() if checks else ""

    def until_health(self, service: str, status: str, patience: float) -> float:
        try:
            return until(f"{service} {status}", lambda: self.health(service) == status, patience)
        except AssertionError:
            print(self.compose("ps", "--all"), self.compose("logs", "--tail", "40"), sep="\n")
            raise

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "2")


@contextmanager
def brought_up(project: Project) -> Iterator[Project]:
    project.down()
    begun = time.monotonic()
    project.compose("up", "--detach", "--build")
    print_line(f"up ({project.title}): built and started in {time.monotonic() - begun:.1f} s")
    try:
        yield project
    finally:
        project.down()


def check_confinement(project: Project, services: tuple[str, ...]) -> None:
    """Ask the kernel, not the compose file: who runs it, with which capabilities, and what can it write."""
    for service in services:
        found = project.inspect(service)
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{found['State']['Pid']}/status").read_text().splitlines()
            if ":\t" in line
        )
        user = status["Uid"].split()[0]
        assert user != "0", f"{service} runs as root"
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, f"{service} has capabilities"
        assert status["NoNewPrivs"].strip() == "1", service
        assert found["HostConfig"]["ReadonlyRootfs"], f"{service} can write its image"
        refused = project.compose(
            "exec", "-T", service, "sh", "-c", "touch /tmp/x || touch /usr/x || touch /x", check=False
        )
        assert refused.count("Read-only file system") == 3, f"{service}: {refused}"
        print_line(f"{service:16} uid {user}, no capabilities, no new privileges, read-only")
