"""What the simulated meter said, and when: written by the KSEM, read live by who judges an answer."""

from ksem_simulators.truth.layout import BOOTING, FROZEN, Block, Kind
from ksem_simulators.truth.reader import Snapshot, TruthReader
from ksem_simulators.truth.verdict import Verdict
from ksem_simulators.truth.writer import TruthWriter

__all__ = ["BOOTING", "FROZEN", "Block", "Kind", "Snapshot", "TruthReader", "TruthWriter", "Verdict"]
