"""Whom the inverter asks what the meter really said [shell]."""

from pathlib import Path

from ksem_contract.register_range import RegisterRange
from ksem_simulators.truth import TruthReader, Verdict


class Witness:
    """The truth file of a simulated meter, which may start later than the inverter; None: a real meter, no witness."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._truth: TruthReader | None = None

    def judge(self, wanted: RegisterRange, words: tuple[int, ...], at: float) -> Verdict | None:
        """The verdict over an answer that began at `at` (CLOCK_BOOTTIME); None without a witness."""
        if self._path is None:
            return None
        if self._truth is None:
            try:
                self._truth = TruthReader(self._path)
            except FileNotFoundError:
                return Verdict("wrong", "there was no meter yet that could have said this")
        return self._truth.judge(wanted.start, words, at)
