"""Steps and slews the clocks of one Python process, as a time service does to those of its host.

A step: every way to ask for the wall clock is off by what the file STEPPED_CLOCK says; monotonic clocks are left alone.
Slewing: all clocks but CLOCK_MONOTONIC_RAW run faster by SLEWED_BY, say 0.08, from the start of the process on.

Python imports this by itself where this folder is in PYTHONPATH.
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
_slewed_by = float(os.environ.get("SLEWED_BY", "0"))
_begun = _clock_gettime(time.CLOCK_MONOTONIC_RAW)


def _step() -> float:
    return float(_file.read_text() or 0)


class _SteppedDatetime(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(stepped["time"](), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(stepped["time"](), dt.UTC).replace(tzinfo=None)


def _off(clock: int) -> float:
    if clock == time.CLOCK_MONOTONIC_RAW:
        return 0.0
    slewed = _slewed_by * (_clock_gettime(time.CLOCK_MONOTONIC_RAW) - _begun) if _slewed_by else 0.0
    return slewed + (_step() if clock in {time.CLOCK_REALTIME, getattr(time, "CLOCK_REALTIME_COARSE", 5)} else 0.0)


stepped: dict[str, Any] = {
    "time": lambda: _time() + _off(time.CLOCK_REALTIME),
    "time_ns": lambda: _time_ns() + int(_off(time.CLOCK_REALTIME) * 1e9),
    "clock_gettime": lambda clock: _clock_gettime(clock) + _off(clock),
    "clock_gettime_ns": lambda clock: _clock_gettime_ns(clock) + int(_off(clock) * 1e9),
    "localtime": lambda at=None: _localtime(time.time() if at is None else at),
    "gmtime": lambda at=None: _gmtime(time.time() if at is None else at),
}
for name, replacement in stepped.items():
    setattr(time, name, staticmethod(replacement))  # as a class's attribute it must not become a method
dt.datetime = _SteppedDatetime  # type: ignore[misc]
