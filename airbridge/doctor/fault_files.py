"""What the services have written down after their last faults, for a bundle [shell]."""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from airbridge.doctor.facts import SettingsFacts
from ksem_contract.capture_file import CaptureHeader
from ksem_contract.capture_record import CaptureRecord
from ksem_contract.errors import InvalidMessage, UnknownVersion

STATE: Final = Path("/var/lib")
"""Where systemd keeps a service's own folder (StateDirectory=)."""
MOST_FILES: Final = 2
"""The newest of each service."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""A longer file is left out: the service writes a few megabytes."""
_ODD: Final = (OSError, InvalidMessage, UnknownVersion)


def fault_files(settings: Iterable[SettingsFacts], state: Path = STATE) -> dict[str, str]:
    """Names in the bundle, and texts. A folder that is not there, or may not be read, has nothing to tell."""
    found = {}
    for one in settings:
        directory = one.tables.get("recorder", {}).get("directory")
        folder = Path(directory) if directory else state / one.service
        try:
            paths = sorted(folder.glob("*.jsonl"), key=lambda path: path.lstat().st_mtime, reverse=True)
        except OSError:
            continue
        kept = 0
        for path in paths:
            if kept == MOST_FILES:
                break
            with contextlib.suppress(*_ODD):  # not a file that the service has written
                found[f"fault-{one.service}-{path.name}"] = _without_serial_numbers(path)
                kept += 1
    return found


def _without_serial_numbers(path: Path) -> str:
    """The file's lines. The service leaves serial numbers out already; a file of another kind may lie there, too."""
    # The service's user owns the folder, root may run this: no links, and no waiting for a FIFO's writer.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, encoding="utf-8", errors="replace") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > MOST_BYTES:
            raise InvalidMessage(f"{path}: not a file of the service")
        text = file.read(MOST_BYTES)
        first, *lines = text.splitlines(keepends=True) or [""]
        kept = [CaptureHeader.decode(first).encode() + "\n"]
        for line in lines:
            try:
                record = CaptureRecord.decode(line)
            except InvalidMessage:
                continue
            kept.append(record.without_serial_number().encode() + "\n")
    return "".join(kept)
