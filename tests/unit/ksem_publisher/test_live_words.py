import pytest

from ksem_publisher.live import LiveRegisters
from ksem_publisher.snapshot import UNMEASURED, VALUES, Registers

IN_GAPS = {address for part in UNMEASURED for address in range(part.start, part.stop)}


def measured_cycle(first: int) -> Registers:
    """A cycle whose writes brought nothing between the groups."""
    return tuple(None if i in IN_GAPS else first + i for i in range(148))


def test_the_words_nobody_measures_are_those_of_the_contract() -> None:
    assert [str(part) for part in UNMEASURED] == ["28-39", "66-79", "106-119", "146-147"]


@pytest.mark.promise(2)
def test_words_never_seen_stay_holes() -> None:
    filled = LiveRegisters().fill(measured_cycle(0))
    assert [i for i, word in enumerate(filled) if word is None] == [
        *range(28, 40),
        *range(66, 80),
        *range(106, 120),
        146,
        147,
    ]


def test_the_newest_push_or_read_counts_and_measured_words_are_left_alone() -> None:
    words = LiveRegisters()
    words.note(0, [1] * 100)
    words.note(70, [2] * 78)
    filled = words.fill(measured_cycle(1000))
    assert filled[28:40] == (1,) * 12
    assert filled[66:80] == (1,) * 4 + (2,) * 10
    assert filled[146:148] == (2, 2)
    assert filled[40:66] == tuple(range(1040, 1066))


def test_a_cycles_own_words_win_over_all_that_was_known() -> None:
    words = LiveRegisters()
    words.note(0, [1] * 148)
    assert words.fill(tuple(range(1000, 1148))) == tuple(range(1000, 1148))


def test_words_between_values_are_the_cycles_own_or_if_it_left_them_out_the_newest_known() -> None:
    words = LiveRegisters()
    words.note(0, [1] * 148)
    whole = words.fill(tuple(range(1000, 1148)))
    assert whole[8:16] == tuple(range(1008, 1016))
    in_values = {address for part in VALUES for address in range(part.start, part.stop)}
    filled = words.fill(tuple(1000 + i if i in in_values else None for i in range(148)))
    assert all(word == (1000 + i if i in in_values else 1) for i, word in enumerate(filled))
