"""Copies of one message, one for each of our subscriptions that covers its topic [core].

We subscribe to each topic whose name is known, since some brokers (RabbitMQ) give retained messages to exact topics
only, and beside them to a pattern for names that are not known. A broker may then deliver a message once for each
(MQTT 5.0, section 3.3.4): mosquitto and NATS do.
"""

from collections.abc import Sequence
from typing import Final

COPY_WITHIN: Final = 1.0
"""Seconds within which a message that equals the one before on its topic is its copy."""


class Overlap:
    """Knows which topics of `subscriptions` a pattern among them covers, too."""

    def __init__(self, subscriptions: Sequence[str]) -> None:
        patterns = [one.split("/") for one in subscriptions if "+" in one or "#" in one]
        self._doubled = {
            one for one in subscriptions if any(_matches(pattern, one.split("/")) for pattern in patterns)
        } - {one for one in subscriptions if "+" in one or "#" in one}
        self._last: dict[str, tuple[bytes, bool, float]] = {}

    def begin_anew(self) -> None:
        """A new connection: what is retained comes again."""
        self._last.clear()

    def is_copy(self, topic: str, payload: bytes, *, retained: bool, received: float) -> bool:
        """Whether a message is the copy of the one before on its topic. `received` in seconds of CLOCK_BOOTTIME."""
        if topic not in self._doubled:
            return False
        last = self._last.get(topic)
        if last is not None and (payload, retained) == last[:2] and received - last[2] <= COPY_WITHIN:
            del self._last[topic]
            return True
        self._last[topic] = (payload, retained, received)
        return False


def _matches(pattern: Sequence[str], topic: Sequence[str]) -> bool:
    """MQTT 5.0, section 4.7; none of ours begins with `$`."""
    if pattern[-1] == "#":
        pattern = pattern[:-1]
        topic = topic[: len(pattern)]
    return len(pattern) == len(topic) and all(one in ("+", level) for one, level in zip(pattern, topic, strict=True))
