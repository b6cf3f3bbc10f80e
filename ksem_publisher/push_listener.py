"""Where meters push to: a listening port, who may come, how many, and for how long they may be silent."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_publisher.push_connection import PushConnection, PushedWrite, WrittenRegisters
from ksem_publisher.push_peers import PushPeers
from ksem_publisher.settings import MeterSettings
from service_runtime.clock import boottime
from service_runtime.quiet_log import QuietLog

MOST_CONNECTIONS = 4
"""Of one peer; a further one closes the peer's oldest."""
IDLE_TIMEOUT = 180.0
RESOLVE_EVERY = 60.0
RESOLVE_SOON = 5.0
"""Names are looked up again when an unknown peer comes, but not more often than this."""
_REOPEN = 1.0
_TICK = 5.0

log = logging.getLogger("ksem_publisher.push")


class PushTaker(Protocol):
    """The meter that pushes belong to."""

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None: ...

    def on_closed(self, connection: PushConnection) -> None: ...


class PushListener:
    """Listens on one port for the pushes of some meters."""

    def __init__(
        self,
        address: str,
        port: int,
        meters: Sequence[MeterSettings],
        takers: dict[str, PushTaker],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._address, self._port = address, port
        self._takers = takers
        self._clock = clock
        self._peers = PushPeers(meters)
        self._written = {meter.id: WrittenRegisters() for meter in meters}
        self._connections: list[PushConnection] = []
        self._quiet = QuietLog()
        self._resolved_at = float("-inf")
        self._resolve_again = asyncio.Event()
        self.why_closed: str | None = None
        """Why nobody can push; None while all is well."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Peers that were refused, each with the settings line that would let it in."""
        return self._peers.refused(self._clock())

    async def run(self) -> None:
        """Listen until cancelled; an address that can't be listened on is tried again."""
        while True:
            try:
                await self._resolve()
                server = await asyncio.get_running_loop().create_server(
                    lambda: PushConnection(self, self._clock), self._address, self._port, reuse_address=True
                )
            except OSError as error:
                self._complain(f"can't listen on {self._address}:{self._port}: {error.strerror or error}")
                await asyncio.sleep(_REOPEN)
                continue
            self.why_closed = None
            log.info("listening for pushes on %s:%d", self._address, self._port)
            async with server:
                try:
                    await self._watch()
                finally:
                    # Before the server is left: from Python 3.12 on that waits until no connection is open.
                    for connection in list(self._connections):
                        connection.close()

    def opened(self, connection: PushConnection) -> WrittenRegisters | None:
        meter = self._peers.meter_of(connection.peer)
        if meter is None:
            self._resolve_again.set()
            self._peers.refuse(connection.peer, self._clock())
            return None
        connection.meter = meter
        same = [one for one in self._connections if one.peer == connection.peer]
        for oldest in sorted(same, key=lambda one: one.last_heard)[: max(0, len(same) + 1 - MOST_CONNECTIONS)]:
            oldest.close()
        self._connections.append(connection)
        return self._written[meter]

    def wrote(self, connection: PushConnection, writes: list[PushedWrite]) -> None:
        self._takers[connection.meter].on_writes(connection, writes)

    def closed(self, connection: PushConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._takers[connection.meter].on_closed(connection)

    def complained(self, connection: PushConnection, what: str) -> None:
        line = self._quiet.say(f"garbage {connection.peer}", f"{what}; connection closed", self._clock())
        if line:
            log.warning("%s", line)

    async def _watch(self) -> None:
        """Close silent connections, and look names up again now and then."""
        while True:
            try:
                async with asyncio.timeout(_TICK):
                    await self._resolve_again.wait()
            except TimeoutError:
                pass
            now = self._clock()
            for connection in list(self._connections):
                if now - connection.last_heard > IDLE_TIMEOUT:
                    connection.close()
            patience = RESOLVE_SOON if self._resolve_again.is_set() else RESOLVE_EVERY
            if now - self._resolved_at >= patience:
                await self._resolve()
            elif self._resolve_again.is_set():
                await asyncio.sleep(RESOLVE_SOON - (now - self._resolved_at))
            for line in self._quiet.due(now):
                log.warning("%s", line)

    async def _resolve(self) -> None:
        self._resolve_again.clear()
        self._resolved_at = self._clock()
        loop = asyncio.get_running_loop()
        for meter, name in self._peers.names:
            try:
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except OSError as error:
                line = self._quiet.say(f"resolve {name}", f"{name}: {error.strerror}", self._clock())
                if line:
                    log.warning("the address of meter %s can't be found: %s", meter, line)
                continue
            self._peers.resolved(meter, (str(entry[4][0]) for entry in found))

    def _complain(self, why: str) -> None:
        if why != self.why_closed:
            log.warning("%s; trying on", why)
        self.why_closed = why
