"""What the services have written down after their last faults, for a bundle [shell]."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from airbridge.doctor.facts import SettingsFacts
from ksem_contract.capture_record import CaptureRecord
from ksem_contract.errors import InvalidMessage

STATE: Final = Path("/var/lib")
"""Where systemd keeps a service's own folder (StateDirectory=)."""
MOST_FILES: Final = 2
"""The newest of each service."""


def fault_files(settings: Iterable[SettingsFacts], state: Path = STATE) -> dict[str, str]:
    """Names in the bundle, and texts. A folder that is not there, or may not be read, has nothing to tell."""
    found = {}
    for one in settings:
        directory = one.tables.get("recorder", {}).get("directory")
        folder = Path(directory) if directory else state / one.service
        try:
            paths = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)[-MOST_FILES:]
            for path in paths:
                found[f"fault-{one.service}-{path.name}"] = _without_serial_numbers(path)
        except OSError:
            continue
    return found


def _without_serial_numbers(path: Path) -> str:
    """The file's lines. The service leaves serial numbers out already; a file of another kind may lie there, too."""
    kept = []
    with path.open(encoding="utf-8", errors="replace") as file:
        kept.append(next(file, ""))
        for line in file:
            try:
                record = CaptureRecord.decode(line)
            except InvalidMessage:
                continue
            kept.append(record.without_serial_number().encode() + "\n")
    return "".join(kept)
