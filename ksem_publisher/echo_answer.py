"""Answers the pings of nodes, which date this publisher's blocks by the pongs [core].

A module of its own, since freshness at the inverter hangs on it alone: no block waits for it, and it for no block.
"""

from collections.abc import Callable
from typing import Final

from ksem_contract.block_message import Ping, Pong
from ksem_contract.freshness import PING_EVERY, PING_SELDOM, pong_stamp
from ksem_contract.mac import KeySource, keyless
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import Topics
from ksem_publisher.block_publisher import Publish
from service_runtime.clock import boottime

PER_SECOND: Final = 1.0
"""Pings that all nodes together may send; answering so many costs little beside the pushes."""
MOST_NODES: Final = int(PING_SELDOM * PER_SECOND)
FORGOTTEN: Final = 3 * PING_SELDOM
"""Seconds after its last ping for which a node counts as present."""


class EchoAnswer:
    """Called in the link's own thread: no other work of the publisher delays a pong."""

    def __init__(
        self,
        meter: str,
        topics: Topics,
        session: str,
        publish: Publish,
        clock: Callable[[], float] = boottime,
        keys: KeySource = keyless,
    ) -> None:
        self._keys = keys
        self._meter = meter
        self._topics = topics
        self._session = session
        self._publish = publish
        self._clock = clock
        self._nodes: dict[str, float] = {}
        """When each node pinged last; the node that is silent longest comes first."""

    def on_ping(self, node: str, payload: bytes) -> None:
        """Answer a node's ping; a broken ping gets no answer."""
        try:
            ping = Ping.decode(payload)
        except InvalidMessage:
            return
        now = self._clock()
        every = self._pace(node, now)
        every_ms = round(1000 * every) if every > PING_EVERY else None
        pong = Pong(self._meter, node, ping.nonce, self._session, pong_stamp(now), every_ms)
        self._publish(self._topics.pong(self._meter, node), pong.encode(self._keys()))

    def _pace(self, node: str, now: float) -> float:
        """Seconds after which this node shall ping again, so that all nodes together stay within the limit."""
        self._nodes.pop(node, None)
        self._nodes[node] = now
        while len(self._nodes) > MOST_NODES or now - self._nodes[next(iter(self._nodes))] > FORGOTTEN:
            del self._nodes[next(iter(self._nodes))]
        return len(self._nodes) / PER_SECOND
