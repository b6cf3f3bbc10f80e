"""Does what each simulator process needs around its own work [shell]: a ready line, a clean end, exact sleep."""

import argparse
import ctypes
import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any, Final

_PR_SET_TIMERSLACK: Final = 29


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that all simulators have."""
    parser.add_argument("--control", type=Path, metavar="PATH", help="Unix socket for commands (JSON lines)")
    parser.add_argument(
        "--with-parent", action="store_true", help="end when standard input closes, so that no orphan is left"
    )


def add_replay(parser: argparse.ArgumentParser) -> None:
    """Options of the simulators that can replay a recording."""
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="replay a recording at its times (airbridge capture)"
    )
    parser.add_argument(
        "--replay-waits", action="store_true", help="begin on a command over --control, so that both ends keep step"
    )


def exact_sleep() -> None:
    """Timers of this thread fire when they are due; by default Linux may let them be 50 us late."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def announce(**facts: Any) -> None:
    """Prints one JSON line: the simulator is ready."""
    print(json.dumps({"ready": True, "pid": os.getpid(), **facts}), flush=True)


def summarise(summary: dict[str, Any]) -> None:
    """The last line on standard output. Nobody may be listening any more."""
    try:
        print(json.dumps({"summary": summary}), flush=True)
    except BrokenPipeError:
        sys.stdout = None  # or the interpreter complains at exit


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round(usage.ru_utime + usage.ru_stime, 4)


def follow_parent(signal_number: int) -> None:
    """Sends this process the signal as soon as standard input closes."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal_number)

    threading.Thread(target=wait, name="parent", daemon=True).start()
