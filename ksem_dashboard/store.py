"""The history on disk: SQLite in one folder, or in memory where there is none [shell].

A card wears out by writing: everything of a minute is one transaction. It is flushed to the disk before it counts as
written, so that a power cut takes the running minute alone. A file that can't be read is put aside, and begun anew.
"""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

from ksem_dashboard.outages import Outage
from ksem_dashboard.record import Batch, Day

FILE: Final = "history.sqlite3"
MINUTES: Final = 7 * 1440 + 60
"""Rows of power that are kept of each meter: a week and an hour."""
DAYS: Final = 400
METERS: Final = 16
OUTAGES: Final = 3000
WATCHED: Final = 2000
_CLEAN_EVERY: Final = 60
"""Batches between two deletions of what is too old."""
_BACKLOG: Final = 180
"""Batches that wait in memory while the disk takes none: three hours."""
_GAP: Final = 3
"""Minutes without a batch from which on nobody watched."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS minute (meter TEXT, minute INTEGER, low INTEGER, mean INTEGER, high INTEGER,
    PRIMARY KEY (meter, minute)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day (meter TEXT, day TEXT, imported REAL, exported REAL, whole INTEGER, at REAL,
    import_counter REAL, export_counter REAL, PRIMARY KEY (meter, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outage (subject TEXT, begun REAL, span_s REAL, down_s REAL, breaks INTEGER, code TEXT,
    text TEXT, remedy TEXT, over INTEGER, PRIMARY KEY (subject, begun)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watched (begun INTEGER PRIMARY KEY, until INTEGER);
CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""

Power = tuple[int, int, int, int]
"""Index of a step, least, mean and greatest power in W."""


class Store:
    """One history. Every method may be called from any thread."""

    def __init__(self, directory: Path | None) -> None:
        """OSError or sqlite3.Error where the folder can't be used."""
        self._lock = threading.Lock()
        self._backlog: list[Batch] = []
        self._batches = 0
        self.was_damaged = False
        """Whether a file that could not be read was put aside."""
        self._base = self._open(directory)

    def write(self, batch: Batch) -> None:
        """Write a batch, and those that could not be written before; sqlite3.Error where that fails again."""
        with self._lock:
            self._backlog = [*self._backlog, batch][-_BACKLOG:]
            with self._base:
                for waiting in self._backlog:
                    self._put(waiting)
                if self._batches % _CLEAN_EVERY == 0:
                    self._clean()
            self._batches += 1
            self._backlog = []

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value."""
        with self._lock, self._base:
            self._base.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, json.dumps(value)))

    def recall(self, name: str) -> Any:
        """Return the JSON value that was kept; None where there is none."""
        rows = self._rows("SELECT value FROM memory WHERE name = ?", (name,))
        try:
            return json.loads(rows[0][0]) if rows else None
        except ValueError:
            return None

    def power(self, meter: str, begin: int, end: int, step: int) -> list[Power]:
        """Power from minute `begin` up to `end`, in steps of so many minutes; steps without data are left out."""
        return self._rows(
            "SELECT (minute - :begin) / :step AS at, MIN(low), CAST(ROUND(AVG(mean)) AS INTEGER), MAX(high) FROM minute"
            " WHERE meter = :meter AND minute >= :begin AND minute < :end GROUP BY at ORDER BY at",
            {"meter": meter, "begin": begin, "end": end, "step": step},
        )

    def days(self, meter: str, first: str, last: str) -> list[Day]:
        """The days from `first` to `last`."""
        sql = "SELECT * FROM day WHERE meter = ? AND day BETWEEN ? AND ? ORDER BY day"
        return [_day(row) for row in self._rows(sql, (meter, first, last))]

    def last_days(self) -> list[Day]:
        """The newest day of each meter."""
        sql = "SELECT * FROM day WHERE (meter, day) IN (SELECT meter, MAX(day) FROM day GROUP BY meter)"
        return [_day(row) for row in self._rows(sql)]

    def outages(self, since: float, until: float) -> list[Outage]:
        """The outages that had not ended at `since` and had begun at `until`, the oldest first."""
        sql = "SELECT * FROM outage WHERE begun + span_s >= ? AND begun <= ? ORDER BY begun"
        return [_outage(row) for row in self._rows(sql, (since, until))]

    def watched(self, since: float) -> list[tuple[int, int]]:
        """From when to when this service could see the broker, in seconds since 1970."""
        sql = "SELECT begun * 60, (until + 1) * 60 FROM watched WHERE until * 60 >= ? ORDER BY begun"
        return self._rows(sql, (since,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def _open(self, directory: Path | None) -> sqlite3.Connection:
        if directory is None:
            return _connect(":memory:")
        path = directory / FILE
        try:
            return _connect(str(path))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # no right to it, no space: the file may be good
        self.was_damaged = True
        for suffix in ("-wal", "-shm"):
            path.with_name(f"{FILE}{suffix}").unlink(missing_ok=True)
        path.replace(path.with_name(f"{FILE}.damaged"))
        return _connect(str(path))

    def _rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        with self._lock:
            return self._base.execute(sql, parameters).fetchall()

    def _put(self, batch: Batch) -> None:
        base = self._base
        base.executemany(
            # A service that was started again adds to the minute in which the one before ended.
            "INSERT INTO minute VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET low = MIN(low, excluded.low),"
            " mean = (mean + excluded.mean) / 2, high = MAX(high, excluded.high)",
            [(one.meter, one.minute, one.low, one.mean, one.high) for one in batch.minutes],
        )
        base.executemany(
            "INSERT OR REPLACE INTO day VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (d.meter, d.day, d.imported, d.exported, d.is_whole, d.at, d.import_counter, d.export_counter)
                for d in batch.days
            ],
        )
        base.execute("UPDATE outage SET over = 1 WHERE over = 0")
        base.executemany(
            "INSERT OR REPLACE INTO outage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (o.subject, o.begun, o.span_s, o.down_s, o.breaks, o.code, o.text, o.remedy, o.is_over)
                for o in (*batch.finished, *batch.current)
            ],
        )
        if batch.is_watched:
            self._put_watched(batch.minute)

    def _put_watched(self, minute: int) -> None:
        sql = "UPDATE watched SET until = MAX(until, ?) WHERE ? BETWEEN begun AND until + ?"
        if self._base.execute(sql, (minute, minute, _GAP)).rowcount == 0:
            self._base.execute("INSERT OR REPLACE INTO watched VALUES (?, ?)", (minute, minute))

    def _clean(self) -> None:
        """Delete what is too much, by number and never by age: a clock that was wrong once costs nothing."""
        base = self._base
        for table, newest, most in (("minute", "minute", MINUTES), ("day", "day", DAYS)):
            kept = f"SELECT meter FROM {table} GROUP BY meter ORDER BY MAX({newest}) DESC LIMIT {METERS}"  # noqa: S608
            base.execute(f"DELETE FROM {table} WHERE meter NOT IN ({kept})")  # noqa: S608
            for (meter,) in base.execute(f"SELECT DISTINCT meter FROM {table}").fetchall():  # noqa: S608
                base.execute(
                    f"DELETE FROM {table} WHERE meter = ? AND {newest} <= (SELECT {newest} FROM {table}"  # noqa: S608
                    f" WHERE meter = ? ORDER BY {newest} DESC LIMIT 1 OFFSET {most})",
                    (meter, meter),
                )
        for table, most in (("outage", OUTAGES), ("watched", WATCHED)):
            base.execute(
                f"DELETE FROM {table} WHERE begun <= (SELECT begun FROM {table}"  # noqa: S608
                f" ORDER BY begun DESC LIMIT 1 OFFSET {most})"
            )


def _day(row: Any) -> Day:
    return Day(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6], row[7])


def _outage(row: Any) -> Outage:
    subject, begun, span_s, down_s, breaks, code, text, remedy, over = row
    return Outage(subject, begun, span_s, down_s, breaks, code, text, remedy, bool(over))


def _connect(path: str) -> sqlite3.Connection:
    base = sqlite3.connect(path, check_same_thread=False, timeout=2.0)
    try:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")
        base.execute("PRAGMA cache_size = -256")  # kB
        base.executescript(_SCHEMA)
        base.execute("SELECT COUNT(*) FROM outage").fetchone()
    except BaseException:
        base.close()
        raise
    return base
