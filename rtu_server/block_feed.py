"""Passes what the broker delivers about one meter to the cache.

From the broker to the inverter, in this order:

1. `service_runtime.mqtt_link`: receives blocks, pongs and statuses, in its own thread.
2. `block_feed`, this file: decodes them, and pings where `ksem_contract.freshness` finds that a ping is due.
3. `register_cache`: dates each block and keeps what is served as one object, with the replies that `reply_cache`
   encodes ahead. One reference is swapped.
4. `serial_line`: one thread a line reads the port through `serial_port`.
5. `line`: finds requests in the bytes, and decides which are answered and when.
6. `responder`: request in; reply, exception or silence out, from what `register_cache` serves at that moment.
7. `serial_line` writes it once the silence of t3.5 is over.

`tcp_server` and `tcp_session` answer Modbus TCP clients from the same cache.
"""

import logging
import secrets
import threading
from collections.abc import Callable
from typing import Final

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.freshness import EchoSchedule
from ksem_contract.mac import BadMac, KeySource, MacFault, keyless
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import ParsedTopic, Topics
from rtu_server.register_cache import BlockResult, FreshnessLimits, RegisterCache, Served
from service_runtime.clock import boottime
from service_runtime.mqtt_session import Incoming
from service_runtime.news import QuietLog

NONCE_BYTES: Final = 16
"""No client can guess the next nonce: see `Ping.nonce`."""
BAD_MAC_FOR: Final = 60.0
"""Seconds for which health names a bad code."""

log = logging.getLogger(__name__)


class BlockFeed:
    """One meter's blocks, status and echoes. Its methods run in the thread of the broker's link; `tick` in any."""

    def __init__(
        self,
        meter: str,
        node: str,
        topics: Topics,
        limits: FreshnessLimits,
        send_ping: Callable[[str, bytes], bool],
        keys: KeySource = keyless,
    ) -> None:
        self.meter = meter
        self._node = node
        self._keys = keys
        self.bad_macs = 0
        """Blocks and pongs that were refused because of a bad code."""
        self._bad_mac: tuple[MacFault, float] | None = None
        self.cache = RegisterCache(limits)
        """The source of all answers."""
        self.online: bool | None = None
        """The meter's retained status; None = none was received yet."""
        self.last_received: float | None = None
        self.last_block: float | None = None
        self.fresh_since: float | None = None
        """Since when the vital data has been fresh without a break, as far as `tick` has seen."""
        self.undated = False
        """Blocks arrive from a publisher that has answered no ping."""
        self.round_trip_ms: float | None = None
        self._topics = topics
        self._ping_topic = topics.ping(meter, node)
        self._send_ping = send_ping
        self._echo = EchoSchedule()
        self._pinging = threading.Lock()
        self._quiet = QuietLog()

    @property
    def state(self) -> Served:
        """What may be served now."""
        return self.cache.state

    @property
    def publisher_clock(self) -> tuple[str, float, float] | None:
        """Session, offset and uncertainty of the publisher's clock in seconds, as far as echoes show."""
        return self.cache.publisher_clock(boottime())

    def subscriptions(self, node: str) -> list[str]:
        """Return the topics this feed needs: blocks, status and pongs, so that a cycle is one small message."""
        return [
            *self._topics.meter_block_subscriptions(self.meter),
            self._topics.meter_status(self.meter),
            self._topics.pong(self.meter, node),
        ]

    def on_link_up(self) -> None:
        """Request the publisher's clock at once."""
        self._echo.on_link_up(boottime())
        self.tick()

    def tick(self) -> None:
        """Ping where it is due; call it a few times a second, from any thread."""
        with self._pinging:
            # The moment before it is handed over: the way there may make an age too great, never too small.
            now = boottime()
            self.fresh_since = (self.fresh_since or now) if self.state.is_true(now) else None
            if self._echo.due(now):
                nonce = secrets.token_hex(NONCE_BYTES)
                self._echo.sent(nonce, now)
                self._send_ping(self._ping_topic, Ping(nonce).encode())

    def on_message(self, topic: ParsedTopic, message: Incoming) -> None:
        """Take a block, a pong or a status."""
        self.last_received = message.received
        self._settle_doubt(message.received)
        try:
            if topic.kind == "block":
                self._on_block(topic, message)
            elif topic.kind == "pong":
                self._on_pong(message)
            elif topic.kind == "status":
                self._on_status(message)
        except BadMac as bad:
            self.bad_macs += 1
            self._bad_mac = (bad.fault, message.received)
            self._complain(message, "mac", f"refused {message.topic}: {bad}")
        except InvalidMessage as bad:
            self._complain(message, "contract", f"ignored {message.topic}, which breaks the contract: {bad}")

    def bad_mac(self, now: float) -> MacFault | None:
        """Return what was wrong with the newest bad code, for a minute."""
        if self._bad_mac is None or now - self._bad_mac[1] > BAD_MAC_FOR:
            return None
        return self._bad_mac[0]

    def _settle_doubt(self, now: float) -> None:
        """Ping where a line found that this host stalled: no earlier echo counts."""
        if self.cache.settle_doubt():
            self._echo.void()
            for session in self.cache.undated_sessions():
                self._echo.want(session, now)
            self.tick()

    def _on_block(self, topic: ParsedTopic, message: Incoming) -> None:
        if not message.payload:
            return  # a client cleared the retained message
        self._keys().check(message.payload)
        block = BlockMessage.decode(message.payload)
        if (block.meter, block.block) != (topic.meter, topic.name):
            raise InvalidMessage(f"it is {block.meter}'s block {block.block}")
        self.last_block = message.received
        received = self.cache.on_block(block, message.received)
        waits = received in (BlockResult.UNDATED, BlockResult.DISPROVED)
        self.undated = waits or (self.undated and received is not BlockResult.HELD)
        if received is BlockResult.DISPROVED:
            self._echo.void()
        if waits:
            self._echo.want(block.session, message.received)
            self.tick()
        elif received is BlockResult.HELD and message.received >= self.state.vital_expires:
            self._echo.doubt()

    def _on_pong(self, message: Incoming) -> None:
        self._keys().check(message.payload)
        pong = Pong.decode(message.payload)
        if (pong.meter, pong.node) != (self.meter, self._node):
            raise InvalidMessage(f"it is for node {pong.node} of meter {pong.meter}")
        sent = self._echo.answered(pong.nonce, pong.session, message.received)
        if sent is None:
            return
        self._echo.pace(pong.every_ms)
        self.round_trip_ms = round(1000 * (message.received - sent), 2)
        if self.cache.on_pong(pong, sent=sent, received=message.received):
            self._echo.dated(pong.session)
        else:
            self._echo.void()
            self._echo.want(pong.session, message.received)
            self.tick()

    def _on_status(self, message: Incoming) -> None:
        if message.payload not in (b"online", b"offline"):
            raise InvalidMessage("status is online or offline")
        self.online = message.payload == b"online"
        if not self.online:
            self.cache.on_offline()

    def _complain(self, message: Incoming, kind: str, text: str) -> None:
        line = self._quiet.line(kind, text, message.received)
        if line:
            log.warning("meter %s: %s", self.meter, line)
