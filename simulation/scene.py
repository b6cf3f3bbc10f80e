"""Draws one house from a seed: hosts, network, meter, broker, line, inverter, and the services among them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ksem_contract.message_fields import InvalidMessage

from .adversary import Adversary
from .broker import Broker, Client, Message
from .bus import FIFO, Adapter, Inverter, Line, RequestPlan, character_time
from .chain import KEYS, METER, NODE, PUSH_PORT, LogCounter, NodeSide, PublisherSide
from .link import BrokerHost
from .meter import SHAPES, Connections, Meter, PollPlan, PushPlan
from .network import Network
from .oracle import Oracle
from .truth import Device, Truth
from .world import Host, Process, World

IDLE_GAP: Final = 0.025
"""Seconds, the default of [[line]] idle_gap; more where a UART's interrupts lie further apart."""
RATES: Final = (1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200)
FORMS: Final = (("N", 1), ("N", 2), ("E", 1))
NO_PUSH: Final = 0.15
"""Share of the unusual houses in which nothing is pushed, at least."""
LOOK_EVERY: Final = 0.5
SIZES_EVERY: Final = 10.0


@dataclass(frozen=True, slots=True)
class House:
    """What does not change while a run lasts."""

    interval_ms: int
    steady: bool
    mean: bool
    push: PushPlan
    baudrate: int
    parity: str
    stopbits: int
    grain: float
    echo: bool
    others: bool
    apart: bool
    """Broker and publisher on one host, the node on another; else all on one."""
    ppm: tuple[float, float]
    delay: float
    segment: int
    persistence: bool
    device: Device
    busy: float
    """The share of polls that the meter refuses as busy, where nothing is pushed."""
    vital: tuple[str, ...]
    stay: float = 0.0
    earliest: float = 0.0

    @classmethod
    def drawn(cls, seed: str) -> "House":
        """Half of all houses are what most houses are."""
        random = Random(f"{seed}/house")
        usual = random.random() < 0.5
        connections: Connections = "kept" if usual else random.choice(("kept", "a cycle", "a write", "overlapping"))
        unusual = "no push" if random.random() < NO_PUSH else random.choice(list(SHAPES))
        push = PushPlan(
            shape=random.choice(("two groups", "with counters")) if usual else unusual,
            lag=random.uniform(0.001, 0.02),
            gap=random.uniform(0.0005, 0.008),
            connections=connections,
            queueing=random.random() < 0.3,
        )
        baudrate, (parity, stopbits) = (38_400, ("N", 2)) if usual else (random.choice(RATES), random.choice(FORMS))
        house = cls(
            interval_ms=200 if random.random() < 0.75 else 500,
            steady=not usual and random.random() < 0.2,
            mean=not usual and random.random() < 0.2,
            push=push,
            baudrate=baudrate,
            parity=parity,
            stopbits=stopbits,
            grain=random.choice((0.0, 0.001, 0.002, 0.004, 0.008, 0.016)),
            echo=random.random() < 0.25,
            others=random.random() < 0.4,
            apart=random.random() < 0.7,
            ppm=(random.uniform(-500, 500), random.uniform(-500, 500)),
            delay=random.choice((0.0002, 0.001, 0.004)),
            segment=0 if random.random() < 0.8 else 200,
            persistence=random.random() < 0.5,
            device="usual" if usual else random.choice(("usual", "without time", "short")),
            busy=random.choice((0.0, 0.3)) if push.shape == "no push" else 0.0,
            vital=("live",) if random.random() < 0.9 else (),
            stay=0.0 if random.random() < 0.7 else random.uniform(0.5, 20),
            earliest=0.0 if random.random() < 0.7 else random.uniform(0.001, 0.02),
        )
        interval = house.interval_ms / 1000
        if house.steady and random.random() < 0.7:  # nothing shows which totals the late phases belong to
            push = replace(push, shape="two groups", gap=random.uniform(0.65, 0.95) * interval)
        elif push.queueing and random.random() < 0.5:  # what has waited comes little faster than it was measured
            push = replace(push, gap=random.uniform(0.5, 0.9) * interval / max(1, len(SHAPES[push.shape])))
        return replace(house, push=push)


class Scene:
    """The house as objects of one world."""

    def __init__(self, seed: str, house: House, *, trace: bool = False) -> None:
        self.house = house
        self.meter_is_live = True
        self.world = world = World(seed, trace=trace)
        random = world.random("hosts")
        self.network = Network(world)
        here = Host(world, "here", booted=random.uniform(10, 1e6), ppm=house.ppm[0])
        there = Host(world, "there", booted=random.uniform(10, 1e6), ppm=house.ppm[1]) if house.apart else here
        cabinet = Host(world, "cabinet", ppm=random.uniform(-100, 100))
        self.publisher_host, self.node_host, self.meter_host = here, there, cabinet
        for one, other in (("cabinet", "here"), ("here", "there")):
            path = self.network.path(one, other)
            path.delay, path.jitter, path.segment = house.delay, house.delay / 2, house.segment
        self.truth = Truth(interval_ms=house.interval_ms, steady=house.steady, mean=house.mean, device=house.device)
        self.line = Line(world, house.baudrate, house.parity, house.stopbits)
        self.oracle = Oracle(world, self.line, self.truth, grain=house.grain, stay=house.stay, earliest=house.earliest)
        meter_process = Process(cabinet, "meter")
        self.meter = Meter(meter_process, self.network, self.truth, ("here", PUSH_PORT))
        meter_process.begin = self.meter.start
        self.meter.push = house.push
        self.adversary = Adversary()
        self.usual_polls()
        self.broker = Broker(lambda: world.now, persistence=house.persistence)
        broker_process = Process(here, "broker", self._broker_starts)
        self.broker_host = BrokerHost(broker_process, self.network, self.broker, self._on_message)
        self.node_process = Process(there, "node")
        self.adapter = Adapter(self.line, self.node_process, grain=house.grain, echo=house.echo)
        self.inverter = Inverter(self.line, _questions(house), world.random("inverter"))
        self.node = NodeSide(
            self.node_process,
            self.network,
            "here",
            self.adapter,
            idle_gap=_idle_gap(house),
            stay=house.stay,
            earliest=house.earliest,
            vital=house.vital,
        )
        self.node.on_live = self._live_reached
        self.node_process.begin = self._node_starts
        self.publisher_process = Process(here, "publisher")
        self.publisher = PublisherSide(self.publisher_process, self.network, "here", "cabinet")
        self.publisher_process.begin = self.publisher.start
        processes = [broker_process, meter_process, self.publisher_process, self.node_process]
        random.shuffle(processes)
        for number, process in enumerate(processes):
            world.at(0.05 * number, process.start)
        world.after(LOOK_EVERY, self._look)
        world.after(SIZES_EVERY, self._sizes)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Log lines of the services are counted meanwhile."""
        with LogCounter(self.world, self.oracle.log_line):
            yield

    def usual_polls(self) -> None:
        """The meter answers as this house's meter does without a fault."""
        busy = self.house.busy
        self.meter.poll = PollPlan("exception", 6, share=busy) if busy else PollPlan()

    def broker_stops(self, *, clean: bool) -> None:
        self.oracle.broker(up=False)
        self.broker_host.stop(clean=clean)

    def publish_garbage(self, random: Random) -> None:
        """Somebody publishes what is no message of ours, and forged or old ones, on our topics."""
        stranger = Client("stranger", lambda _: None, user="stranger")
        self.broker.connect(stranger)
        for leaf in ("block/live", "block/energy", f"pong/{NODE}", "status", "block/r9000-4"):
            payload = random.choice((b"", b"{}", b"nonsense", random.randbytes(40), b'{"v":2}', b'{"v":1,"seq":-1}'))
            if leaf != "status":
                self.broker.publish(stranger, Message(f"ksem/{METER}/{leaf}", payload))
        for message in self.adversary.strike(random):
            self.broker.publish(stranger, message)
        self.broker.disconnect(stranger)

    def publish(self, messages: Iterable[Message]) -> None:
        """Somebody publishes these."""
        stranger = Client("stranger", lambda _: None, user="stranger")
        self.broker.connect(stranger)
        for message in messages:
            self.broker.publish(stranger, message)
        self.broker.disconnect(stranger)

    def _broker_starts(self) -> None:
        self.oracle.broker(up=True)
        self.broker_host.start()

    def _node_starts(self) -> None:
        self.oracle.node_starts()
        self.node.start()

    def _on_message(self, message: Message) -> None:
        self.adversary.see(message)
        if "/block/" in message.topic and _is_genuine(message.payload):
            self.oracle.published(message.payload)
        if "/ping/" in message.topic:
            self.oracle.ping()
        if message.topic.endswith("/status"):
            self.oracle.status(message.topic, message.payload, inherited=message.retain)
            if self.world.tracing:
                self.world.trace("broker", f"{message.topic} {message.payload.decode()}")

    def _live_reached(self, registers: tuple[int | None, ...]) -> None:
        if self.oracle.pause_is_unseen:
            self.oracle.live_reached(tuple(0 if word is None else word for word in registers))

    def _look(self) -> None:
        broker = self.broker_host.process
        if broker.stands:
            self.oracle.broker_stands()
        self.oracle.tick()
        self.world.after(LOOK_EVERY, self._look)

    def _sizes(self) -> None:
        self.world.after(SIZES_EVERY, self._sizes)
        for side in (self.publisher, self.node):
            if side.process.alive and side.begun:
                for what, (size, limit) in side.sizes().items():
                    self.oracle.size(what, size, limit)


def _is_genuine(payload: bytes) -> bool:
    try:
        KEYS.check(payload)
    except InvalidMessage:
        return False
    return True


def _idle_gap(house: House) -> float:
    return max(IDLE_GAP, 1.5 * FIFO * character_time(house.baudrate, house.parity, house.stopbits))


def _questions(house: House) -> RequestPlan:
    """The inverter of the bench; slower where the line is."""
    character = character_time(house.baudrate, house.parity, house.stopbits)
    cycle = 310 * character + 0.06 + 4 * house.grain + house.earliest
    slow = house.baudrate < 9600
    return RequestPlan(period=max(0.16, 1.2 * cycle), timeout=0.15 if not slow else 0.3, others=house.others)
