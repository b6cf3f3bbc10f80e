"""TCP ports of this host [shell]."""

import socket
from typing import Final

from airbridge.demo.options import Place

LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(place: Place) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((place.host, place.port), timeout=1.0):
            return True
    except OSError:
        return False
