"""A Debian of our own to try things in: a tree made by debootstrap, booted by systemd-nspawn. Root, Debian.

    with Machine("trixie", folder) as machine:
        machine.run("systemctl", "status")

The network between this host and the machine is a cable of its own (HOST and GUEST), so that nothing of the host's is
in the way. Programs run with `online=True` see the host's network instead: apt and pip need it.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HOST: Final = "198.51.100.1"
GUEST: Final = "198.51.100.2"
CACHE: Final = Path(os.environ.get("AIRBRIDGE_PLATFORM_CACHE", "/var/tmp/airbridge-platform")) / "trees"
"""Fresh trees and downloaded packages, so that a second run is quick. May be deleted at any time."""
PROGRAMS: Final = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
LONGEST: Final = 1800
"""Seconds after which a machine is ended whatever happens."""

_SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def until(what: str, holds: Callable[[], bool], patience: float, reported: Callable[[], str] = lambda: "") -> float:
    """Wait until it holds; return how long that took, in seconds."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < patience, f"{what}: not within {patience:g} s\n{reported()}"
        time.sleep(0.1)
    return time.monotonic() - begun


def fresh_tree(suite: str) -> Path:
    """The tree of a Debian with systemd and nothing else; made once."""
    assert os.geteuid() == 0, "the platform tests need root"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=_SEARCH) is None]
    assert not missing, f"the platform tests need: apt-get install {' '.join(missing)}"
    tree = CACHE / suite
    if not tree.exists():
        half_made = CACHE / f"{suite}.part"
        shutil.rmtree(half_made, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f"{suite}.log").open("wb") as log:
            words = ["debootstrap", "--variant=minbase", "--include=ca-certificates,systemd-sysv,dbus", suite]
            made = subprocess.run([*words, half_made], stdout=log, stderr=log, env={"PATH": _SEARCH}, check=False)
        assert made.returncode == 0, f"debootstrap {suite} failed: {CACHE / f'{suite}.log'}"
        half_made.rename(tree)
    return tree


def archives_of(suite: str) -> Path:
    """Where downloaded packages are kept."""
    folder = CACHE / f"{suite}-archives"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def copy_tree(suite: str, target: Path) -> None:
    """A fresh tree that finds its way to the network."""
    subprocess.run(["cp", "-a", "--reflink=auto", fresh_tree(suite), target], check=True)
    # The host may reach the world through a resolver and a proxy of its own, with an authority of its own.
    for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copyfile(file, target / file[1:])
    (target / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # as Debian's installer does


def install_by_chroot(suite: str, target: Path, *packages: str) -> None:
    """A tree with these packages, never booted."""
    copy_tree(suite, target)
    shutil.copytree(archives_of(suite), target / "var/cache/apt/archives", dirs_exist_ok=True)
    environ = {"PATH": _SEARCH, "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
    for words in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        ended = subprocess.run(
            # A mirror may lag behind what is dated to the day (testing).
            ["chroot", target, "apt-get", "-qq", "-o", "Acquire::Check-Valid-Until=false", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environ,
        )
        assert ended.returncode == 0, ended.stdout


class Machine:
    """A copy of a fresh tree, booted. `binds`: paths of the host and where they are seen inside."""

    def __init__(self, suite: str, folder: Path, *, binds: Mapping[str, str] | None = None) -> None:
        self.tree = folder / suite
        self._suite = suite
        self._name = f"abt-{suite[:6]}"
        self._log = folder / f"{suite}-console.log"
        self._binds = dict(binds or {})
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def start(self) -> Self:
        """Boot it and wait until it is up."""
        copy_tree(self._suite, self.tree)
        words = ["timeout", str(LONGEST), "systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--network-veth"]
        words += [f"--machine={self._name}", f"--directory={self.tree}", "--boot", "--link-journal=no"]
        # Without these a unit's rules for devices are accepted and not applied.
        words += ["--system-call-filter=bpf", "--capability=CAP_NET_ADMIN,CAP_BPF"]
        words += ["--resolv-conf=off", "--timezone=off", f"--bind={archives_of(self._suite)}:/var/cache/apt/archives"]
        words += [f"--bind={outside}:{inside}" for outside, inside in self._binds.items()]
        environ = {"PATH": _SEARCH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, start_new_session=True
            )
        until("the machine boots", self._is_up, 60, self._console)
        self._plug_cable()
        return self

    def run(self, *words: str, online: bool = False, check: bool = True, within: float = 60.0) -> str:
        """Run a program inside; return what it said. AssertionError with all of that when it fails."""
        code, written = self.attempt(*words, online=online, within=within)
        assert code == 0 or not check, f"{' '.join(words)}: exit code {code}\n{written}"
        return written

    def attempt(self, *words: str, online: bool = False, within: float = 60.0) -> tuple[int, str]:
        """Run a program inside; return its exit code and what it said."""
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--pid"]
        enter += [] if online else ["--net"]
        environ = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        ended = subprocess.run(
            ["timeout", str(within), *enter, "--", "env", "--chdir=/", "-i", *environ, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"PATH": _SEARCH},
        )
        return ended.returncode, ended.stdout.strip()

    def apt_install(self, *packages: str) -> str:
        """Install packages as a person would who presses return."""
        self.run("apt-get", "update", "-qq", online=True, within=120)
        words = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", *packages)
        return self.run(*words, online=True, within=600)

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={what}", unit)

    def await_active(self, unit: str, *, other_than: str = "0", within: float = 30.0) -> str:
        """Wait until a unit runs, with another process than `other_than`; return its process id (inside)."""

        def is_active() -> bool:
            return self.show(unit, "ActiveState") == "active" and self.show(unit, "MainPID") not in ("0", other_than)

        until(f"{unit} is active", is_active, within, lambda: self.journal(unit))
        return self.show(unit, "MainPID")

    def signal(self, process: str, name: str) -> None:
        """Send a signal to a process, by its number inside."""
        self.run("sh", "-c", f"kill -{name} {process}")  # the shell's own: a minimal Debian has no other

    def journal(self, unit: str) -> str:
        """What a unit said."""
        return self.run("journalctl", "--no-pager", "--output=short-precise", "--lines=100", f"--unit={unit}")

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        target = self.tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def stop(self) -> None:
        """Shut it down, as the power button does, and remove its tree."""
        nspawn, self._nspawn = self._nspawn, None
        if nspawn is not None:
            nspawn.terminate()
            try:
                nspawn.wait(30)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()
        if "AIRBRIDGE_PLATFORM_KEEP" not in os.environ:
            shutil.rmtree(self.tree, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"systemd-nspawn ended:\n{self._console()}"
        if not self._leader:
            # timeout -> systemd-nspawn -> the machine's first process
            self._leader = next(iter(_children(next(iter(_children(self._nspawn.pid)), 0))), 0)
        return bool(self._leader) and self.attempt("systemctl", "is-system-running")[1] in ("running", "degraded")

    def _plug_cable(self) -> None:
        end = f"ve-{self._name}"
        inside: Sequence[str] = ("nsenter", f"--target={self._leader}", "--net")
        for words in (
            ("ip", "address", "add", f"{HOST}/30", "dev", end),
            ("ip", "link", "set", end, "up"),
            (*inside, "ip", "address", "add", f"{GUEST}/30", "dev", "host0"),
            (*inside, "ip", "link", "set", "host0", "up"),
        ):
            subprocess.run(words, check=True, env={"PATH": _SEARCH})

    def _console(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
