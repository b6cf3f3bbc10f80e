import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.blocks import MAP, PUSH_GROUPS, block_name, in_map, parse_block_name, touches_map
from ksem_contract.registers import RegisterRange


@given(st.integers(0, 65535).flatmap(lambda start: st.tuples(st.just(start), st.integers(1, 65536 - start))))
def test_the_name_of_a_range_leads_back_to_it(place: tuple[int, int]) -> None:
    wanted = RegisterRange(*place)
    assert parse_block_name(block_name(wanted)) == wanted


@pytest.mark.parametrize(
    "name",
    [
        *("live", "", "r", "r1", "r1-", "r-1", "r1-0", "r01-2", "r1-02", "r65535-2", "r1-2-3", "x1-2", "r1_2", "r+1-2"),
        *("r1-2 ", "r\N{SUPERSCRIPT TWO}-1", "r\N{ARABIC-INDIC DIGIT ONE}-1", "r" + "9" * 5000 + "-1"),
    ],
)
def test_no_other_name_is_taken_for_a_range(name: str) -> None:
    assert parse_block_name(name) is None


def test_the_map_ends_where_the_design_says() -> None:
    assert [str(part) for part in MAP] == ["0-147", "512-791", "8192-8249", "40000-40200"]


def test_a_range_half_outside_touches_the_map_and_is_not_in_it() -> None:
    half = RegisterRange(140, 20)
    assert touches_map(half)
    assert not in_map(half)
    assert in_map(RegisterRange(140, 8))
    assert not touches_map(RegisterRange(148, 364))


def test_every_group_that_the_meter_pushes_is_in_the_map() -> None:
    assert all(in_map(group) for group in PUSH_GROUPS.values())
