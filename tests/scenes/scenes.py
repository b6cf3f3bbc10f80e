"""The scenes: how each chain is built, and what happens to it in one step. A step leaves the chain whole."""

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ksem_contract.block_message import BlockMessage
from ksem_publisher.push_listener import RESOLVE_EVERY
from ksem_simulators.simulator import KsemHandle
from ksem_simulators.truth import Block, TruthReader
from service_runtime.clock import boottime
from tests.bridge.service import Service
from tests.bridge.shipped_broker import ShippedBroker
from tests.chain import Chain
from tests.faults.ear import METER_STATUS, NODE_STATUS

from .bench import Bench
from .board import Board
from .intruder import DEEDS, Intruder

MOVING_NAMES: Final = Path(__file__).parent / "moving_names"
ALL_GROUPS: Final = "total,phases,energy_total,energy_phases"
READS: Final = ("0-27", "28-147", "512-791", "8192-8249", "40000-40200")
BROKER_RESTARTS_AFTER: Final = 1.0
Step = Callable[[Bench], None]


@dataclass(frozen=True)
class Scene:
    """`build` makes the chain, not started; `step` goes wrong once."""

    name: str
    build: Callable[[Path], Chain]
    step: Step
    unreported: tuple[str, ...] = ()
    """Statuses that are not judged."""

    @contextmanager
    def running(self, folder: Path, chance: random.Random, longest: float) -> Any:
        """The bench, with data that flows."""
        with ExitStack() as stack:
            chain = stack.enter_context(self.build(folder))
            chain.start("broker")
            board = stack.enter_context(Board(chain.broker))
            chain.start(*chain.PARTS[1:])
            chain.await_good(10)
            chain.publisher.await_log("push is up")
            bench = Bench(chain, board, chance, longest)
            with bench.unreported(*self.unreported):
                yield bench


# Suspended hosts and processes


def something_stands_still(bench: Bench) -> None:
    """All of a host, or one of its processes, stands still: for all of them it is as if the clocks had jumped."""
    chain = bench.chain
    parts: dict[str, Sequence[Any]] = {
        "the host": (chain.broker, chain.publisher, chain.server),
        "the publisher": (chain.publisher,),
        "the RTU server": (chain.server,),
        "the broker": (chain.broker,),
    }
    what = bench.chance.choice(list(parts))
    statuses = {"the publisher": (METER_STATUS,), "the RTU server": (NODE_STATUS,)}
    with bench.unreported(*statuses.get(what, (METER_STATUS, NODE_STATUS))):
        for part in parts[what]:
            part.freeze()
        bench.watch(bench.between(1, 20))
        for part in parts[what]:
            part.thaw()
        bench.recovered(f"{what} stood still")
    bench.watch(bench.between(1, 8))


# The adapter


def busy_line(folder: Path) -> Chain:
    """An inverter that asks so often that an adapter which takes nothing is full within seconds."""
    return Chain(folder, inverter_options=("--timeout", "0.15", "--period", "0.02"))


def the_adapter_takes_nothing(bench: Bench) -> None:
    """A pseudo-terminal does not show how much waits to be sent; what does so is lost when the adapter is reset."""
    chain = bench.chain
    with bench.unreported(NODE_STATUS):
        chain.line.command("stall", seconds=60)
        bench.watch(bench.between(0.5, 12))
        chain.line.command("unplug", seconds=0.0)
        chain.line.command("clear")
        bench.recovered("the adapter took nothing")
    bench.watch(bench.between(1, 8))


# The broker


def the_broker_restarts_three_times(bench: Bench) -> None:
    """Within 5 s."""
    broker = bench.chain.broker
    with bench.unreported(METER_STATUS, NODE_STATUS):
        for _ in range(3):
            (broker.stop if bench.chance.random() < 0.5 else broker.kill)()
            time.sleep(bench.chance.uniform(0, 0.3))
            broker.start()
            time.sleep(bench.chance.uniform(0.5, 1.2))
        bench.recovered("three restarts of the broker", changes=3)
    bench.watch(bench.between(3, 10))


# The meter


def all_groups(folder: Path) -> Chain:
    """A meter that pushes all four groups."""
    return Chain(folder, meter_options=("--groups", ALL_GROUPS))


def reads_are_slow(bench: Bench) -> None:
    """Each read takes 20 to 300 ms; now and then the push pauses, so that live data is polled."""
    chain, chance = bench.chain, bench.chance
    chain.meter.command("fault", name="late", seconds=chance.uniform(0.02, 0.3))
    bench.watch(bench.between(1, 4))


def a_read_is_refused(bench: Bench) -> None:
    """Exceptions 2, 5 and 6, to any kind of read, some in a row."""
    chance = bench.chance
    only = {"only": chance.choice(READS)} if chance.random() < 0.8 else {}
    code, times = chance.choice((2, 5, 6)), chance.randint(1, 3)
    bench.chain.meter.command("fault", name="exception", code=code, times=times, **only)
    bench.watch(chance.uniform(0.2, 1.0))


# Names


class MovingNames(Chain):
    """Two meters by name. The inverter's judge knows the first one, and asks the unit that shows it now."""

    def __init__(self, folder: Path) -> None:
        units = '[[line.unit]]\nid = 1\n[[line.unit]]\nid = 2\nmeter = "flat"\n'
        self.names = folder / "names.json"
        self.mean(main="127.0.0.1", flat="127.0.0.2")
        super().__init__(folder, server=units)
        environ = {
            "MOVING_NAMES": str(self.names),
            "PYTHONPATH": os.pathsep.join([str(MOVING_NAMES), os.environ.get("PYTHONPATH", "")]),
        }
        text = self.publisher.settings_path.read_text()
        self.publisher = Service("ksem_publisher", text, folder, environ=environ)
        port, push = self._meter_port, ("127.0.0.1", self.push_port)
        self.flat = KsemHandle(
            folder, push=push, name="flat", host="127.0.0.2", port=port, options=("--seed", "9", "--speed", "3")
        )

    def publisher_settings(self, more: str = "") -> str:
        """Both meters by their names."""
        flat = f'[[meter]]\nid = "flat"\nhost = "ksem-flat"\nport = {self._meter_port}\ntimeout = 0.5\n'
        text = super().publisher_settings(more)
        return text.replace('[[meter]]\nhost = "127.0.0.1"', '[[meter]]\nhost = "ksem-main"') + flat

    def mean(self, **addresses: str) -> None:
        """Give the names these addresses."""
        new = self.names.with_suffix(".new")
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps({f"ksem-{name}": address for name, address in addresses.items()}))
        new.replace(self.names)

    def start(self, *parts: str) -> "MovingNames":
        """The second meter comes with the first."""
        super().start(*parts)
        if "meter" in parts:
            self._stack.enter_context(self.flat)
        return self


def names_swap(bench: Bench) -> None:
    """The names of two meters swap their addresses. As soon as the publisher has followed, no value is the other's."""
    chain = bench.chain
    assert isinstance(chain, MovingNames)
    swapped = json.loads(chain.names.read_text())["ksem-main"] == "127.0.0.1"
    first, second = ("127.0.0.2", "127.0.0.1") if swapped else ("127.0.0.1", "127.0.0.2")
    chain.inverter.command("pause")
    chain.mean(main=first, flat=second)
    topics = ("ksem/flat/block/live", "ksem/main/block/live")
    with bench.unreported(METER_STATUS):
        await_blocks_of(chain.meter.truth, topics[not swapped], bench, RESOLVE_EVERY + 5)
        await_blocks_of(chain.flat.truth, topics[swapped], bench, RESOLVE_EVERY + 5)
        chain.inverter.command("plan", unit=2 if swapped else 1)
        chain.inverter.command("resume")
        bench.recovered("the meters' names swapped their addresses")
    bench.watch(bench.between(2, 8))


def await_blocks_of(truth: Path, topic: str, bench: Bench, within: float) -> None:
    """Wait until five live blocks in a row on this topic are of this meter."""
    reader, begun, of_it = TruthReader(truth), time.monotonic(), 0
    while of_it < 5:
        if time.monotonic() - begun > within:
            bench.found.append(f"{topic} is another meter's {within:g} s after its name moved")
            return
        if payload := bench.board.await_next(topic, 1.0):
            words = bytes(b for word in BlockMessage.decode(payload).registers[:28] for b in (word or 0).to_bytes(2))
            of_it = of_it + 1 if next(reader.holding(Block.LIVE, 0, words), None) is not None else 0


# Logins that do whatever they may


class Guarded(Chain):
    """The chain at the broker that is shipped, each service with its login."""

    def __init__(self, folder: Path) -> None:
        broker = ShippedBroker(folder / "broker")
        super().__init__(folder, broker=broker)
        for part, role in (("publisher", "publisher"), ("server", "rtu")):
            service: Service = getattr(self, part)
            environ = {"AIRBRIDGE_MQTT__USERNAME": role, "AIRBRIDGE_MQTT__PASSWORD": broker.password(role)}
            text = service.settings_path.read_text()
            setattr(self, part, Service(service.module, text, folder, environ=environ))


def a_login_does_what_it_may(bench: Bench) -> None:
    """One of `rtu` or of `reader`: fills the broker, takes client ids, subscribes, connects, tells wrong things."""
    broker = bench.chain.broker
    assert isinstance(broker, ShippedBroker)
    deed = bench.chance.choice(DEEDS)
    role = bench.chance.choice(deed.roles)
    with Intruder(broker.port, role, broker.password(role), bench.chance) as intruder:
        deed.does(intruder, boottime() + bench.between(1, 5))
    with bench.unreported(METER_STATUS, NODE_STATUS):
        if not broker.running:  # mosquitto 2.0 may end where its memory_limit is reached; systemd starts it again
            time.sleep(BROKER_RESTARTS_AFTER)
            broker.restart()
        bench.recovered(f"{role}: {deed.name}")
    bench.watch(bench.between(1, 4))


SCENES: Final = (
    Scene("hosts and processes stand still", Chain, something_stands_still),
    Scene("the adapter takes nothing", busy_line, the_adapter_takes_nothing),
    Scene("the broker restarts three times", Chain, the_broker_restarts_three_times),
    Scene("all groups pushed, reads are slow", all_groups, reads_are_slow),
    # Of two units the inverter requests one, so that the node's status is never online.
    Scene("meters' names swap", MovingNames, names_swap, unreported=(NODE_STATUS,)),
    Scene("reads are refused", Chain, a_read_is_refused),
    Scene("logins do what they may", Guarded, a_login_does_what_it_may),
)
