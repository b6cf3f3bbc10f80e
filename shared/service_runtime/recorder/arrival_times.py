"""When each byte of a stream was there, from the chunks in which they were handed over [core].

A frame may be recognised later than it arrived, and an adapter hands over several bytes at once: in a chunk that came
at a moment, the last byte is taken as just arrived and those before it as a character's time apart.
"""

from collections import deque


class ArrivalTimes:
    """Positions in the stream, joined to times in seconds. `character` is how long one takes on the wire."""

    def __init__(self, character: float) -> None:
        self._character = character
        self._chunks: deque[tuple[int, float]] = deque()
        self._arrived = 0
        self._taken = 0
        self._before = float("-inf")

    def arrived(self, count: int, now: float) -> None:
        """A chunk of `count` bytes was handed over at `now`."""
        self._arrived += count
        self._chunks.append((self._arrived, now))

    def take(self, count: int) -> tuple[float, float]:
        """The next `count` bytes of the stream: when the first one began, and when the last one was there."""
        begin = self._at(self._taken) - self._character
        end = self._at(self._taken + count - 1)
        self._taken += count
        while len(self._chunks) > 1 and self._chunks[0][0] <= self._taken:
            self._before = self._chunks.popleft()[1]
        return begin, end

    def _at(self, place: int) -> float:
        before = self._before
        for stop, now in self._chunks:
            if place < stop:
                return max(before, now - (stop - 1 - place) * self._character)
            before = now
        raise ValueError(f"byte {place} of {self._arrived}: it has not arrived")
