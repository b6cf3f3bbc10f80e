"""The history of power, energy and outages: what is recorded, stored and handed out [shell]."""

import asyncio
import csv
import io
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ksem_contract.reasons import Reason
from ksem_dashboard.outages import Outage, OutageWatch, shown_outages
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.record import MINUTE, Batch, Day, DayEnergy, Recorder, days_before
from ksem_dashboard.settings import HistorySettings
from ksem_dashboard.store import Store

DAYS: Final = 30
SPANS: Final = {"day": (1440, 5), "week": (7 * 1440, 30)}
"""Minutes of a picture, and of one of its points."""
MOST_SHOWN: Final = 500
RESUME_WITHIN: Final = 3600.0
"""Seconds after which an outage that was open when the service ended is over: nobody knows what came then."""
_MOST_WAITING: Final = 60
"""Things to write that wait for a disk which takes its time."""
TABLES: Final = ("power", "energy", "outages")

T = TypeVar("T")

log: Final = logging.getLogger(__name__)


class Archive:
    """`step`, `reasons` and `stop` are for the event loop, as are `page` and `table`."""

    def __init__(self, settings: HistorySettings) -> None:
        # One thread, so that one thing is done after another, and memory for one thread is taken.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._directory = _directory(settings)
        self._error = ""
        self._is_lost = False
        """Whether the folder could not be used at the start: memory takes its place until the next one."""
        self._store = self._open()
        self._recorder = Recorder(days={day.meter: DayEnergy(day.meter, day) for day in self._store.last_days()})
        self._current: tuple[Outage, ...] = ()
        self._writing: asyncio.Task[None] | None = None
        self._waiting = 0

    def resume(self, watch: OutageWatch, now: float, wall: float) -> Any:
        """Give the outages that were open a short time ago back to the watch; return what notifications left here."""
        left = [one for one in self._store.outages(wall - RESUME_WITHIN, wall) if not one.is_over]
        watch.restore(left, now)
        return self._store.recall("notifications") or {}

    def step(
        self, state: BridgeState, current: Sequence[Outage], finished: Iterable[Outage], now: float, local: datetime
    ) -> None:
        """Take in the present. Each minute something is written, in a thread: a card may take seconds for it."""
        self._current = tuple(current)
        batch = self._recorder.step(state, current, finished, now, local)
        if batch is not None:
            self._start(self._write(batch))

    def remember(self, memory: Any) -> None:
        """Keep what notifications need after a restart."""
        self._start(self._remember(memory))

    def reasons(self) -> tuple[Reason, ...]:
        """Why the history is not written."""
        if not self._error:
            return ()
        return (Reason.of("history-not-written", error=self._error, directory=self._directory or ""),)

    async def page(self, meter: str, local: datetime) -> dict[str, Any]:
        """Return `as_json`, made in the archive's thread."""
        return await self._in_thread(self.as_json, meter, local)

    async def table(self, name: str, meter: str, local: datetime) -> str:
        """Return `as_csv`, made in the archive's thread."""
        return await self._in_thread(self.as_csv, name, meter, local)

    async def stop(self, state: BridgeState, now: float, local: datetime) -> None:
        """Write what the unfinished minute holds, and close the file."""
        if self._writing is not None:
            await self._writing
        batch = self._recorder.rest(state, self._current, now, local)
        if batch is not None:
            await self._write(batch)
        await self._in_thread(self._store.close)
        self._thread.shutdown(wait=False)

    def as_json(self, meter: str, local: datetime) -> dict[str, Any]:
        """Power of a day and a week, energy and outages of 30 days. sqlite3.Error where that can't be read."""
        wall = local.timestamp()
        days = days_before(local, DAYS)
        begin = wall - DAYS * 86400
        return {
            "v": 1,
            "meter": meter,
            "at": round(wall),
            "is_stored": self._directory is not None and not self._error,
            **{name: self._span(meter, int(wall // MINUTE), *span) for name, span in SPANS.items()},
            "days": days,
            "energy": [_energy(day) for day in self._store.days(meter, days[0], days[-1])],
            "begin": round(begin),
            "outages": [asdict(one) | {"ended": one.ended} for one in self._outages(begin, wall)[-MOST_SHOWN:]],
            "watched": self._store.watched(begin),
        }

    def as_csv(self, table: str, meter: str, local: datetime) -> str:
        """One of TABLES as CSV, with a head. sqlite3.Error where it can't be read."""
        text = io.StringIO()
        lines = csv.writer(text)
        wall = local.timestamp()
        if table == "power":
            end = int(wall // MINUTE) + 1
            begin = end - SPANS["week"][0]
            lines.writerow(("time", "least_w", "mean_w", "greatest_w"))
            for at, *watts in self._store.power(meter, begin, end, 1):
                lines.writerow((_time((begin + at) * MINUTE), *watts))
        elif table == "energy":
            lines.writerow(("day", "imported_kwh", "exported_kwh", "whole_day"))
            for day in self._store.days(meter, "", f"{local:%Y-%m-%d}"):
                lines.writerow((day.day, f"{day.imported:.3f}", f"{day.exported:.3f}", int(day.is_whole)))
        else:
            lines.writerow(("begin", "end", "over", "what", "seconds_down", "breaks", "code", "reason", "remedy"))
            for one in self._outages(0, wall):
                times = _time(one.begun), _time(one.ended), int(one.is_over)
                words = (_plain(part) for part in (one.code, one.text, one.remedy))
                lines.writerow((*times, _plain(one.subject), round(one.down_s), one.breaks, *words))
        return text.getvalue()

    def _span(self, meter: str, now: int, minutes: int, step: int) -> dict[str, Any]:
        end = (now // step) * step
        begin = end - minutes
        points: list[list[int] | None] = [None] * (minutes // step)
        for at, *watts in self._store.power(meter, begin, end, step):
            points[at] = watts
        return {"begin": begin * MINUTE, "step_s": step * MINUTE, "points": points}

    def _outages(self, since: float, until: float) -> list[Outage]:
        """Those that are stored, and those that are not yet."""
        found = {(one.subject, one.begun): one for one in self._store.outages(since, until)}
        found |= {(one.subject, one.begun): one for one in (*self._recorder.finished, *self._current)}
        return sorted(shown_outages(found.values()), key=lambda one: one.begun)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments))

    def _open(self) -> Store:
        try:
            store = Store(self._directory)
        except (OSError, sqlite3.Error) as error:
            self._on_error(error)
            self._is_lost = True
            return Store(None)
        if store.was_damaged:
            log.warning("the history in %s can't be read: it was put aside, and begins anew", self._directory)
        return store

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done after what is being done."""
        before = self._writing
        if self._waiting >= _MOST_WAITING:
            work.close()  # the disk hangs
            return
        self._waiting += 1

        async def in_turn() -> None:
            if before is not None:
                await before
            await work
            self._waiting -= 1

        self._writing = asyncio.create_task(in_turn())

    async def _write(self, batch: Batch) -> None:
        try:
            await self._in_thread(self._store.write, batch)
        except (OSError, sqlite3.Error) as error:
            self._on_error(error)
        else:
            self._on_written()

    async def _remember(self, memory: Any) -> None:
        try:
            await self._in_thread(self._store.remember, "notifications", memory)
        except (OSError, sqlite3.Error) as error:
            self._on_error(error)

    def _on_error(self, error: Exception) -> None:
        if not self._error:
            log.warning("the history can't be written to %s: %s", self._directory, error)
        self._error = str(error)[:160]

    def _on_written(self) -> None:
        if self._error and not self._is_lost:
            log.info("the history is written again")
            self._error = ""


def _directory(settings: HistorySettings) -> Path | None:
    """Where the history is: as set, else the folder that the unit gives (STATE_DIRECTORY), else nowhere."""
    if settings.directory is not None:
        return settings.directory
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    # The unit names it where it could not be made, too.
    return Path(given) if given and os.access(given, os.W_OK) else None


def _energy(day: Day) -> dict[str, Any]:
    sums = {"imported": round(day.imported, 2), "exported": round(day.exported, 2)}
    return {"day": day.day, **sums, "whole": day.is_whole}


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
