"""The feeds, recorded at the inverter: the simulated chain, a cable, pollers that serve the last value for ever.

AirBridge is the scene of `simulation/`, thus the services' own cores. Cable and pollers are one small answerer on the
same simulated line, in front of the same simulated inverter and meter.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from evaluation.feed import Answer, Episode, Recording
from modbus_codec.crc import append_crc
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapReader, encode_frame
from simulation.bus import US, Inverter, Line, RequestPlan, Transmission
from simulation.meter import Meter, PushPlan
from simulation.network import End, Network
from simulation.scene import House, Scene
from simulation.truth import Truth
from simulation.world import Host, Process, World

BEGINS: Final = 40.0
"""Seconds of a recording in which everything starts; they are left out."""
ENDS: Final = 60.0
"""Seconds after an outage until an episode ends: every link is well again before."""
USUAL: Final = 600.0
"""Seconds that are recorded without an outage."""
OUTAGES: Final = (2.0, 5.0, 20.0, 45.0, 144.0)
"""Seconds that outages last; four of each make up 1 % of a day."""
PERIOD: Final = 0.161
"""Seconds between two cycles of the inverter's requests: 0.16 as seen on a Plenticore (README of Kostal-KSEM-Emulator),
made uneven so that its phase against the meter's cycle wanders."""
DELAY: Final = 0.002
"""Seconds of one way between two hosts, and half as much jitter."""
INTERVAL_MS: Final = 200
"""The meter's measuring cycle."""
UNEVEN: Final = 1.003
"""A poller's interval is longer by this factor, so that its phase against the meter's cycle wanders."""
TURNAROUND: Final = 0.0005
"""Seconds by which the answerer is slower than the line demands."""
_TOTALS: Final = (0, 28)
"""The range with the grid's total power."""
_RANGES: Final = (_TOTALS, (40, 106))
_CYCLE: Final = 8
"""A register in `_TOTALS` that holds the cycle's number in the simulated meter."""

Chain = Callable[[str, float, float, float], Recording]
"""Records a feed: seed, seconds, begin and length of an outage (0: none)."""


class DatedTruth(Truth):
    """The meter's truth, with the time of each measurement, whatever was polled since."""

    def __init__(self) -> None:
        super().__init__(interval_ms=INTERVAL_MS)
        self.measured_at: list[float] = []

    def measure(self, now: float, *, frozen: bool = False, void: bool = False) -> tuple[int, ...]:
        words = super().measure(now, frozen=frozen, void=void)
        if len(self.times) > len(self.measured_at):
            self.measured_at.append(now)
        return words


class Recorder:
    """A station that notes each answer to the inverter's reads of the total power."""

    def __init__(self, line: Line, truth: DatedTruth) -> None:
        self.answers: list[Answer] = []
        self._line = line
        self._truth = truth
        self._totals_requested = False
        line.stations.append(self)

    def begins(self, sent: Transmission) -> None:
        """Only whole frames count."""

    def ends(self, sent: Transmission) -> None:
        if sent.sender == "inverter":
            self._totals_requested = _range(sent.data) == _TOTALS
        elif sent.sender == US and self._totals_requested and not sent.damaged:
            self._totals_requested = False
            self.answers.append(Answer(self._line.world.now, self._measured(sent.data)))

    def _measured(self, frame: bytes | bytearray) -> float | None:
        if frame[1] != 3:
            return None
        words = tuple(int.from_bytes(frame[at : at + 2]) for at in range(3, len(frame) - 2, 2))
        cycle = words[_CYCLE]
        if cycle >= self._truth.live[0][0]:  # of older cycles the truth keeps no words
            judged = self._truth.judge(_TOTALS[0], words)
            if judged.kind != "good":
                raise RuntimeError(f"served what was never measured: {judged.why}")
        return self._truth.measured_at[cycle]


class Answerer:
    """A station in place of meter or server: answers reads of unit 1 with what `read` returns; None is silence."""

    def __init__(self, line: Line, read: Callable[[int, int], Sequence[int] | None]) -> None:
        self._line = line
        self._read = read
        line.stations.append(self)

    def begins(self, sent: Transmission) -> None:
        """Only whole requests count."""

    def ends(self, sent: Transmission) -> None:
        if sent.sender == "inverter":
            start, count = _range(sent.data)
            self._line.world.after(self._line.gap + TURNAROUND, partial(self._answer, start, count))

    def _answer(self, start: int, count: int) -> None:
        words = self._read(start, count)
        if words is not None:
            body = b"".join(word.to_bytes(2) for word in words)
            self._line.send(US, append_crc(bytes((1, 3, len(body))) + body))


class LastValuePoller:
    """Polls both measured ranges, and keeps what it got until there is something newer, however long that takes."""

    def __init__(self, process: Process, network: Network, interval: float) -> None:
        self.held: dict[int, tuple[int, ...]] = {}
        self._process = process
        self._network = network
        self._interval = UNEVEN * interval
        self._end: End | None = None
        self._unanswered: list[tuple[int, int]] = []

    def start(self) -> None:
        self._step()

    def _step(self) -> None:
        self._process.after(self._interval, self._step)
        if self._end is not None and (self._unanswered or not self._end.open):
            self._end.close()
            self._end = None
        if self._end is None:
            self._network.connect(self._process, "cabinet", 502, self._opened, lambda _: None, self._interval)
        else:
            self._poll(self._end)

    def _opened(self, end: End) -> None:
        if self._end is not None:
            end.close()
            return
        self._end = end
        end.on_data = partial(self._received, MbapReader())
        self._poll(end)

    def _poll(self, end: End) -> None:
        self._unanswered = list(_RANGES)
        for number, (start, count) in enumerate(_RANGES):
            end.send(encode_frame(number, 1, b"\3" + start.to_bytes(2) + count.to_bytes(2)))

    def _received(self, reader: MbapReader, data: bytes) -> None:
        try:
            frames = reader.feed(data)
        except BadFrame:
            return
        for frame in frames:
            start, count = _RANGES[frame.transaction]
            if (start, count) in self._unanswered:
                self._unanswered.remove((start, count))
                self.held[start] = tuple(int.from_bytes(frame.pdu[at : at + 2]) for at in range(2, len(frame.pdu), 2))


class _Bench:
    """Meter, line and inverter, with a recorder between."""

    def __init__(self, seed: str) -> None:
        self.world = world = World(seed)
        self.network = Network(world)
        path = self.network.path("cabinet", "here")
        path.delay, path.jitter = DELAY, DELAY / 2
        self.truth = DatedTruth()
        self.line = Line(world)
        self.recorder = Recorder(self.line, self.truth)
        process = Process(Host(world, "cabinet"), "meter")
        self.meter = Meter(process, self.network, self.truth, ("here", 5020))
        self.meter.push = PushPlan(shape="no push")
        process.begin = self.meter.start
        process.start()
        self.inverter = Inverter(self.line, RequestPlan(period=PERIOD), world.random("inverter"))


def cable(seed: str, seconds: float, outage_at: float, outage: float) -> Recording:
    """Record the meter itself on the line. An outage is a wire that has come off."""
    bench = _Bench(seed)

    def read(start: int, count: int) -> tuple[int, ...] | None:
        broken = outage_at <= bench.world.now < outage_at + outage
        return None if broken else bench.meter.read(start, count)

    Answerer(bench.line, read)
    return _record(bench.world, bench.recorder, seconds)


def last_value_poller(interval: float) -> Chain:
    """Return the chain with a poller of that interval, in seconds."""

    def chain(seed: str, seconds: float, outage_at: float, outage: float) -> Recording:
        bench = _Bench(seed)
        process = Process(Host(bench.world, "here"), "poller")
        poller = LastValuePoller(process, bench.network, interval)
        process.begin = poller.start
        # Off the meter's cycle, as nothing ties the two together.
        bench.world.after(bench.world.random("poller").uniform(0.0, interval), process.start)

        def read(start: int, count: int) -> tuple[int, ...] | None:
            return poller.held.get(start) if start < 148 else bench.meter.read(start, count)

        Answerer(bench.line, read)
        _plan_outage(bench.world, bench.network, outage_at, outage)
        return _record(bench.world, bench.recorder, seconds)

    return chain


def airbridge(shape: str) -> Chain:
    """Return the services' cores in the simulated chain, with a meter that pushes in that shape."""

    def chain(seed: str, seconds: float, outage_at: float, outage: float) -> Recording:
        scene = Scene(seed, _house(shape))
        truth = DatedTruth()
        scene.truth = scene.meter.truth = truth
        scene.oracle.truths = [truth]
        scene.inverter.plan.period = PERIOD
        recorder = Recorder(scene.line, truth)
        _plan_outage(scene.world, scene.network, outage_at, outage)
        with scene.logging():
            return _record(scene.world, recorder, seconds)

    return chain


CHAINS: Final[dict[str, Chain]] = {
    "cable": cable,
    "AirBridge, push": airbridge("two groups"),
    "AirBridge, polling": airbridge("no push"),
    "poller, 1 s": last_value_poller(1.0),
    "poller, 2 s": last_value_poller(2.0),
}


def usual(name: str, seed: str) -> Recording:
    """Record a feed without an outage."""
    return _later(CHAINS[name](seed, BEGINS + USUAL, 0.0, 0.0), BEGINS)


def episode(name: str, seed: str, outage: float) -> Episode:
    """Record a feed with one outage."""
    seconds = BEGINS + 5.0 + outage + ENDS
    recording = CHAINS[name](seed, seconds, BEGINS + 5.0, outage)
    return Episode(_later(recording, BEGINS), 5.0, outage)


def _house(shape: str) -> House:
    return House(
        interval_ms=INTERVAL_MS,
        steady=False,
        mean=False,
        push=PushPlan(shape=shape),
        baudrate=38_400,
        parity="N",
        stopbits=2,
        grain=0.001,
        echo=False,
        others=False,
        apart=True,
        ppm=(20.0, -30.0),
        delay=DELAY,
        segment=0,
        persistence=False,
        device="usual",
        busy=0.0,
        vital=("live",),
    )


def _plan_outage(world: World, network: Network, at: float, seconds: float) -> None:
    """The network between the meter and everything else is down meanwhile."""
    path = network.path("cabinet", "here")

    def put(*, up: bool) -> None:
        path.up = up

    if seconds:
        world.at(at, partial(put, up=False))
        world.at(at + seconds, partial(put, up=True))


def _record(world: World, recorder: Recorder, seconds: float) -> Recording:
    world.run(seconds)
    return Recording(recorder.answers, seconds)


def _later(recording: Recording, begin: float) -> Recording:
    """Leave out what was before `begin`, which becomes 0."""
    answers = [
        Answer(answer.at - begin, None if answer.measured is None else answer.measured - begin)
        for answer in recording.answers
        if answer.at >= begin - 1.0
    ]
    return Recording(answers, recording.seconds - begin)


def _range(request: bytes | bytearray) -> tuple[int, int]:
    return int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
