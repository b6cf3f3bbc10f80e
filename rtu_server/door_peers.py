"""Who may come in by the TCP door."""

from collections.abc import Sequence
from typing import Any


def is_network(text: str) -> bool:
    """Tell whether this is an address, or a network with its length."""
    try:
        _network(text)
    except ValueError:
        return False
    return True


class DoorPeers:
    """The allow-list of one door. Empty: this host alone."""

    def __init__(self, allow: Sequence[str]) -> None:
        self._networks = [_network(text) for text in allow or ("127.0.0.0/8", "::1")]

    def allows(self, address: str) -> bool:
        """Tell whether a peer may read; an IPv4 address that comes in IPv6 dress counts as what it is."""
        peer = _address(address)
        return any(peer.version == network.version and peer in network for network in self._networks)


def _network(text: str) -> Any:
    import ipaddress  # noqa: PLC0415  (only those who open a door pay for it)

    return ipaddress.ip_network(text, strict=False)


def _address(text: str) -> Any:
    import ipaddress  # noqa: PLC0415

    parsed = ipaddress.ip_address(text.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed
