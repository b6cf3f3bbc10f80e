"""A node's retained topics: what stands there is what the node said last."""

from ksem_contract.health import LinkHealth
from ksem_contract.topics import Topics
from rtu_server.counters import LineCounters, UnitCounters
from rtu_server.health import Overall, UnitReport
from rtu_server.health_publisher import NodeReporter, Surroundings

from .test_unit_state import SERVED

UP = LinkHealth("up", "2026-11-22T10:00:00.123Z", "", 1)
STATUS = "ksem/rtu/attic/status"


class Link:
    """Takes messages, or not; whoever `overwrites` the status does so while ours is still on its way."""

    def __init__(self) -> None:
        self.statuses: list[bytes] = []
        self.takes = True
        self.overwrites = 0
        self.reporter = NodeReporter(Topics("ksem"), "attic", self)  # type: ignore[arg-type]

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        if topic == STATUS and self.takes:
            self.statuses.append(payload)
            if self.overwrites:
                self.overwrites -= 1
                self.reporter.on_own_status(b"offline", 0.0)
        return self.takes

    def tick(self, now: float) -> None:
        reports = [UnitReport(SERVED, LineCounters({1: UnitCounters()}), UP)]
        self.reporter.publish(True, Overall("ok", ()), reports, lambda _now: Surroundings([], UP, {}), now)


def test_a_status_that_is_overwritten_while_it_goes_out_is_said_again() -> None:
    link = Link()
    link.overwrites = 1
    for second in range(4):
        link.tick(float(second))
    assert link.statuses == [b"online", b"online"]


def test_a_status_that_the_link_did_not_take_is_said_again() -> None:
    link = Link()
    link.takes = False
    link.tick(0.0)
    link.takes = True
    link.tick(1.0)
    link.tick(2.0)
    assert link.statuses == [b"online"]
