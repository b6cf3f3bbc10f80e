"""Decides of the link to the broker [core]: the MQTT version to try, how long to wait, which messages are copies.

`auto` tries MQTT 5 first and takes 3.1.1 where the broker refuses 5. Some brokers refuse with a code: reason 0x84 of
MQTT 5, return code 1 of 3.1.1 (NATS, aedes). Others only close the connection (RabbitMQ before 3.13). A broker that is
being shut down closes it, too, so a close decides about one connection and a refusal about all that follow.

We subscribe to each topic whose name is known, since some brokers (RabbitMQ) give retained messages to exact topics
only, and beside them to a pattern for names that are not known. A broker may then deliver a message once for each
(MQTT 5.0, section 3.3.4): mosquitto and NATS do.
"""

from collections.abc import Sequence
from typing import Final

import attrs

FinalMessage = tuple[str, bytes, int, bool]
"""topic, payload, qos, retain"""


@attrs.frozen
class Incoming:
    """One message from the broker. `received` is CLOCK_BOOTTIME in seconds, taken right after the read."""

    topic: str
    payload: bytes
    retained: bool
    received: float


MQTT_5: Final = 5
MQTT_3_1_1: Final = 3
UNSUPPORTED: Final = 0x84
"""Unsupported Protocol Version: MQTT 5.0, section 3.2.2.2; paho gives it for return code 1 of MQTT 3.1.1, too."""


class VersionChoice:
    """`setting` is `[mqtt] version`: auto, 5, or 3 (also written 311)."""

    def __init__(self, setting: int | str) -> None:
        self.is_auto = setting == "auto"
        self.version: int = MQTT_5 if setting in ("auto", MQTT_5) else MQTT_3_1_1
        """What the next connection tries: 5 or 3."""
        self._refused = False
        self._reported = False

    def closed(self, code: int | None) -> bool:
        """A connection ended before it was accepted; `code` is its CONNACK's reason, None where none came.

        True: try again at once, with the version that `version` now holds.
        """
        if not self.is_auto or code not in (None, UNSUPPORTED):
            return False
        if self.version == MQTT_3_1_1:
            self._begin_anew()
            return False
        self._refused = code == UNSUPPORTED
        self.version = MQTT_3_1_1
        return True

    def accepted(self) -> bool:
        """The broker took the connection; True where that is worth a log line: 3.1.1 for the first time after 5."""
        is_new = self.is_auto and self.version == MQTT_3_1_1 and not self._reported
        self._reported = self.is_auto and self.version == MQTT_3_1_1
        return is_new

    def lost(self) -> None:
        """An accepted connection is over: MQTT 5 is tried again, unless the broker refused it with a code."""
        if self.is_auto and not self._refused:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.version, self._refused = MQTT_5, False


COPY_WITHIN: Final = 1.0
"""Seconds within which a message that equals the one before on its topic is its copy."""


class Overlap:
    """Finds topics of `subscriptions` that a pattern among them covers, too."""

    def __init__(self, subscriptions: Sequence[str]) -> None:
        patterns = [one.split("/") for one in subscriptions if "+" in one or "#" in one]
        self._doubled = {
            one for one in subscriptions if any(_matches(pattern, one.split("/")) for pattern in patterns)
        } - {one for one in subscriptions if "+" in one or "#" in one}
        self._last: dict[str, tuple[bytes, bool, float]] = {}

    def begin_anew(self) -> None:
        """A new connection: retained messages come again."""
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


@attrs.frozen
class Backoff:
    """A delay between `low` and `high` seconds, drawn again each time and never doubled.

    A house has two clients, and its broker returns at a time of its own: waiting longer each time would only make the
    outage longer. The spread keeps clients from connecting in step.
    """

    low: float = 0.5
    high: float = 1.0

    def delay(self, chance: float) -> float:
        """Seconds to wait; `chance` is a random number from 0 to 1."""
        return self.low + (self.high - self.low) * chance
