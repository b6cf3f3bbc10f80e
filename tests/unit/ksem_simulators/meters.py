"""A meter of the tests: the simulated one, measured and made to speak by hand."""

from pathlib import Path

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.meter import Meter, MeterSettings, Reading
from ksem_simulators.truth import Kind, TruthReader, TruthWriter

HEAD = RegisterRange(0, 28)
BODY = RegisterRange(40, 106)
ALL = RegisterRange(0, 148)


class Spoken:
    """A meter whose clock is the test's. `push` and `read` return the registers as integers."""

    def __init__(self, folder: Path, *, start: float = 1000.0, **settings: object) -> None:
        self.path = folder / "truth"
        self.writer = TruthWriter(self.path, cycles=64, snapshots=16, statements=256)
        self.meter = Meter(MeterSettings(**settings), self.writer, start)  # type: ignore[arg-type]
        self.truth = TruthReader(self.path)

    def measure(self, at: float) -> Reading:
        return self.meter.measure(at)

    def push(self, wanted: RegisterRange, at: float, reading: Reading | None = None) -> list[int]:
        return _registers(self.meter.prepare(wanted, Kind.PUSH, at, reading).registers)

    def read(self, wanted: RegisterRange, at: float) -> list[int]:
        return _registers(self.meter.prepare(wanted, Kind.READ, at).registers)

    def cycle(self, at: float) -> tuple[list[int], list[int]]:
        """Measures and pushes both instantaneous groups, at once."""
        self.measure(at)
        return self.push(HEAD, at), self.push(BODY, at)


def _registers(words: bytes) -> list[int]:
    return [high << 8 | low for high, low in zip(words[::2], words[1::2], strict=True)]
