import pytest

from ksem_contract.registers import RegisterRange


@pytest.mark.parametrize(("start", "count"), [(0, 0), (0, -1), (-1, 2), (65536, 1), (65535, 2), (0, 65537)])
def test_a_range_that_does_not_exist_cannot_be_built(start: int, count: int) -> None:
    with pytest.raises(ValueError, match=r"allowed is|an address is"):
        RegisterRange(start, count)


def test_the_whole_address_space_is_a_range() -> None:
    assert RegisterRange(0, 65536).last == 65535


def test_it_reads_as_first_and_last_address() -> None:
    assert str(RegisterRange(40, 106)) == "40-145"


def test_it_knows_what_it_covers_and_what_it_touches() -> None:
    live = RegisterRange(0, 148)
    assert live.covers(RegisterRange(147, 1))
    assert not live.covers(RegisterRange(147, 2))
    assert live.overlaps(RegisterRange(147, 2))
    assert not live.overlaps(RegisterRange(148, 2))
    assert 147 in live
    assert 148 not in live
    assert (live.stop, live.last) == (148, 147)
