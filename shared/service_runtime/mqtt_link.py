"""The link to the broker: the only door to paho [shell].

One thread per link connects, reads and heals; `publish()` writes to the socket from the caller's own thread.
"""

import logging
from collections.abc import Callable, Sequence

import attrs

from service_runtime.common_settings import MqttSettings


@attrs.frozen
class Incoming:
    """One message from the broker. `received` is CLOCK_BOOTTIME in seconds, taken right after the read."""

    topic: str
    payload: bytes
    retained: bool
    received: float


Farewell = tuple[str, bytes, int, bool]
"""topic, payload, qos, retain"""


class MqttLink:
    """A connection to the broker that heals by itself.

    `on_message` and `on_link` run in the link's own thread, one at a time, without any lock held: they may call
    `publish()`, they may not call `stop()`, and they should return soon. `on_link(True, why)` comes once all
    subscriptions are acknowledged: publish the retained set and the first ping there. `on_link(False, why)` comes when
    the link is lost, and once when the first attempt fails; `why` is a sentence for people.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will: tuple[str, bytes] | None,
        subscriptions: Sequence[str],
        on_message: Callable[[Incoming], None],
        on_link: Callable[[bool, str], None],
        log: logging.Logger,
    ) -> None:
        """`will` is published retained, QoS 1, by the broker when the link dies. Subscriptions have QoS 0."""
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """True from the moment all subscriptions are acknowledged until the link is lost."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the thread; returns at once."""

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool:
        """Hand one message to the socket, from any thread, without ever waiting for the broker.

        False: dropped, because the link is down or older bytes are still unsent. Nothing is kept for later.
        `expiry` in seconds (MQTT 5; ignored with 3.1.1).
        """
        raise NotImplementedError

    def stop(self, farewell: Sequence[Farewell] = ()) -> None:
        """Publish `farewell`, wait for its acknowledgements, disconnect cleanly; 1.5 s at most in all."""
