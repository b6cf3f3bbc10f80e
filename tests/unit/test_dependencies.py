"""What is installed with the plain package, and what each process loads of it."""

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_plain_package_brings_what_the_services_import() -> None:
    names = {one.partition(">")[0] for one in PROJECT["dependencies"]}
    assert names == {"paho-mqtt", "pymodbus", "pyserial", "attrs"}
    assert {"publisher", "rtu-server"} <= PROJECT["optional-dependencies"].keys()  # names that people have typed


def test_the_inverters_side_does_not_load_pymodbus() -> None:
    code = "import sys, rtu_server.__main__; sys.exit('pymodbus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
