"""A house as its MQTT messages tell, on a clock that the test moves."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import ENERGY, LIVE
from ksem_contract.health import (
    BlockHealth,
    Histogram,
    LinkHealth,
    MeterHealth,
    NoData,
    NodeHealth,
    Outage,
    Percentiles,
    PollHealth,
    PushHealth,
    RequestEntry,
    RequestsMessage,
    Transit,
    UnitHealth,
)
from ksem_contract.inverter_health import Delay, InverterHealth
from ksem_contract.reasons import Reason, sentence
from ksem_contract.registers import RegisterRange
from ksem_contract.topics import Topics
from ksem_contract.values_message import ValuesMessage
from ksem_dashboard.picture import BridgeState

WHEN = "2026-11-22T10:00:00.000Z"
LOCAL = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
UP = LinkHealth("up", WHEN, "a cycle every 200 ms", 1)
STOPPED = Reason.of("push-stopped")
DOWN = LinkHealth("down", WHEN, str(STOPPED), 2, (STOPPED,))

METER_HEALTH = MeterHealth(
    version="0.1.0",
    session="aaaa",
    since=WHEN,
    state="ok",
    why="live data is pushed",
    push=PushHealth(UP, "192.0.2.20", 200, (RegisterRange(0, 28), RegisterRange(40, 106)), 1812),
    poll=PollHealth(UP, 310, 3, 2),
    blocks={"live": BlockHealth(120, 1500, "push", 1812, 5.0), "device": BlockHealth(4000, None, "poll", 4, 0.1)},
)
UNIT = UnitHealth(
    line="rs485",
    unit=1,
    meter="main",
    port=UP,
    state="ok",
    requests=1812,
    data=1810,
    refused={"stale": 2},
    foreign=5,
    noise=7,
    turnaround_ms=Percentiles(1.8, 3.4, 9.0),
    age_ms=Percentiles(105.0, 217.0, 310.0),
    last_request_ago_ms=80,
    turnaround_histogram_ms=Histogram((0.5, 2.0, 5.0), (0, 1100, 1809, 1812), 3987.5),
    age_histogram_ms=Histogram((100.0, 200.0, 500.0), (850, 1790, 1810, 1810), 200_000.0),
)
TCP_UNIT = UnitHealth(
    line="readers",
    unit=71,
    meter="main",
    port=LinkHealth("up", WHEN, "open on 0.0.0.0 port 1502", 1),
    state="ok",
    requests=400,
    data=399,
    refused={"exception-1": 1},
    foreign=0,
    noise=0,
    turnaround_ms=Percentiles(0.2, 0.4, 1.1),
    age_ms=Percentiles(101.0, 201.0, 230.0),
    last_request_ago_ms=900,
    turnaround_histogram_ms=Histogram((0.5, 2.0), (390, 400, 400), 88.0),
    age_histogram_ms=Histogram((100.0, 500.0), (190, 399, 399), 41_000.0),
)
NO_DATA = NoData(
    start=Outage(12.5, {"meter-offline": 8.0, "unit-has-no-port": 4.5}),
    today=Outage(12.5, {"meter-offline": 8.0, "unit-has-no-port": 4.5}),
    days=Outage(752.5, {"meter-offline": 748.0, "unit-has-no-port": 4.5}),
)
NODE_HEALTH = NodeHealth(
    "0.1.0", WHEN, "ok", "", UP, (UNIT,), {"main": Transit(1.9, "aaaa")}, (TCP_UNIT,), no_data=NO_DATA
)
REQUESTED = RequestEntry("rs485", 1, "main", 3, 40, 106, 6.2, "data", 80, False)

INVERTER_HEALTH = InverterHealth(
    version="0.1.0",
    since=WHEN,
    state="ok",
    reasons=(Reason.of("inverter-agrees"),),
    meter="main",
    broker=UP,
    modbus=UP,
    reads=100,
    failures=0,
    byte_order="little",
    meter_kind=3,
    believed_w=-347.0,
    served_w=-351.2,
    delay=Delay(900, 1400, 34, 520, "good"),
)


def explained(*reasons: Reason) -> dict[str, object]:
    """The fields of a health message that hold these reasons."""
    return {"why": sentence(reasons), "reasons": reasons}


def port_down(reason: Reason) -> LinkHealth:
    return LinkHealth("down", WHEN, str(reason), 2, (reason,))


class House:
    """A picture, and who fills it. The publisher's clock is 10 000 s ahead of ours."""

    def __init__(self, *, meters: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> None:
        self.now = 100.0
        self.local = LOCAL
        self.topics = Topics()
        self.state = BridgeState(self.topics, meters=meters, nodes=nodes)
        self.session = "aaaa"
        self._seq = 0
        self.state.on_link(True, (), self.now)

    def receive(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.state.on_message(topic, payload, retained=retained, now=self.now, local=self.local)

    def status(self, word: bytes = b"online", meter: str = "main") -> None:
        self.receive(self.topics.meter_status(meter), word, retained=True)

    def health(self, **changes: object) -> None:
        reported = replace(METER_HEALTH, **changes)  # type: ignore[arg-type]
        self.receive(self.topics.meter_health("main"), reported.encode())

    def live(self, power: float = 1234.5, *, late: float = 0.0, retained: bool = False, meter: str = "main") -> None:
        """A live block, made `late` seconds ago."""
        words: Mapping[int, int] = {(1 if power >= 0 else 3): int(abs(power) * 10), 26: 0, 27: 50_010}
        self._block("live", LIVE, words, late, retained, meter)

    def energy(self, imported: int, exported: int = 0) -> None:
        """Counters, in kWh below 600."""
        self._block("energy", ENERGY, _counter(512, imported) | _counter(516, exported), 0.0, False, "main")

    def pass_time(self, seconds: float, *, power: float | None = 1234.5) -> None:
        """Let the time go by; with a live block each 200 ms, or without any."""
        for _ in range(round(seconds / 0.2)):
            self.now += 0.2
            if power is not None:
                self.live(power)

    def node(self, status: bytes = b"online", **changes: object) -> None:
        reported = replace(NODE_HEALTH, **changes)  # type: ignore[arg-type]
        self.receive(self.topics.node_status("attic"), status, retained=True)
        self.receive(self.topics.node_health("attic"), reported.encode(), retained=True)
        self.receive(self.topics.node_requests("attic"), RequestsMessage((REQUESTED,)).encode(), retained=True)

    def inverter(self, status: bytes = b"online", power: float = -347.0, **changes: object) -> None:
        reported = replace(INVERTER_HEALTH, **changes)  # type: ignore[arg-type]
        self.receive(self.topics.inverter_status("roof"), status, retained=True)
        self.receive(self.topics.inverter_health("roof"), reported.encode(), retained=True)
        if status == b"online":
            self.receive(self.topics.inverter_values("roof"), ValuesMessage(WHEN, 20, {"power": power}).encode())

    def run_well(self) -> "House":
        """All is as it should be."""
        self.status()
        self.health()
        self.node()
        self.pass_time(4)
        return self

    def _block(
        self, name: str, where: RegisterRange, words: Mapping[int, int], late: float, retained: bool, meter: str
    ) -> None:
        self._seq += 1
        registers = tuple(words.get(address, 0) for address in range(where.start, where.stop))
        block = BlockMessage(
            meter=meter,
            block=name,
            start=where.start,
            registers=registers,
            session=self.session,
            seq=self._seq,
            boot_ms=round(1000 * (self.now - late + 10_000)),
            age_ms=3,
            cycle_ms=200,
            source="push",
            time=WHEN,
        )
        self.receive(self.topics.meter_block(meter, name), block.encode(), retained=retained)


def _counter(start: int, kwh: int) -> dict[int, int]:
    """64 bits, in counts of 0.1 Wh."""
    counts = kwh * 10_000
    return {start + 3 - place: counts >> 16 * place & 0xFFFF for place in range(4)}
