import pytest

from ksem_contract.blocks import SEQLOCK_BODY, SEQLOCK_HEAD
from ksem_publisher.poll_reads import MAX_READS, SeqlockReader
from ksem_publisher.snapshot import phases_fit_total

from .model_meter import live_words, measured


def read(cycles: list[int]) -> SeqlockReader:
    """Read until done; the n-th read meets the meter in cycle `cycles[n]`, and is sent at n seconds."""
    reader = SeqlockReader(phases_fit_total)
    for number, cycle in enumerate(cycles):
        if reader.done:
            break
        part = reader.wanted
        reader.take(live_words(cycle)[part.start : part.stop], float(number))
    return reader


def test_totals_phases_and_totals_again_are_read() -> None:
    reader = SeqlockReader(phases_fit_total)
    parts = []
    for _ in range(3):
        parts.append(reader.wanted)
        reader.take(live_words(1)[reader.wanted.start : reader.wanted.stop], 0.0)
    assert parts == [SEQLOCK_HEAD, SEQLOCK_BODY, SEQLOCK_HEAD]


@pytest.mark.parametrize(
    ("cycles", "snapshot", "at"),
    [
        ([1, 1, 1], 1, 0.0),
        ([1, 2, 2, 2], 2, 1.0),
        ([1, 1, 2, 2, 2], 2, 2.0),
        ([1, 2, 3, 3, 3], 3, 2.0),
        ([1, 2, 3, 4, 4, 4], 4, 3.0),
        ([1, 1, 2, 3, 3, 3], 3, 3.0),
    ],
)
@pytest.mark.promise(3)
def test_a_cycle_that_goes_by_is_noticed_and_the_age_counts_from_the_first_read_that_counts(
    cycles: list[int], snapshot: int, at: float
) -> None:
    found = read(cycles).snapshot
    assert found is not None
    assert measured(found.registers) == measured(live_words(snapshot))
    assert found.at == at


@pytest.mark.promise(3)
def test_after_six_reads_without_two_equal_ones_it_gives_up() -> None:
    reader = read(list(range(1, 10)))
    assert reader.done
    assert reader.snapshot is None
    assert reader.retries == MAX_READS - 3


@pytest.mark.promise(3)
def test_phases_that_do_not_sum_up_to_unchanged_totals_are_read_again() -> None:
    reader = SeqlockReader(phases_fit_total)
    head, body = live_words(1)[0:28], live_words(1)[40:146]
    wrong = live_words(40)[40:146]
    for number, words in enumerate([head, wrong, head, body, head]):
        assert reader.snapshot is None
        reader.take(words, float(number))
    assert reader.snapshot is not None
    assert reader.snapshot.at == 2.0
