"""Answers pings at once, so that nodes can date this publisher's blocks."""

from collections.abc import Callable

from ksem_contract.echo import Ping, Pong
from ksem_contract.errors import InvalidMessage
from ksem_contract.freshness import pong_stamp
from ksem_contract.topics import Topics
from ksem_publisher.block_publisher import Publish
from service_runtime.clock import boottime


class EchoAnswer:
    """Called in the link's own thread: no other work of the publisher delays a pong."""

    def __init__(
        self, meter: str, topics: Topics, session: str, publish: Publish, clock: Callable[[], float] = boottime
    ) -> None:
        self._meter = meter
        self._topics = topics
        self._session = session
        self._publish = publish
        self._clock = clock

    def on_ping(self, node: str, payload: bytes) -> None:
        """A node has asked; a broken ping gets no answer."""
        try:
            ping = Ping.decode(payload)
        except InvalidMessage:
            return
        pong = Pong(nonce=ping.nonce, session=self._session, boot_ms=pong_stamp(self._clock()))
        self._publish(self._topics.pong(self._meter, node), pong.encode())
