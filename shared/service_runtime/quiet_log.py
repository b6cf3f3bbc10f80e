"""Keeps a log readable while something happens again and again [core].

What is new is told at once; what repeats is counted and told in one summary a minute.
"""

import attrs


@attrs.define
class _Kind:
    since: float
    text: str
    told: int = 0
    hidden: int = 0


class QuietLog:
    """Decides which lines reach the log. Methods take `now` in seconds; texts come back to be logged."""

    def __init__(self, *, every: float = 60.0, most_kinds: int = 50) -> None:
        self._every = every
        self._most_kinds = most_kinds
        self._kinds: dict[str, _Kind] = {}

    def say(self, kind: str, text: str, now: float, *, at_once: int = 1) -> str | None:
        """The line to log now; None where this kind was told `at_once` times within the minute already.

        Kinds beyond the bound share one, so that memory and log stay bounded whatever is sent to us.
        """
        if kind not in self._kinds and len(self._kinds) >= self._most_kinds:
            self._drop_old(now)
            if len(self._kinds) >= self._most_kinds:
                kind = "..."
        known = self._kinds.setdefault(kind, _Kind(now, text))
        known.text = text
        if now - known.since >= self._every:
            if known.hidden:
                return self._summary(known, now)
            known.since, known.told = now, 0
        if known.told < at_once:
            known.told += 1
            return text
        known.hidden += 1
        return None

    def settle(self, kind: str) -> None:
        """This trouble is over: what was counted needs no summary any more."""
        if kind in self._kinds:
            self._kinds[kind].hidden = 0

    def due(self, now: float) -> list[str]:
        """Summaries whose minute is over; call it now and then, so that the last word is told too."""
        late = [known for known in self._kinds.values() if known.hidden and now - known.since >= self._every]
        return [self._summary(known, now) for known in late]

    def _summary(self, known: _Kind, now: float) -> str:
        line = f"{known.text} ({known.hidden} times in the last {now - known.since:.0f} s)"
        known.since, known.told, known.hidden = now, 1, 0
        return line

    def _drop_old(self, now: float) -> None:
        old = [kind for kind, known in self._kinds.items() if not known.hidden and now - known.since >= self._every]
        for kind in old:
            del self._kinds[kind]
