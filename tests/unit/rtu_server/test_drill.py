"""A drill withholds data, and ends whatever happens."""

from airbridge.drill.command import HOLD as TOOLS_HOLD
from ksem_contract.registers import RegisterRange
from rtu_server.drill import HOLD, MOST, REST, Drill, WithheldReplies
from rtu_server.reply_cache import Refused, Reply

STEP = 0.1


class ReplySource:
    """One that has an answer to everything."""

    def ready(self, _request: bytes, _now: float) -> Reply | None:
        return Reply(None, (), 0.0)  # type: ignore[arg-type]

    def doubt(self, _now: float) -> None:
        raise AssertionError("nobody doubts here")

    def find(self, _request: bytes, _unit: int, _wanted: RegisterRange, _now: float) -> Reply | Refused:
        return Reply(None, (), 0.0)  # type: ignore[arg-type]


def signalled(drill: Drill, begin: float, seconds: float) -> float:
    """Signals for so long; returns when the last one came."""
    count = round(seconds / STEP)
    for number in range(count):
        drill.extend(begin + number * STEP)
    return begin + (count - 1) * STEP


def test_nothing_is_withheld_before_the_first_signal() -> None:
    assert not Drill().is_on(0.0)
    assert not Drill().is_on(1e9)


def test_data_flows_again_a_second_after_the_last_signal() -> None:
    drill = Drill()
    last = signalled(drill, 100.0, 3.0)
    assert drill.is_on(last + HOLD - 0.01)
    assert not drill.is_on(last + HOLD)


def test_a_drill_never_lasts_longer_than_half_a_minute_however_long_signals_come() -> None:
    drill = Drill()
    signalled(drill, 100.0, 300.0)
    on = [100.0 + step for step in range(300) if drill.is_on(100.0 + step)]
    assert on == [] or max(on) < 100.0 + MOST
    drill.extend(500.0)
    assert drill.is_on(500.0), "after a pause another one may begin"


def test_a_pause_shorter_than_the_rest_does_not_begin_another_one() -> None:
    drill = Drill()
    last = signalled(drill, 100.0, MOST)
    drill.extend(last + REST - 0.1)
    assert not drill.is_on(last + REST - 0.1)


def test_every_range_is_stale_while_it_lasts() -> None:
    drill = Drill()
    cache = WithheldReplies(ReplySource(), drill)
    wanted = RegisterRange(0, 28)
    assert cache.ready(b"", 1.0) is not None
    drill.extend(1.0)
    assert cache.ready(b"", 1.1) is None
    assert cache.find(b"", 1, wanted, 1.1) is Refused.STALE
    assert cache.ready(b"", 1.0 + HOLD) is not None


def test_the_tool_knows_how_long_a_signal_holds() -> None:
    assert TOOLS_HOLD == HOLD
