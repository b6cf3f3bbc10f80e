"""Both services installed apart, as on two hosts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chain import Chain

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The interpreter of a virtual environment for each service, made from the same wheel."""
    folder = tmp_path_factory.mktemp("installs")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("ksem_airbridge-*.whl")
    found = {}
    for extra in ("publisher", "rtu-server"):
        subprocess.run([sys.executable, "-m", "venv", str(folder / extra)], check=True)
        found[extra] = str(folder / extra / "bin" / "python")
        install = [found[extra], "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), f"{wheel}[{extra}]"], check=True)
    return found


def imported(python: str, service: str) -> set[str]:
    """The packages that a service imports before it starts."""
    program = f"import sys, {service}.__main__, {service}.service; print(*sys.modules)"
    ran = subprocess.run([python, "-c", program], capture_output=True, check=True, cwd="/", text=True)
    return {name.partition(".")[0] for name in ran.stdout.split()}


@pytest.mark.slow
def test_the_services_run_from_two_installs_with_only_the_brokers_address_in_common(
    pythons: dict[str, str], tmp_path: Path
) -> None:
    assert "pymodbus" not in imported(pythons["rtu-server"], "rtu_server")
    stranger = subprocess.run([pythons["publisher"], "-c", "import shared"], capture_output=True, check=False, cwd="/")
    assert stranger.returncode != 0, "a top-level package of a stranger's name"
    with Chain(tmp_path, publisher_python=pythons["publisher"], server_python=pythons["rtu-server"]) as chain:
        chain.start()
        chain.await_good(30)
        chain.assert_never()
        common = set(chain.publisher.settings_path.read_text().split("\n")) & set(
            chain.server.settings_path.read_text().split("\n")
        )
        assert common - {""} == {"[mqtt]", 'host = "127.0.0.1"', f"port = {chain.broker.port}"}
