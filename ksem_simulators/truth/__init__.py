"""What the simulated meter said, and when: written by the KSEM, read live by who judges an answer."""

from ksem_simulators.truth.judge import Verdict
from ksem_simulators.truth.reader import Snapshot, TruthReader
from ksem_simulators.truth.truth_file import BOOTING, FROZEN, Block, Kind, TruthWriter

__all__ = ["BOOTING", "FROZEN", "Block", "Kind", "Snapshot", "TruthReader", "TruthWriter", "Verdict"]
