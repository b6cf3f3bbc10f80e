"""Starts a broker for the demo: mosquitto where it is installed, else the one that pip installs [shell]."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from airbridge.demo.options import Address

_SEARCH: Final = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/sbin"
_REMEDY: Final = (
    "no broker was found. Install mosquitto (sudo apt-get install mosquitto), or a broker from pip "
    "(pip install 'ksem-airbridge[demo]'), or name one with --broker HOST"
)


class NoBroker(Exception):
    """There is no broker on this computer; the text names the packages to install."""


@dataclass(frozen=True, slots=True)
class BrokerProgram:
    """What to start, and what it is called."""

    name: str
    argv: tuple[str, ...]


def own_broker(folder: Path, place: Address) -> BrokerProgram:
    """A broker that listens at `place` alone; its configuration goes to `folder`. Raises NoBroker."""
    mosquitto = shutil.which("mosquitto", path=_SEARCH)
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(_mosquitto_conf(place))
        return BrokerProgram(_mosquitto_name(mosquitto), (mosquitto, "-c", str(config)))
    if importlib.util.find_spec("iotcore"):
        config = folder / "iotcore.toml"
        config.write_text(_iotcore_toml(place))
        name = f"iotcore {importlib.metadata.version('iotcore')} (from pip; no mosquitto is installed)"
        return BrokerProgram(name, (sys.executable, "-P", "-m", "iotcore", "--config", str(config)))
    raise NoBroker(_REMEDY)


def _mosquitto_name(program: str) -> str:
    version = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return version.replace(" version", "") if version.startswith("mosquitto version") else "mosquitto"


def _mosquitto_conf(place: Address) -> str:
    lines = [f"listener {place.port} {place.host}", "allow_anonymous true", "set_tcp_nodelay true"]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes a user that may not read this folder
    return "\n".join(lines) + "\n"


def _iotcore_toml(place: Address) -> str:
    # Its own defaults listen everywhere and keep 100 MB of old messages.
    return f"""\
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 2

[v5.1]
name = "v5"
listen = "{place.host}:{place.port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 65536
max_inflight_count = 100
dynamic_filters = true
"""
