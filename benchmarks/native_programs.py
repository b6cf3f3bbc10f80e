"""Compiles the bench's C programs into the run's own folder [shell]."""

import subprocess
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent / "native"
_PROGRAMS: Final = {"wire": [], "reference": [], "pushing_meter": [], "libmodbus_server": ["-lmodbus"]}


class CannotBuild(Exception):
    """A compiler or a library is missing; the text names the packages to install."""


def build(folder: Path) -> dict[str, Path]:
    """Compile all programs; return their paths by name. CannotBuild where that fails."""
    built = {}
    for name, libraries in _PROGRAMS.items():
        target = folder / name
        command = ["cc", "-O2", "-I/usr/include/modbus", "-o", str(target), str(_SOURCES / f"{name}.c"), *libraries]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise CannotBuild("no C compiler: apt-get install gcc libc6-dev libmodbus-dev") from None
        except subprocess.CalledProcessError as error:
            raise CannotBuild(f"{name}.c: apt-get install gcc libc6-dev libmodbus-dev\n{error.stderr}") from None
        built[name] = target
    return built
