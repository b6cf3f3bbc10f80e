"""A Docker Engine of our own from Debian's packages, for machines that have none; it leaves the host as it was."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PACKAGES = {
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "systemd-nspawn": "systemd-container",  # for the machines of the other tests here
}
BASE_IMAGES = {
    "python.tar": ("python:3.13-slim-trixie", ("ENV PATH=/usr/local/bin:/usr/bin:/bin", 'CMD ["python3"]')),
    "mosquitto.tar": (
        "eclipse-mosquitto:2.1",
        ('CMD ["/usr/sbin/mosquitto","-c","/mosquitto/config/mosquitto.conf"]', "EXPOSE 1883"),
    ),
}


def run(*words: str | Path, env: dict[str, str] | None = None, check: bool = True, quiet: bool = True) -> str:
    """Run a program; return its standard output. AssertionError with all it said when it fails."""
    ended = subprocess.run(
        [str(word) for word in words],
        env=env,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if quiet else None,
    )
    assert ended.returncode == 0 or not check, f"{' '.join(map(str, words))}:\n{ended.stdout}"
    return ended.stdout.strip()


def install_packages() -> None:
    """Install what is missing (apt-get, root)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    # From Debian 13 on the client is a package of its own.
    for packages in (PACKAGES, {"docker": "docker-cli"}):
        missing = [package for program, package in packages.items() if shutil.which(program, path=path) is None]
        if missing:
            print(f"installing {' '.join(missing)} ...", flush=True)
            run("apt-get", "update", "-qq")
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environment)


class DockerEngine:
    """dockerd with its data below `cache`; `env` makes the docker command talk to it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.home = cache / "engine"
        self.env = {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.home}/docker.sock",
            "DOCKER_CONFIG": str(self.home / "config"),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._rules_before = ""
        self._links_before: set[str] = set()

    def docker(self, *words: str | Path, check: bool = True) -> str:
        return run("docker", *words, env=self.env, check=check)

    def __enter__(self) -> Self:
        self._rules_before = run("iptables-save")
        self._links_before = links()
        (self.home / "config").mkdir(parents=True, exist_ok=True)
        plugins = self.home / "config" / "cli-plugins"
        if not plugins.exists():
            plugins.symlink_to(self.cache / "cli-plugins")
        daemon = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert daemon is not None
        words: Sequence[str] = [
            *(daemon, "--data-root", str(self.home / "data"), "--exec-root", str(self.home / "exec")),
            *("--pidfile", str(self.home / "docker.pid"), "-H", self.env["DOCKER_HOST"], "--mtu", str(smallest_mtu())),
        ]
        with (self.cache / "dockerd.log").open("wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "info"], env=self.env, capture_output=True, check=False).returncode:
            assert self._process.poll() is None, f"dockerd ended: see {self.cache}/dockerd.log"
            assert time.monotonic() < deadline, f"dockerd does not answer: see {self.cache}/dockerd.log"
            time.sleep(0.2)
        for name, (image, changes) in BASE_IMAGES.items():
            archive, made = self.cache / name, self.home / f"{name}.imported"
            if not made.exists() or made.stat().st_mtime < archive.stat().st_mtime:
                self.docker("import", *(word for change in changes for word in ("--change", change)), archive, image)
                made.touch()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)
        for name in links() - self._links_before:
            if name.startswith(("docker", "br-", "veth")):
                run("ip", "link", "del", name, check=False)
        subprocess.run(["iptables-restore"], input=self._rules_or_empty(), text=True, check=True)

    def _rules_or_empty(self) -> str:
        """The rules as they were; a table that was not there before is emptied."""
        text = self._rules_before + "\n"
        for table, chains in {
            "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
            "filter": ("INPUT", "FORWARD", "OUTPUT"),
        }.items():
            if f"*{table}" not in text:
                text += "\n".join([f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains), "COMMIT", ""])
        return text


def links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def smallest_mtu() -> int:
    """What fits through every interface of this host; containers that send more would stall behind a tunnel."""
    sizes = [int((path / "mtu").read_text()) for path in Path("/sys/class/net").iterdir() if (path / "mtu").exists()]
    return min([size for size in sizes if size >= 1280], default=1500)
