"""Server-sent events: the newest of everything, never a queue of what was [shell]."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from .picture import Picture
from .power_history import slot_of
from .report import history, live, point, report

MOST: Final = 32
"""Pages that may listen at once."""
STATE_EVERY: Final = 1.0
"""Seconds between two states while nothing changes: a page that hears nothing for longer knows that it is cut off."""
LIVE_EVERY: Final = 0.19
"""A measuring cycle takes 200 ms or longer."""


class Stream:
    """Hands the picture to any number of pages. A slow one gets fewer events, and always the newest."""

    def __init__(self, picture: Picture, clock: Callable[[], float]) -> None:
        self._picture = picture
        self._clock = clock
        self._news = asyncio.Event()
        self._ended = False
        self.listeners = 0

    @property
    def is_full(self) -> bool:
        """No page more can be served."""
        return self.listeners >= MOST

    def changed(self) -> None:
        """Something came."""
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """Let all pages go; they come again."""
        self._ended = True
        self.changed()

    async def events(self) -> AsyncIterator[str]:
        """What one page gets, until it or the service ends."""
        yield "retry: 1000\n\n"
        now = self._clock()
        for view in self._picture.meters.values():
            yield _event("history", history(view, now))
        async for text in self._follow(slot_of(now)):
            yield text

    async def _follow(self, slot: int) -> AsyncIterator[str]:
        state_due, changes = 0.0, -1
        cycles: dict[str, int] = {}
        while not self._ended:
            news, now = self._news, self._clock()
            while slot < slot_of(now):
                for view in self._picture.meters.values():
                    yield _event("point", point(view, slot))
                slot += 1
            if now >= state_due or changes != self._picture.changes:
                state_due, changes = now + STATE_EVERY, self._picture.changes
                cycles = {name: view.cycles for name, view in self._picture.meters.items()}
                yield _event("state", report(self._picture, now))
            for name, view in self._picture.meters.items():
                if cycles.get(name) != view.cycles:
                    cycles[name] = view.cycles
                    yield _event("live", live(view, now))
            await _wait(news, max(0.0, state_due - self._clock()))
            await asyncio.sleep(max(0.0, now + LIVE_EVERY - self._clock()) if not self._ended else 0)


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return


def _event(name: str, content: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
