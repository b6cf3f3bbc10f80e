import pytest

from simulation.altered import HOME, Edit, edited, place_of
from simulation.mutants import CORES, cores
from simulation.put_back import FAULTS, PutBack


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.sentence)
def test_each_fault_can_still_be_put_back(fault: PutBack) -> None:
    for path, text in edited(fault.edits).items():
        compile(text, str(path), "exec")
        assert text != (HOME / path).read_text()


def test_an_edit_whose_text_is_gone_or_stands_twice_is_refused() -> None:
    for text in ("no source says so, ever", "import"):
        with pytest.raises(ValueError, match="times, not once"):
            place_of(Edit(text + "", "pass"))


def test_every_core_that_is_mutated_is_one_module() -> None:
    assert {path.stem for path in cores()} == set(CORES)
