"""`stay` and `earliest` of a unit: refusals that last, answers that wait."""

import pytest

from modbus_codec.crc import append_crc
from rtu_server.counters import LineCounters, UnitCounters
from rtu_server.line import LineCore, Timing
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.responder import Responder, Unit
from rtu_server.settings import TcpSettings, UnitSettings

from .blocks import block, echo

TOTALS = append_crc(bytes.fromhex("01 03 00 00 00 1c"))
COUNTERS = append_crc(bytes.fromhex("01 03 02 00 00 04"))


class Bench:
    """A meter's cache whose blocks are as fresh as the test wants, and one unit."""

    def __init__(self, **unit: float) -> None:
        self.cache = RegisterCache(FreshnessLimits())
        echo(self.cache, at=100.0)
        self.responder = Responder({1: Unit(1, "main", self.cache, **unit)})  # type: ignore[arg-type]
        self._seq = 0

    def measure(self, at: float, name: str = "live") -> None:
        self._seq += 1
        self.cache.on_block(block(name, at=at, seq=self._seq), at)

    def outcome(self, at: float, request: bytes = TOTALS) -> str:
        answer = self.responder.answer(request, at)
        self.responder.written(request, answer, at)
        self.responder.left(request, answer, at)
        return answer.outcome


def test_without_stay_data_is_given_as_soon_as_it_is_fresh() -> None:
    bench = Bench()
    bench.measure(100.0)
    assert [bench.outcome(100.1), bench.outcome(101.6)] == ["data", "stale"]
    bench.measure(101.7)
    assert bench.outcome(101.7) == "data"


def test_once_live_data_was_refused_all_data_is_refused_for_as_long_as_stay_says() -> None:
    bench = Bench(stay=10.0)
    bench.measure(100.0)
    bench.measure(100.0, "energy")
    assert bench.outcome(101.6) == "stale"
    for tenth in range(100):
        bench.measure(at := 101.6 + tenth / 10)
        assert (bench.outcome(at), bench.outcome(at, COUNTERS)) == ("stale", "stale")
    bench.measure(111.6)
    assert (bench.outcome(111.6), bench.outcome(111.6, COUNTERS)) == ("data", "data")


def test_a_link_that_flaps_faster_than_stay_gives_no_data_in_between() -> None:
    bench = Bench(stay=10.0)
    bench.measure(100.0)
    assert bench.outcome(100.1) == "data"
    for second in range(102, 160, 4):
        assert bench.outcome(second - 0.3) == "stale"
        bench.measure(second)
        assert bench.outcome(second + 0.1) == "stale"
        assert bench.responder.refuses_until(1) == pytest.approx(second - 0.3 + 10)


def test_a_refusal_that_was_prepared_and_never_sent_begins_nothing() -> None:
    bench = Bench(stay=10.0)
    bench.measure(100.0)
    assert bench.responder.answer(TOTALS, 102.0).outcome == "stale"
    bench.measure(102.1)
    assert bench.outcome(102.1) == "data"


def test_stay_counts_from_the_first_refusal_that_was_surely_seen() -> None:
    bench = Bench(stay=10.0)
    bench.measure(100.0)
    assert bench.outcome(100.1) == "data"
    stuck = bench.responder.answer(TOTALS, 102.0)
    bench.responder.written(TOTALS, stuck, 102.0)  # and never leaves the port
    bench.measure(109.0)
    assert bench.outcome(109.0) == "stale"  # may have been seen
    for second in range(110, 119):
        bench.measure(second)
        assert bench.outcome(second) == "stale"
    bench.measure(119.0)
    assert bench.outcome(119.0) == "data"


def test_counters_that_are_old_are_no_reason_to_refuse_live_data() -> None:
    bench = Bench(stay=10.0)
    bench.measure(100.0)
    assert bench.outcome(100.1, COUNTERS) == "stale"
    assert bench.outcome(100.1) == "data"


def test_a_range_that_the_meter_does_not_have_is_still_refused_as_that() -> None:
    bench = Bench(stay=10.0)
    assert bench.outcome(100.0) == "stale"
    bench.measure(100.1)
    assert bench.outcome(100.1, append_crc(bytes.fromhex("01 03 01 2c 00 01"))) == "exception-2"


@pytest.mark.parametrize(("earliest", "silence"), [(0.0, 0.00175), (0.001, 0.00175), (0.004, 0.004), (0.03, 0.03)])
def test_an_answer_begins_no_earlier_than_the_unit_s_setting_and_the_line_s_silence(
    earliest: float, silence: float
) -> None:
    bench = Bench(earliest=earliest)
    bench.measure(100.0)
    core = LineCore(Timing(0.00175, 0.025, 11 / 38400), bench.responder, LineCounters({1: UnitCounters()}))
    core.opened(99.9)
    core.receive(b"", 99.95, 99.95)
    core.receive(TOTALS, 100.0, 100.0)
    begun, now = None, 100.0
    assert core.due_at == pytest.approx(100.0 + silence)
    assert core.next_event_at() == pytest.approx(100.0 + silence)
    while begun is None and now < 100.05:
        now += 0.0001
        core.receive(b"", now, now)
        begun = now if core.due(now) else None
    assert begun is not None
    assert begun == pytest.approx(100.0 + silence, abs=0.0002)
    assert begun >= 100.0 + silence


def test_earliest_behind_a_tcp_port_is_a_mistake_that_names_the_table_it_belongs_to() -> None:
    with pytest.raises(ValueError, match=r"earliest is for \[\[line\.unit\]\] alone"):
        TcpSettings(unit=(UnitSettings(earliest=0.01),))


def test_a_refusal_whose_leaving_the_port_does_not_confirm_begins_stay_all_the_same() -> None:
    """A client may have read it though the port reports its bytes as waiting, as a pty does until they are read."""
    bench = Bench(stay=10.0)
    core = LineCore(Timing(0.00175, 0.025, 11 / 38400), bench.responder, LineCounters({1: UnitCounters()}))
    core.opened(99.9)
    core.receive(b"", 99.95, 99.95)
    core.receive(TOTALS, 100.0, 100.0)
    core.receive(b"", 100.002, 100.002)
    assert core.due(100.002)[1] == 0x83
    core.failed()
    bench.measure(100.1)
    assert bench.responder.answer(TOTALS, 100.1).outcome == "stale"
