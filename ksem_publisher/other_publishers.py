"""Notices other publishers on the topics of one meter, whose blocks would take turns with ours [shell].

A module of its own, since it reads what comes from the broker; `block_publisher` only writes.
"""

import threading

from ksem_contract.block_message import BlockMessage
from ksem_contract.message_fields import InvalidMessage

REMEMBERED = 60.0
MOST = 8
MOST_BLOCKS = 64
STRANGER = "unreadable"
"""In place of a session, for messages that are no blocks."""


class OtherPublishers:
    """Remembers foreign sessions for a minute; any thread may call it.

    A session runs if one of its blocks is followed by a later one. A block that merely comes again is a bridge's or a
    queue's replay of an earlier session, often this service's own before a restart.
    """

    def __init__(self, session: str) -> None:
        self._own = f'"session":"{session}"'.encode()
        self._seen: dict[str, float] = {}
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}
        """By session and block: `boot_ms` and `seq` of the newest that was received."""
        self._lock = threading.Lock()

    def is_own(self, payload: bytes) -> bool:
        """True for a block of this session that the broker sent back; cheap, since each of ours comes back."""
        return self._own in payload

    def received(self, payload: bytes, now: float) -> None:
        """Note a foreign block that was published just now."""
        try:
            block = BlockMessage.decode(payload)
        except InvalidMessage:
            session, runs = STRANGER, True
        else:
            session, runs = block.session, self._goes_on(block)
        with self._lock:
            if runs and (session in self._seen or len(self._seen) < MOST):
                self._seen[session] = now

    def seen(self, now: float) -> tuple[str, ...]:
        """Sessions that ran within the last minute."""
        with self._lock:
            self._seen = {session: at for session, at in self._seen.items() if now - at <= REMEMBERED}
            return tuple(sorted(self._seen))

    def _goes_on(self, block: BlockMessage) -> bool:
        """Whether this is later than the same block of the same session before."""
        key, stamp = (block.session, block.block), (block.boot_ms, block.seq)
        with self._lock:
            before = self._newest.pop(key, None)
            self._newest[key] = stamp if before is None else max(stamp, before)
            if len(self._newest) > MOST_BLOCKS:
                del self._newest[next(iter(self._newest))]
        return before is not None and stamp > before
