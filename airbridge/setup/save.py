"""Writes all settings or none, and keeps what was there [shell].

Everything is first written beside the settings, flushed to the disk, and judged by the services' own `--check`. Then
each file is replaced by a rename. A kill before the renames leaves all files as they were; signals wait for the end of
the renames, so a file is at every moment the old one or the new one, whole.
"""

import contextlib
import grp
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from airbridge.doctor.gather_host import PLACES
from airbridge.setup.steps import NewFile

BACKUPS: Final = "backup"
KEPT: Final = 10
"""Backups of one file that are kept."""
_STAGE: Final = ".setup-"
_CHECK_WITHIN: Final = 30.0


def save(folder: Path, files: tuple[NewFile, ...]) -> tuple[str, ...]:
    """Write them; returns the mistakes because of which nothing was written."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_old_stages(folder)
        stage = folder / f"{_STAGE}{os.getpid()}"
        stage.mkdir(mode=0o700)
    except OSError as error:
        return (_words(error),)
    try:
        for file in files:
            _write(folder, stage, file)
        mistakes = [line for file in files if file.is_settings for line in _mistakes(stage, file, files)]
        if not mistakes:
            _back_up(folder, files)
            with _signals_wait():
                for file in files:
                    (stage / file.name).replace(folder / file.name)
                    _sync((folder / file.name).parent)
    except OSError as error:
        return (_words(error),)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return tuple(mistakes)


def _write(folder: Path, stage: Path, file: NewFile) -> None:
    """With the rights of the file that it replaces; else readable by root and the service's group."""
    old, new = folder / file.name, stage / file.name
    for parent in reversed([*Path(file.name).parents][:-1]):
        (stage / parent).mkdir(exist_ok=True)
        if not (folder / parent).exists():
            (folder / parent).mkdir(mode=0o750)
            _give_group(folder / parent, file.service, 0o750 if parent.name != "logins" else 0o755)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())
    if old.exists():
        status = old.stat()
        if os.geteuid() == 0:
            os.chown(new, status.st_uid, status.st_gid)
        new.chmod(status.st_mode & 0o777)
    else:
        _give_group(new, file.service, 0o640)


def _give_group(path: Path, service: str, mode: int) -> None:
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(service).gr_gid)
    path.chmod(mode)


def _mistakes(stage: Path, file: NewFile, files: tuple[NewFile, ...]) -> list[str]:
    """What the service itself has against its new settings. A new password is still in the stage: named by variable."""
    environ = dict(os.environ)
    for other in files:
        if not other.is_settings and other.service == file.service:
            environ["AIRBRIDGE_MQTT__PASSWORD_FILE"] = str(stage / other.name)
    module = PLACES[file.service][0]
    command = [sys.executable, "-P", "-m", module, "--config", str(stage / file.name), "--check"]
    try:
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_CHECK_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return [f"{file.service} --check did not end within {_CHECK_WITHIN:.0f} s"]
    if ran.returncode == 0:
        return []
    lines = [line.replace(f"{stage}/", "") for line in ran.stderr.splitlines() if line.strip()]
    return lines or [f"{file.service} --check failed without a word"]


def _back_up(folder: Path, files: tuple[NewFile, ...]) -> None:
    """A copy of each settings file that is replaced, with its rights; the newest ten stay."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    backups = folder / BACKUPS
    for file in files:
        old = folder / file.name
        if not old.exists():
            continue
        backups.mkdir(mode=0o700, exist_ok=True)
        name = file.name.replace("/", "-")
        copy = backups / f"{name}.{stamp}"
        shutil.copy2(old, copy)
        copy.chmod(0o600)
        _sync(copy)
        for oldest in sorted(backups.glob(f"{name}.*"))[:-KEPT]:
            oldest.unlink()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep signals back for the moment of the renames."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _remove_old_stages(folder: Path) -> None:
    """What a killed run left behind."""
    for one in folder.glob(f"{_STAGE}*"):
        if not Path(f"/proc/{one.name.removeprefix(_STAGE)}").exists():
            shutil.rmtree(one, ignore_errors=True)


def _words(error: OSError) -> str:
    hint = " (run it with sudo?)" if isinstance(error, PermissionError) else ""
    return f"{error.filename}: {error.strerror}{hint}"
