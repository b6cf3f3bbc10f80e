"""Steps the wall clock of one Python process: every way to ask for it is off by what the file STEPPED_CLOCK says.

Python imports this by itself where this folder is in PYTHONPATH. Monotonic clocks are left alone, as by a real step.
(libfaketime would reach C code too, but its `clock_nanosleep` refuses Python's sleeps.)
"""

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any, Self

_file = Path(os.environ["STEPPED_CLOCK"])
_time, _time_ns, _clock_gettime, _clock_gettime_ns = time.time, time.time_ns, time.clock_gettime, time.clock_gettime_ns
_localtime, _gmtime = time.localtime, time.gmtime


def _step() -> float:
    return float(_file.read_text() or 0)


class _SteppedDatetime(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(stepped["time"](), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(stepped["time"](), dt.UTC).replace(tzinfo=None)


def _is_wall(clock: int) -> bool:
    return clock in {time.CLOCK_REALTIME, getattr(time, "CLOCK_REALTIME_COARSE", 5)}


stepped: dict[str, Any] = {
    "time": lambda: _time() + _step(),
    "time_ns": lambda: _time_ns() + int(_step() * 1e9),
    "clock_gettime": lambda clock: _clock_gettime(clock) + (_step() if _is_wall(clock) else 0),
    "clock_gettime_ns": lambda clock: _clock_gettime_ns(clock) + (int(_step() * 1e9) if _is_wall(clock) else 0),
    "localtime": lambda at=None: _localtime(time.time() if at is None else at),
    "gmtime": lambda at=None: _gmtime(time.time() if at is None else at),
}
for name, replacement in stepped.items():
    setattr(time, name, staticmethod(replacement))  # as a class's attribute it must not become a method
dt.datetime = _SteppedDatetime  # type: ignore[misc]
