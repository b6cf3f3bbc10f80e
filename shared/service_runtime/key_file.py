"""The keys of [integrity], read again whenever their file changes [shell]."""

import logging

from ksem_contract.mac import MessageKeys
from service_runtime.common_settings import IntegritySettings, why_no_keys


class KeyFile:
    """Holds the keys in force; `look` swaps them while other threads use `keys`. A file that is gone or broken changes
    nothing: the last good keys stay in force.
    """

    def __init__(self, settings: IntegritySettings, log: logging.Logger) -> None:
        """Raises OSError or ValueError where the file can't be used."""
        self._settings = settings
        self._log = log
        self._stamp = self._file_stamp()
        self._keys = settings.read_keys()
        self.problem = ""
        """What is wrong with the file now, and the remedy; empty while it can be read."""

    def keys(self) -> MessageKeys:
        """Return the keys in force."""
        return self._keys

    def look(self) -> bool:
        """Take the file's keys if it has changed; call it about once a second. True: other keys are in force now."""
        stamp = self._file_stamp()
        if stamp == self._stamp and not self.problem:
            return False
        self._stamp = stamp
        try:
            keys = self._settings.read_keys()
        except (OSError, ValueError) as error:
            self._note(f"{self._settings.key_file}: {why_no_keys(error)}; the last good keys stay in force: mend it")
            return False
        self._note("")
        changed, self._keys = keys != self._keys, keys
        if changed:
            self._log.info("%s has changed: %d key(s) count now", self._settings.key_file, len(keys.keys))
        return changed

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            self._log.warning("%s", problem)
        self.problem = problem

    def _file_stamp(self) -> tuple[int, ...]:
        """A value that changes whenever the file does; empty without a file."""
        if self._settings.key_file is None:
            return ()
        try:
            found = self._settings.key_file.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
