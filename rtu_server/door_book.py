"""The replies of one meter for those who read over TCP: what the cache holds, without making requests hot there."""

from dataclasses import dataclass, field

from ksem_contract.register_range import RegisterRange

from .register_cache import RegisterCache, Served
from .reply_book import Refused, Reply, encode

MAX_REPLIES = 64
"""Replies kept until the next block comes: many readers ask for the same few ranges."""


@dataclass(slots=True)
class DoorBook:
    """Encodes when asked, from the state that the lines are served from. Used by one thread."""

    shared: RegisterCache
    _state: Served | None = None
    _replies: dict[bytes, Reply] = field(default_factory=dict)

    def ready(self, request: bytes, now: float) -> Reply | None:
        """Return a reply that was encoded from the newest state and is true at `now`."""
        state = self.shared.state
        if state is not self._state:
            self._state, self._replies = state, {}
            return None
        reply = self._replies.get(request)
        return reply if reply is not None and now < reply.expires and state.is_true(now) else None

    def doubt(self, now: float) -> None:
        """Serve nothing until a new echo: this host stood still."""
        self.shared.doubt(now)

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused:
        """Return the reply to a read request, or why there is none."""
        words = (self._state or self.shared.state).read(wanted, now)
        if isinstance(words, Refused):
            return words
        reply = encode(unit, words)
        if len(self._replies) < MAX_REPLIES:
            self._replies[request] = reply
        return reply
