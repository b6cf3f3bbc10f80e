"""Decides when a service is started, started again, or counted as hung [core].

It starts nothing itself, so tests of its pauses need no processes and no waiting.
"""

from typing import Final

FIRST_PAUSE: Final = 0.5
"""Seconds from an end to the next start."""
LONGEST_PAUSE: Final = 10.0
STEADY: Final = 60.0
"""Seconds of running after which an end counts as the first one again."""
HUNG: Final = 15.0
"""Seconds without a new line in its health file: a service writes one each second while its loop is alive."""
START_PATIENCE: Final = 60.0
"""Seconds for its first line: a small machine takes long to import."""


class Keeper:
    """Of one service. Times are seconds of one clock."""

    def __init__(self) -> None:
        self.restarts = 0
        self._pause = FIRST_PAUSE
        self._started_at: float | None = None
        self._due = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._started_at is not None

    def is_due(self, now: float) -> bool:
        """Whether it should be started now."""
        return self._started_at is None and now >= self._due

    def started(self, now: float) -> None:
        """It was."""
        self._started_at = now

    def ended(self, now: float, *, wanted: bool = False) -> None:
        """It has ended. Not `wanted`: it is started again after a pause, which doubles while it ends soon each time."""
        ran = now - self._started_at if self._started_at is not None else 0.0
        self._started_at = None
        if wanted:
            self._due, self._pause = now, FIRST_PAUSE
            return
        self.restarts += 1
        self._pause = FIRST_PAUSE if ran >= STEADY or self.restarts == 1 else min(2 * self._pause, LONGEST_PAUSE)
        self._due = now + self._pause

    def is_hung(self, now: float, health_age: float | None) -> bool:
        """Whether its loop hangs. `health_age`: seconds since its last health line; None: there is none."""
        if self._started_at is None:
            return False
        ran = now - self._started_at
        if health_age is None or health_age > ran:  # a line of the run before
            return ran > START_PATIENCE
        return health_age > HUNG
