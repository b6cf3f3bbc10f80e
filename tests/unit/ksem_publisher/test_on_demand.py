"""Ranges on demand: which of them the meter is asked for, and when."""

from itertools import pairwise
from typing import Any

import pytest

from ksem_contract.blocks import SEQLOCK_BODY, SEQLOCK_HEAD
from ksem_contract.health import RequestEntry, RequestsMessage
from ksem_contract.registers import RegisterRange
from ksem_publisher.on_demand import EVERY, REFUSED_FOR, REQUESTED_WITHIN, UNANSWERED_FOR, Demand
from ksem_publisher.poll_plan import PollPlan

from .test_poll_plan import Meter

FLOW, WALLBOX = RegisterRange(40972, 41), RegisterRange(49206, 10)


def entry(wanted: RegisterRange, **changes: object) -> RequestEntry:
    known = {
        "line": "rs485",
        "unit": 1,
        "meter": "main",
        "function": 3,
        "start": wanted.start,
        "count": wanted.count,
        "per_s": 1.0,
        "last": "exception-2",
        "last_ago_ms": 0,
        "demanded": True,
    }
    return RequestEntry(**(known | changes))  # type: ignore[arg-type]


def requested(*wanted: RegisterRange, now: float = 100.0, max_ranges: int = 8, **changes: object) -> Demand:
    demand = Demand("main", max_ranges)
    demand.on_status("attic", online=True)
    demand.on_requests("attic", RequestsMessage(tuple(entry(one, **changes) for one in wanted)), now)
    return demand


def test_a_range_is_wanted_for_a_minute_after_it_was_asked_last() -> None:
    demand = requested(FLOW, now=100.0, last_ago_ms=5000)
    assert demand.wanted(95.0 + REQUESTED_WITHIN) == (FLOW,)
    assert demand.wanted(95.1 + REQUESTED_WITHIN) == ()


def test_a_node_that_is_offline_demands_nothing() -> None:
    demand = requested(FLOW)
    demand.on_status("attic", online=False)
    assert demand.wanted(100.0) == ()
    demand.on_status("attic", online=True)
    assert demand.wanted(100.0) == (FLOW,)


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (RegisterRange(140, 20), {}),
        (RegisterRange(512, 2), {}),
        (RegisterRange(40190, 20), {}),
        (FLOW, {"meter": "other"}),
        (FLOW, {"function": 4}),
        (FLOW, {"demanded": False}),
        (FLOW, {"count": 0}),
        (FLOW, {"count": 126}),
        (FLOW, {"start": 65530}),
    ],
)
def test_what_may_not_be_asked_is_not(wanted: RegisterRange, changes: dict[str, Any]) -> None:
    assert requested(wanted, **changes).wanted(100.0) == ()


def test_no_more_ranges_than_allowed_and_those_chosen_earlier_stay() -> None:
    many = [RegisterRange(9000 + 100 * i, 10) for i in range(12)]
    demand = requested(*many[:8])
    first = demand.wanted(100.0)
    demand.on_requests("attic", RequestsMessage(tuple(map(entry, reversed(many)))), 101.0)
    assert set(demand.wanted(101.0)) == set(first) == set(many[:8])


def test_a_range_inside_another_one_is_not_read_twice() -> None:
    assert requested(FLOW, RegisterRange(40980, 4)).wanted(100.0) == (FLOW,)


def test_a_range_is_read_once_in_its_period_whatever_comes_of_it() -> None:
    demand = requested(FLOW)
    assert demand.due(100.0) == FLOW
    demand.begin(FLOW, 100.0)
    assert demand.due(100.0 + EVERY - 0.1) is None
    assert demand.next_due(101.0) == 100.0 + EVERY
    assert demand.due(100.0 + EVERY) == FLOW


def test_a_refusal_is_remembered_even_while_nobody_asks() -> None:
    demand = requested(FLOW)
    demand.begin(FLOW, 100.0)
    assert demand.refused(FLOW, 2, 100.1)
    assert demand.wanted(101.0) == ()
    demand.on_requests("attic", RequestsMessage(()), 200.0)
    demand.on_requests("attic", RequestsMessage((entry(FLOW),)), 600.0)
    assert demand.wanted(600.0) == ()
    demand.on_requests("attic", RequestsMessage((entry(FLOW),)), 99.0 + REFUSED_FOR)
    assert demand.due(100.2 + REFUSED_FOR) == FLOW
    demand.begin(FLOW, 100.2 + REFUSED_FOR)
    assert not demand.refused(FLOW, 2, 100.3 + REFUSED_FOR), "no news"


def test_a_busy_meter_is_asked_again_at_the_usual_pace() -> None:
    demand = requested(FLOW)
    demand.begin(FLOW, 100.0)
    demand.refused(FLOW, 6, 100.0)
    assert demand.due(100.0 + EVERY) == FLOW


def test_a_range_that_costs_the_connection_waits_a_minute() -> None:
    demand = requested(FLOW)
    demand.begin(FLOW, 100.0)
    demand.unanswered(FLOW, 102.0)
    demand.on_requests("attic", RequestsMessage((entry(FLOW),)), 160.0)
    assert demand.due(101.9 + UNANSWERED_FOR) is None
    assert demand.due(102.0 + UNANSWERED_FOR) == FLOW


@pytest.mark.promise(10)
def test_nodes_and_past_are_bounded() -> None:
    demand = Demand("main", 8)
    for number in range(1000):
        demand.on_status(f"n{number}", online=True)
        demand.begin(RegisterRange(9000 + number, 1), 100.0)
    assert len(demand._nodes) <= 64
    assert len(demand._past) <= 64


def meter_with(demand: Demand, pace: float = 0.02) -> Meter:
    plan = PollPlan(live=0.25, energy=10, device=10, sunspec=10, demand=demand)
    plan.connected()
    return Meter(plan, now=100.0, pace=pace)


def test_the_meter_is_asked_in_spare_time_and_live_waits_for_one_read_at_most() -> None:
    many = [RegisterRange(9000 + 130 * i, 125) for i in range(8)]
    meter = meter_with(requested(*many), pace=0.03)
    meter.run(30)
    begins = [
        at
        for (at, wanted), (_, before) in zip(meter.reads[1:], meter.reads, strict=False)
        if wanted == SEQLOCK_HEAD and before != SEQLOCK_BODY
    ]
    assert max(b - a for a, b in pairwise(begins)) <= 0.25 + 0.03 + 0.001
    for wanted in many:
        read = [at for at, one in meter.reads if one.start == wanted.start]
        assert len(read) >= 4
        assert min(b - a for a, b in pairwise(read)) >= EVERY
        (block, *_) = meter.blocks(f"r{wanted.start}-125")
        assert (block.start, len(block.registers)) == (wanted.start, 125)


def test_a_refused_range_is_asked_once_and_disturbs_nothing_else() -> None:
    demand = requested(WALLBOX, FLOW)
    meter = meter_with(demand)
    meter.refused[WALLBOX.start] = 2
    meter.run(50)
    assert len([one for _, one in meter.reads if one == WALLBOX]) == 1
    assert len(meter.blocks("r40972-41")) >= 8
    assert len(meter.blocks("energy")) == 5


def test_nothing_is_asked_on_demand_of_a_device_that_is_no_ksem() -> None:
    meter = meter_with(requested(FLOW))
    meter.interval = 0
    meter.run(20)
    assert FLOW not in [one for _, one in meter.reads]


def test_an_answer_that_never_came_puts_the_range_off() -> None:
    demand = requested(FLOW)
    meter = meter_with(demand)
    while meter.plan.next(meter.now) != FLOW:
        meter.run(0.0005)
    meter.plan.fail(meter.now)
    assert demand.next_due(meter.now) == meter.now + UNANSWERED_FOR
