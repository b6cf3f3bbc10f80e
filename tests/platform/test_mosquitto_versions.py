"""The broker's configuration unchanged on each mosquitto that it is made for: its roles' tests, by that program."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import install_by_chroot

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/bridge/test_mosquitto_roles.py", "tests/bridge/test_services_over_tls.py")


@pytest.fixture(
    scope="module",
    params=[
        ("bookworm", "2.0.11"),
        ("trixie", "2.0.21"),
        # As new as the one in the image eclipse-mosquitto:2.1: 2.1.2 at the end of 2026.
        ("testing", "2."),
    ],
    ids=lambda suite: suite[0],
)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with this Debian's mosquitto and mosquitto_passwd, to be put in front of the search path."""
    suite, version = request.param
    folder = tmp_path_factory.mktemp(suite)
    tree = folder / "tree"
    install_by_chroot(suite, tree, "mosquitto")
    found = folder / "bin"
    found.mkdir()
    for name, place in (("mosquitto", "usr/sbin"), ("mosquitto_passwd", "usr/bin")):
        # Outside of its tree, on its own libraries: so it sees the files that the tests write.
        loader = next(tree.glob("usr/lib/*-linux-gnu*/ld-linux*"))
        command = f"exec {loader} --library-path {loader.parent} {tree / place / name}"
        (found / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (found / name).chmod(0o755)
    ran = subprocess.run([found / "mosquitto", "-h"], capture_output=True, text=True, check=False)
    written = re.search(r"mosquitto version (\S+)", ran.stdout + ran.stderr)
    assert written, ran
    print(f"\n{suite}: mosquitto {written[1]}")
    assert written[1].startswith(version)
    yield found
    subprocess.run(["rm", "-rf", tree], check=True)


@pytest.mark.parametrize("tests", TESTS)
def test_roles_logins_limits_and_encryption_hold(programs: Path, tests: str) -> None:
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    ended = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    print("\n" + ended.stdout.splitlines()[-1])
