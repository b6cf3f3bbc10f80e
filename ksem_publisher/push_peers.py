"""Whose pushes are taken: the meter's own address, or those that its settings name."""

import ipaddress
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable

from ksem_contract.reasons import Reason
from ksem_publisher.settings import MeterSettings

MOST_REFUSED = 16
MOST_ADVISED = 3
"""Refused peers with an advice of their own in health; the others are counted."""
REMEMBERED = 600.0
"""Seconds for which a refused peer is reported after its last attempt: a meter tries again and again."""


def plain_address(address: str) -> str:
    """An address as it is compared: IPv4 in IPv6 notation becomes IPv4, a zone becomes the interface's name."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    bare = str(parsed).partition("%")[0]
    return f"{bare}%{_interface(parsed.scope_id)}" if parsed.scope_id and parsed.is_link_local else bare


def socket_address(address: tuple[object, ...]) -> str:
    """The same for an address as a socket gives it: with IPv6 the zone is its fourth item."""
    zone = address[3] if len(address) > 3 else 0
    return plain_address(f"{address[0]}%{zone}" if zone else str(address[0]))


def _interface(zone: str) -> str:
    try:
        return socket.if_indextoname(int(zone))
    except (ValueError, OSError, OverflowError):
        return zone


class PushPeers:
    """Addresses of the meters that share one listening port; any thread may call it."""

    def __init__(self, meters: Iterable[MeterSettings]) -> None:
        self._meters = {meter.id: meter for meter in meters}
        self._found: dict[tuple[str, str], frozenset[str]] = {}
        self._pending: set[tuple[str, str]] = set()
        self._refused: dict[str, float] = {}
        self._lock = threading.Lock()
        for meter in self._meters.values():
            for name in meter.push_sources:
                if _is_address(name):
                    self._found[meter.id, name] = frozenset((plain_address(name),))
                else:
                    self._pending.add((meter.id, name))
        polled = {(meter.id, meter.host) for meter in self._meters.values() if not _is_address(meter.host)}
        self.names = tuple(sorted(self._pending | polled))
        """Meter and host name, for all that is to be looked up: also those that are only polled."""
        self._owners = self._sort()

    def resolved(self, meter: str, name: str, addresses: Iterable[str] | None) -> tuple[str, ...]:
        """What a name means now; None where it can't be found: then it means what it meant before.

        The addresses that it no longer means.
        """
        with self._lock:
            self._pending.discard((meter, name))
            if addresses is None:
                return ()
            before = self._found.get((meter, name), frozenset())
            self._found[meter, name] = frozenset(map(plain_address, addresses))
            self._owners = self._sort()
            self._refused = {peer: at for peer, at in self._refused.items() if not self._meters_at(peer)}
            return tuple(sorted(before - self._found[meter, name]))

    def meter_of(self, address: str) -> str | None:
        """The meter whose pushes come from `address`; None if it belongs to no meter, or to several."""
        meters = self._meters_at(plain_address(address))
        return meters[0] if len(meters) == 1 else None

    def is_by_name(self, address: str) -> bool:
        """Whether `address` is known from a name only: that may have changed since it was looked up."""
        plain = plain_address(address)
        with self._lock:
            return any(plain in self._found.get(key, ()) for key in self.names)

    def is_polled(self, meter: str, name: str) -> bool:
        """Whether the meter is polled by this name."""
        return self._meters[meter].host == name

    def refuse(self, address: str, now: float) -> None:
        """Note a refused peer, unless it may still turn out to be a meter's, or is one that means several."""
        plain = plain_address(address)
        with self._lock:
            self._forget(now)
            noted = plain in self._refused or len(self._refused) < MOST_REFUSED
            if noted and not self._pending and not self._meters_at(plain):
                self._refused[plain] = now

    def refused(self, meter: str, now: float) -> tuple[Reason, ...]:
        """What to do about the peers that were refused lately, and about addresses that mean several meters."""
        with self._lock:
            self._forget(now)
            newest = sorted(self._refused, key=lambda peer: -self._refused[peer])
            reasons = [self._advice(meter, address) for address in newest[:MOST_ADVISED]]
            if len(newest) > MOST_ADVISED:
                reasons.append(Reason.of("push-refused-more", count=len(newest) - MOST_ADVISED))
            shared = [(one, meters) for one in self._owners if len(meters := self._meters_at(one)) > 1]
            reasons += [_ambiguous(one, meters) for one, meters in shared if meter in meters][:MOST_ADVISED]
        return tuple(reasons)

    def _meters_at(self, plain: str) -> tuple[str, ...]:
        """The meters at an address; one that is listed without a zone counts on every interface."""
        owners = self._owners
        here, anywhere = owners.get(plain, ()), owners.get(plain.partition("%")[0], ())
        return here + tuple(meter for meter in anywhere if meter not in here)

    def _sort(self) -> dict[str, tuple[str, ...]]:
        owners: dict[str, dict[str, None]] = defaultdict(dict)
        for (meter, name), addresses in sorted(self._found.items()):
            for address in sorted(addresses) if name in self._meters[meter].push_sources else ():
                owners[address][meter] = None
        return {address: tuple(meters) for address, meters in owners.items()}

    def _forget(self, now: float) -> None:
        self._refused = {address: at for address, at in self._refused.items() if now - at <= REMEMBERED}

    def _advice(self, meter: str, address: str) -> Reason:
        names = ", ".join(f'"{name}"' for name in (*self._meters[meter].push_sources, address))
        return Reason.of("push-refused", address=address, sources=names, meter=meter)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _ambiguous(address: str, meters: tuple[str, ...]) -> Reason:
    return Reason.of("push-ambiguous", address=address, meters=", ".join(meters))
