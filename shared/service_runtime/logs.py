"""Where log lines go: stderr, in the form that its reader wants [shell]."""

import logging
import os
import sys
from collections.abc import Mapping

LEVELS = ("debug", "info", "warning", "error")
# syslog(3) priorities, which the journal reads from a `<N>` in front of a line (sd-daemon(3)).
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class JournalFormatter(logging.Formatter):
    """`<4>rs485: port is gone`: each line of a message with its priority; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def configure(level: str = "info", *, environ: Mapping[str, str] = os.environ) -> None:
    """Send log lines of `level` (one of LEVELS) and above to stderr: for the journal under systemd, else with time."""
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal(environ):
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # No thread or process names are shown; asking for them costs time with every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # These tell every state change and every packet of theirs; what matters of it is told by ours.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr leads to the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
