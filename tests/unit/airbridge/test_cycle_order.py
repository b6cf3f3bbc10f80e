import random

import pytest

from airbridge.capture.summary import cycle_order


def _cycles(parts: str, count: int, *, period: float = 0.2, step: float = 0.01) -> list[tuple[float, str]]:
    return [(cycle * period + place * step, part) for cycle in range(count) for place, part in enumerate(parts)]


@pytest.mark.parametrize("attached", range(4))
def test_the_order_is_found_wherever_listening_began(attached: int) -> None:
    order = cycle_order(_cycles("ABCD", 20)[attached:])
    assert order is not None
    assert order.parts == ("A", "B", "C", "D")
    assert order.kept == order.cycles
    assert order.period_ms is not None
    assert order.period_ms.median == pytest.approx(200)
    assert [offset.median for offset in order.offsets_ms if offset] == pytest.approx([0, 10, 20, 30])


def test_a_part_may_come_twice_in_a_cycle() -> None:
    order = cycle_order(_cycles("ABAC", 20))
    assert order is not None
    assert order.parts == ("A", "B", "A", "C")
    assert order.kept == order.cycles


def test_a_detection_at_the_start_is_an_unlike_cycle() -> None:
    sequence = [(-3.0, "info"), (-2.0, "info"), *_cycles("AB", 30)]
    order = cycle_order(sequence)
    assert order is not None
    assert order.parts == ("A", "B")
    assert order.kept >= order.cycles - 1


def test_jitter_does_not_change_the_order() -> None:
    dice = random.Random(1)
    sequence = [(at + dice.uniform(0, 0.005), part) for at, part in _cycles("ABCDE", 50)]
    order = cycle_order(sequence)
    assert order is not None
    assert order.parts == tuple("ABCDE")


@pytest.mark.parametrize("sequence", [[], [(0.0, "A")], _cycles("AB", 3)])
def test_too_few_cycles_tell_no_order(sequence: list[tuple[float, str]]) -> None:
    assert cycle_order(sequence) is None
