"""Whose pushes are taken: the meter's own address, or those that its settings name."""

import ipaddress
import threading
from collections.abc import Iterable

from ksem_publisher.settings import MeterSettings

MOST_REFUSED = 16
REMEMBERED = 600.0
"""Seconds for which a refused peer is told of after its last attempt: a meter tries again and again."""


def plain_address(address: str) -> str:
    """An address as it is compared: an IPv4 address that came in IPv6 dress is undressed."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


class PushPeers:
    """Addresses of the meters that share one listening port; any thread may call it."""

    def __init__(self, meters: Iterable[MeterSettings]) -> None:
        self._meters = {meter.id: meter for meter in meters}
        self._known: dict[str, str] = {}
        self._refused: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Meter and host name or address, for all that is to be resolved."""
        return tuple((meter.id, name) for meter in self._meters.values() for name in meter.push_from or (meter.host,))

    def resolved(self, meter: str, addresses: Iterable[str]) -> None:
        """What one of the names turned out to be. Addresses once known stay known."""
        for plain in map(plain_address, addresses):
            with self._lock:
                self._known[plain] = meter
                self._refused.pop(plain, None)

    def meter_of(self, address: str) -> str | None:
        """The meter whose pushes come from `address`; None if it is nobody's."""
        return self._known.get(plain_address(address))

    def refuse(self, address: str, now: float) -> None:
        """Note a refused peer."""
        plain = plain_address(address)
        with self._lock:
            self._forget(now)
            if plain in self._refused or len(self._refused) < MOST_REFUSED:
                self._refused[plain] = now

    def refused(self, now: float) -> tuple[str, ...]:
        """What to do about each peer that was refused lately."""
        with self._lock:
            self._forget(now)
            return tuple(self._advice(address) for address in self._refused)

    def _forget(self, now: float) -> None:
        self._refused = {address: at for address, at in self._refused.items() if now - at <= REMEMBERED}

    def _advice(self, address: str) -> str:
        lines = []
        for meter in self._meters.values():
            names = ", ".join(f'"{name}"' for name in (*(meter.push_from or (meter.host,)), address))
            lines.append(f'push_from = [{names}] in the [[meter]] with id = "{meter.id}"')
        return f"a push from {address} was refused; if it is the meter's, set " + " or ".join(lines)
