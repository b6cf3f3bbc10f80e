"""Runs the simulation on a copy of the sources in which something was changed: a fault put back, or a mutation.

A change is text, not a place: `Edit.old` must stand exactly once in the services' sources, so modules may move.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .__main__ import CPU

HOME: Final = Path(__file__).resolve().parent.parent
SERVICES: Final = ("ksem_publisher", "rtu_server", "shared")
"""Packages that changes are made in."""
SEEDS: Final = 144
"""Of 600 s: a day, as the default run has."""
SECONDS_A_SEED: Final = 120.0
"""More, on a busy machine, and it hangs."""
COPIED: Final = (*SERVICES, "simulation")


@dataclass(frozen=True, slots=True)
class Edit:
    """Text that is replaced."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the simulation made of changed sources. `seconds`: of processor time, on one core."""

    found: bool
    seconds: float
    what: str


def sources() -> list[Path]:
    """Return the modules of both services and what they share, relative to `HOME`."""
    return sorted(path.relative_to(HOME) for package in SERVICES for path in (HOME / package).rglob("*.py"))


def place_of(edit: Edit) -> Path:
    """Return the module that holds an edit's old text; ValueError if it does not stand exactly once."""
    texts = {path: (HOME / path).read_text() for path in sources()}
    places = [path for path, text in texts.items() for _ in range(text.count(edit.old))]
    if len(places) != 1:
        raise ValueError(f"stands {len(places)} times, not once: {edit.old!r}")
    return places[0]


@contextmanager
def copy_with(texts: dict[Path, str]) -> Iterator[Path]:
    """Give a folder with the sources, some of them replaced."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for package in COPIED:
            shutil.copytree(HOME / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for path, text in texts.items():
            (folder / path).write_text(text)
        yield folder


def edited(edits: Sequence[Edit]) -> dict[Path, str]:
    """Return the modules that some edits change, as they are then."""
    texts: dict[Path, str] = {}
    for edit in edits:
        path = place_of(edit)
        texts[path] = texts.get(path, (HOME / path).read_text()).replace(edit.old, edit.new)
    return texts


def judge(texts: dict[Path, str], *, seeds: int) -> Verdict:
    """Run seed after seed on changed sources, on one core, until a promise breaks or all are done."""
    with copy_with(texts) as folder:
        command = [sys.executable, "-m", "simulation", "--many", "--jobs", "1", "--first"]
        try:
            done = subprocess.run(  # noqa: S603  # our own interpreter and module
                [*command, "--seeds", f"{seeds}"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": f"{folder}:{folder / 'shared'}", "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS_A_SEED * seeds,
            )
        except subprocess.TimeoutExpired:
            return Verdict(found=True, seconds=SECONDS_A_SEED * seeds, what="it does not end")
    taken = next((float(line.split()[0]) for line in done.stdout.splitlines() if line.endswith(CPU)), 0.0)
    return Verdict(done.returncode != 0, taken, _first_line(done.stdout, done.stderr))


def _first_line(output: str, errors: str) -> str:
    """Return the first broken promise, or the last line of a traceback."""
    for line in output.splitlines():
        if "promise" in line and line.startswith(" "):
            return line.strip()
    return errors.strip().splitlines()[-1] if errors.strip() else ""
