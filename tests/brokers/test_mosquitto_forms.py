"""The configuration that we ship holds on mosquitto 2.1 in both forms: two options, or two plugins (2.1 and later)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.shipped_broker import FORM, MOSQUITTO

from .programs import PROGRAMS, Mosquitto21

OPTIONS, PLUGINS = "ksem-airbridge.conf", "ksem-airbridge-plugins.conf.off"


def _lines(name: str) -> list[str]:
    lines = (MOSQUITTO / "conf.d" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_both_forms_differ_in_logins_and_rights_only() -> None:
    options, plugins = _lines(OPTIONS), _lines(PLUGINS)
    assert [line for line in options if line not in plugins] == [
        "password_file /etc/mosquitto/ksem-airbridge/passwords",
        "acl_file /etc/mosquitto/ksem-airbridge/acl",
    ]
    assert all("plugin" in line for line in plugins if line not in options)
    assert [line for line in plugins if line in options] == [line for line in options if line in plugins]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", [OPTIONS, PLUGINS])
def test_the_roles_tests_hold_on_mosquitto_2_1(form: str, tmp_path: Path) -> None:
    program = Mosquitto21.program()
    if program is None:
        pytest.skip("mosquitto 2.1 is not installed (tests/brokers/install)")
    (tmp_path / "mosquitto").symlink_to(program)
    environ = {
        **os.environ,
        FORM: form,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(PROGRAMS / "mosquitto-2.1" / "lib"),
    }
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/bridge/test_mosquitto_roles.py"]
    chosen = ["-k", "(role or login or certificate or websockets) and not flood"]
    ended = subprocess.run([*tests, *chosen], env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert "skipped" not in ended.stdout.splitlines()[-1]
