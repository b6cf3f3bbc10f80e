"""What Linux offers to be woken on time; all of it optional."""

import ctypes
import os
from pathlib import Path
from typing import Final

PR_SET_TIMERSLACK: Final = 29
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


def sharpen_timers() -> None:
    """Let this thread's sleeps end when they should: Linux adds 50 us to each, to save wake-ups (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)


def be_real_time(priority: int) -> list[str]:
    """Put this thread under SCHED_FIFO and keep the memory out of swap; return what was refused, in words."""
    if not priority:
        return []
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        refused.append(
            f"realtime = {priority} refused ({error}): the unit needs LimitRTPRIO={priority} or CAP_SYS_NICE"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        reason = os.strerror(ctypes.get_errno())
        refused.append(f"memory can't be locked ({reason}): the unit needs LimitMEMLOCK=infinity or CAP_IPC_LOCK")
    return refused


def in_force() -> str:
    """What the kernel says of this thread, in words: what was asked for and what was granted may differ."""
    real_time = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    schedule = f"SCHED_FIFO {os.sched_getparam(0).sched_priority}" if real_time else "ordinary scheduling"
    status = Path("/proc/self/status").read_text()
    locked = "memory not locked" if "\nVmLck:\t       0 kB" in status else "memory locked"
    return f"{schedule}, {locked}"
