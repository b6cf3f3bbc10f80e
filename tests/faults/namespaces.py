"""Hosts and the cable between them: two network namespaces, and a thread that carries packets from one to the other.

The namespaces have no names and the cable's ends are descriptors, so nothing is left over however a test ends. The
cable is carried here, and not by the kernel's netem, since many a kernel is built without that.
"""

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

CELLAR, ATTIC = "10.77.0.1", "10.77.0.2"
"""Addresses of the cable's two ends."""

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x1001  # IFF_TUN | IFF_NO_PI
_OWN: Final = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """A network namespace with one end of a cable. What is started inside of `entered()` lives there."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._namespace, self.cable_end = _in_a_thread(lambda: _make_namespace(address))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets, threads and processes made by this thread meanwhile belong to this host."""
        back = os.open(_OWN, os.O_RDONLY)
        _enter(self._namespace)
        try:
            yield
        finally:
            _enter(back)
            os.close(back)

    def close(self) -> None:
        os.close(self.cable_end)
        os.close(self._namespace)


@dataclass
class Way:
    """One direction of the cable. Times in seconds. Fields may be changed at any time."""

    delay: float = 0.0
    jitter: float = 0.0
    """Each packet is delayed by `delay` plus or minus a random part of this."""
    reorder: bool = False
    """Whether a packet with a shorter delay overtakes one with a longer; else it waits for that one."""
    cut: bool = False
    """Packets are lost, silently."""
    held: bool = False
    """Packets wait, and all go on at once when this ends."""
    held_ports: frozenset[int] = frozenset()
    """Packets from or to these TCP ports alone wait."""
    carried: int = 0
    lost: int = 0
    _due: list[tuple[float, int, bytes]] = field(default_factory=list)
    _last: float = 0.0

    def take(self, packet: bytes, number: int, now: float) -> None:
        if self.cut:
            self.lost += 1
            return
        due = now + max(0.0, self.delay + random.uniform(-self.jitter, self.jitter))
        if not self.reorder:
            due = self._last = max(due, self._last)
        heapq.heappush(self._due, (due, number, packet))

    def ready(self, now: float) -> list[bytes]:
        """Packets that have arrived."""
        if self.held:
            return []
        found: list[tuple[float, int, bytes]] = []
        kept: list[tuple[float, int, bytes]] = []
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)
            (kept if self.held_ports & _ports(entry[2]) else found).append(entry)
        for entry in kept:
            heapq.heappush(self._due, entry)
        self.carried += len(found)
        return [packet for _, _, packet in found]

    @property
    def next_due(self) -> float | None:
        return None if self.held or not self._due else self._due[0][0]


class Network:
    """Two hosts, `cellar` and `attic`, and the cable between them: the ways `up` to the attic and `down`."""

    def __init__(self) -> None:
        self.cellar, self.attic = Host(CELLAR), Host(ATTIC)
        self.up, self.down = Way(), Way()
        self._wake, self._woken = os.pipe()
        self._carrier = threading.Thread(target=self._carry, name="cable", daemon=True)

    @property
    def ways(self) -> tuple[Way, Way]:
        return self.up, self.down

    def __enter__(self) -> Self:
        self._carrier.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.close(self._woken)
        self._carrier.join()
        os.close(self._wake)
        self.cellar.close()
        self.attic.close()

    def _carry(self) -> None:
        cellar, attic = self.cellar.cable_end, self.attic.cable_end
        numbers = itertools.count()
        poll = select.poll()
        for descriptor in (cellar, attic, self._wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            now = time.monotonic()
            waits = [way.next_due - now for way in self.ways if way.next_due is not None]
            # Never long: a way may be let go from another thread; never nothing: what is held by port stays due.
            patience = min([0.05, *(max(wait, 0.001) for wait in waits)])
            found = {descriptor for descriptor, _ in poll.poll(patience * 1000)}
            if self._wake in found:
                return
            now = time.monotonic()
            for source, way in ((cellar, self.up), (attic, self.down)):
                if source in found:
                    way.take(os.read(source, 65536), next(numbers), now)
            for way, to in ((self.up, attic), (self.down, cellar)):
                for packet in way.ready(now):
                    os.write(to, packet)


def may_make_networks() -> bool:
    """Namespaces and cables are root's."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists()


def _make_namespace(address: str) -> tuple[int, int]:
    """Descriptors of a new namespace and of its cable's end; the thread that calls this stays inside."""
    _check(_libc.unshare(_CLONE_NEWNET))
    cable_end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(cable_end, _TUNSETIFF, struct.pack("16sH", b"cable", _TUN_WITHOUT_HEADER))
    for line in ("link set lo up", f"address add {address}/24 dev cable", "link set cable up"):
        subprocess.run(["ip", *line.split()], check=True)
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC), cable_end


def _in_a_thread(make: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """The result of `make` in a thread of its own, which takes its namespace along when it ends."""
    results: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: results.append(make()))
    thread.start()
    thread.join()
    assert results, "no network namespace could be made"
    return results[0]


def _enter(namespace: int) -> None:
    _check(_libc.setns(namespace, _CLONE_NEWNET))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _ports(packet: bytes) -> frozenset[int]:
    """The TCP ports of an IPv4 packet."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 6:
        return frozenset()
    head = 4 * (packet[0] & 15)
    return frozenset(struct.unpack_from("!HH", packet, head))
