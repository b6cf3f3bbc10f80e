"""Records what the simulated meter sent, and when: the KSEM writes the file, the judge of an answer reads it live."""

from ksem_simulators.truth.judge import Verdict
from ksem_simulators.truth.reader import Snapshot, TruthReader
from ksem_simulators.truth.truth_file import BOOTING, FROZEN, Block, Kind, TruthWriter

__all__ = ["BOOTING", "FROZEN", "Block", "Kind", "Snapshot", "TruthReader", "TruthWriter", "Verdict"]
