"""Other publishers heard on this meter's topics: a second instance, or a stranger."""

import threading

from ksem_contract.block_message import BlockMessage
from ksem_contract.errors import InvalidMessage

REMEMBERED = 60.0
MOST = 8
STRANGER = "unreadable"
"""Stands for messages that are no blocks."""


class OtherPublishers:
    """Remembers foreign sessions for a minute; any thread may call it."""

    def __init__(self, session: str) -> None:
        self._own = f'"session":"{session}"'.encode()
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_own(self, payload: bytes) -> bool:
        """True for a block of this session that the broker sent back; cheap, since each of ours comes back."""
        return self._own in payload

    def heard(self, payload: bytes, now: float) -> None:
        """A block that is not ours, published just now."""
        try:
            session = BlockMessage.decode(payload).session
        except InvalidMessage:
            session = STRANGER
        with self._lock:
            if session in self._seen or len(self._seen) < MOST:
                self._seen[session] = now

    def seen(self, now: float) -> tuple[str, ...]:
        """Sessions heard within the last minute."""
        with self._lock:
            self._seen = {session: at for session, at in self._seen.items() if now - at <= REMEMBERED}
            return tuple(sorted(self._seen))
