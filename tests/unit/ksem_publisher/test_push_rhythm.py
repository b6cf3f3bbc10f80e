import pytest

from ksem_publisher.push_cycle import PushRhythm

PERIOD = 0.2


def rhythm() -> tuple[PushRhythm, float]:
    """One that knows its period, and when its last cycle came."""
    found = PushRhythm(PERIOD)
    for cycle in range(10):
        found.note(100.0 + PERIOD * cycle)
    return found, 100.0 + PERIOD * 9


@pytest.mark.promise(1)
def test_cycles_that_leave_a_queue_at_half_the_period_are_not_dated_by_their_arrival() -> None:
    pushes, last = rhythm()
    # They were held back for 0.8 s; from then on one comes each 0.11 s.
    for number in range(4):
        dated = pushes.note(last + 0.8 + 0.11 * number)
        assert dated is None or dated <= last + PERIOD * (number + 1)


def test_a_cycle_that_follows_a_late_one_soon_is_as_old_as_its_arrival_at_most() -> None:
    pushes, last = rhythm()
    assert pushes.note(last + 1.2 * PERIOD) == last + 1.2 * PERIOD
    assert pushes.note(last + 2 * PERIOD) == last + 2 * PERIOD
    assert pushes.note(last + 3 * PERIOD) == last + 3 * PERIOD
