"""Runs a centre of three NATS nodes and many houses: measures what a house costs, and what happens when nodes end.

    python -m benchmarks.fleet --houses 200 --out docs/fleet-numbers.md

Each house is a mosquitto with the bridge of deploy/fleet, fed with what a real publisher and RTU server published, at
true rate and with an own phase. One house beside them is the real chain with a simulated inverter. With --blocks the
register blocks go to the centre, too. Needs tests/brokers/install.
"""

import argparse
import json
import multiprocessing
import os
import signal
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.fleet_player import MARK, RECORDED, Recorded, play, record
from benchmarks.processes import cpu_seconds, memory_mb
from ksem_dashboard.views import ArrivalClock
from service_runtime.clock import boottime
from tests.bridge.broker import Broker, free_port
from tests.brokers.fleet import Cluster
from tests.chain import Chain

WINDOW: Final = 20.0
OLD: Final = 2.0
"""Seconds of age from which a live value counts as late."""


@dataclass
class Seen:
    """What a consumer at the centre received since `reset`."""

    messages: int = 0
    bytes: int = 0
    late: int = 0
    """Live values that came more than OLD after they were published."""
    late_shown_as_new: int = 0
    """Those that a consumer would have taken for new."""
    ages: list[float] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    longest_gap: float = 0.0
    last_any: float = 0.0


class Consumer:
    """Reads every house by NATS' own protocol, at one node after the other, as deploy/fleet's telegraf does."""

    def __init__(self, cluster: Cluster, first_node: int) -> None:
        home = cluster.files / "readers" / "telegraf"
        self._ports = [node.client_port for node in cluster.nodes[first_node:] + cluster.nodes[:first_node]]
        self._context = ssl.create_default_context(cafile=str(home / "ca.pem"))
        self._context.load_cert_chain(home / "telegraf.pem", home / "telegraf.key")
        self._lock = threading.Lock()
        self._clocks: dict[str, ArrivalClock] = {}
        self.seen = Seen(last_any=boottime())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def reset(self) -> Seen:
        """Begin anew; return what was seen."""
        with self._lock:
            seen, self.seen = self.seen, Seen(last_any=boottime())
        return seen

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            with suppress(OSError):
                self._one_connection(self._ports[turn % len(self._ports)])
            self._stop.wait(0.2)
            turn += 1

    def _one_connection(self, port: int) -> None:
        """NATS' own protocol: INFO, TLS, CONNECT, SUB, then MSG after MSG."""
        with socket.create_connection(("127.0.0.1", port), timeout=3) as plain:
            while not plain.recv(1, socket.MSG_PEEK) or plain.recv(1) != b"\n":
                pass
            with self._context.wrap_socket(plain, server_hostname="127.0.0.1") as sock, sock.makefile("rb") as stream:
                sock.sendall(b'CONNECT {"verbose":false}\r\nSUB site.> 1\r\n')
                while not self._stop.is_set() and (line := stream.readline()):
                    words = line.split()
                    if words[0] == b"MSG":
                        payload = stream.read(int(words[-1]) + 2)[:-2]
                        self._take(words[1].decode(), payload)
                    elif words[0] == b"PING":
                        sock.sendall(b"PONG\r\n")

    def _take(self, subject: str, payload: bytes) -> None:
        now = boottime()
        house = subject.split(".")[1]
        _, mark, at = payload.rpartition(MARK)
        with self._lock:
            seen = self.seen
            seen.messages += 1
            seen.bytes += len(subject) + len(payload)
            seen.longest_gap = max(seen.longest_gap, now - seen.last_any)
            seen.last_any = now
            if mark and subject.endswith((".values", ".live")):
                self._date(seen, house, float(at), now)

    def _date(self, seen: Seen, house: str, published: float, now: float) -> None:
        """Date it as docs/fleet.md describes for consumers, and check that date."""
        age = now - published
        clock = self._clocks.setdefault(house, ArrivalClock())
        clock.received_at(round(1000 * published), now)
        shown = clock.age_of(round(1000 * published), 0, now)
        seen.ages.append(age)
        seen.late += age > OLD
        seen.late_shown_as_new += age > OLD and (shown is None or shown < OLD / 2)
        if age <= OLD:
            seen.first.setdefault(house, now)
            seen.last[house] = now


class Fleet:
    """Centre, houses, player, one real chain, a consumer."""

    def __init__(self, folder: Path, houses: int, recorded: Sequence[Recorded], *, blocks: bool, chain: bool) -> None:
        self.cluster = Cluster(folder / "centre", houses=houses + 1)
        self._folder, self._recorded, self._blocks = folder, recorded, blocks
        self._stack = ExitStack()
        self._names = self.cluster.houses[1:]
        self.chain = self._real_chain() if chain else None
        self.brokers = {name: self._broker(name) for name in self._names}

    def _broker(self, name: str) -> Broker:
        lines = self.cluster.bridge(name).splitlines()
        if self._blocks:
            lines = [
                line.removeprefix("# ") if line.startswith("# topic") and "/block/" in line else line for line in lines
            ]
        return Broker(self._folder / name, config=lines, port=free_port())

    def _real_chain(self) -> Chain:
        name = self.cluster.houses[0]
        broker = Broker(self._folder / "real" / "broker", config=self.cluster.bridge(name).splitlines())
        return Chain(
            self._folder / "real",
            broker=broker,
            mqtt=f'prefix = "site/{name}/ksem"',
            inverter_options=("--timeout", "0.5"),
        )

    def __enter__(self) -> Self:
        self._stack.enter_context(self.cluster)
        self.consumer = Consumer(self.cluster, 1)
        self._stack.callback(self.consumer.stop)
        if self.chain is not None:
            self._stack.enter_context(self.chain)
            self.chain.start()
        for broker in self.brokers.values():
            self._stack.enter_context(broker)
        stop = multiprocessing.Event()
        ports = {name: broker.port for name, broker in self.brokers.items()}
        player = multiprocessing.Process(target=play, args=(ports, self._recorded, stop))
        player.start()
        self._stack.callback(player.join)
        self._stack.callback(stop.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.__exit__(None, None, None)

    def until_all_back(self, begun: float, patience: float) -> dict[str, Any]:
        """Wait until each house has been received since the consumer's reset; how long the first and last took."""
        deadline = boottime() + patience
        while len(self.consumer.seen.first) < len(self._names) and boottime() < deadline:
            time.sleep(0.1)
        took = sorted(at - begun for name, at in self.consumer.seen.first.items() if name in self.brokers)
        back: dict[str, Any] = {"back": len(took), "of": len(self._names)}
        if took:
            cut = took[int(len(took) * 0.05)], took[int(len(took) * 0.95)]
            back |= {
                "first_s": round(took[0], 1),
                "last_s": round(took[-1], 1),
                "middle_90_s": round(cut[1] - cut[0], 1),
            }
        return back

    def cost(self) -> dict[str, Any]:
        """What the houses cost the centre, over WINDOW seconds."""
        pids = [node.pid for node in self.cluster.nodes]
        before = cpu_seconds(pids)
        self.consumer.reset()
        time.sleep(WINDOW)
        spent, seen = cpu_seconds(pids) - before, self.consumer.reset()
        houses = len(self._names)
        ages = sorted(seen.ages)
        return {
            "houses": houses,
            "houses_received": len(seen.last),
            "messages_s_house": round(seen.messages / WINDOW / houses, 2),
            "bytes_s_house": round(seen.bytes / WINDOW / houses),
            "cpu_ms_s_house": round(1000 * spent / WINDOW / houses, 2),
            "memory_mb_node": round(max(memory_mb(pid)[1] for pid in pids)),
            "latency_ms_median": round(1000 * statistics.median(ages), 1) if ages else None,
            "latency_ms_99": round(1000 * ages[int(len(ages) * 0.99)], 1) if ages else None,
            "late": seen.late,
        }


def scenes(fleet: Fleet) -> dict[str, Any]:
    """A node killed and back, all restarted, all lines cut; the real chain is watched throughout."""
    results: dict[str, Any] = {}
    nodes = fleet.cluster.nodes
    with inverter_watched(fleet, results, "nothing fails, 30 s"):
        fleet.consumer.reset()
        time.sleep(30)
        results["nothing fails, 30 s"] = _kept(fleet.consumer.reset())
    # The consumer reads at the second node, so it must change when that one ends.
    for number, name in ((0, "a node is killed"), (1, "the consumer's node is killed")):
        with inverter_watched(fleet, results, name):
            fleet.consumer.reset()
            begun = boottime()
            nodes[number].kill()
            time.sleep(0.5)
            fleet.consumer.seen.first.clear()
            results[name] = fleet.until_all_back(begun, 60)
            nodes[number].start()
            fleet.cluster.await_well(120)
            results[name] |= _kept(fleet.consumer.reset())
    name = "all three restarted"
    with inverter_watched(fleet, results, name):
        for node in nodes:
            node.kill()
        time.sleep(5)
        fleet.consumer.reset()
        begun = boottime()
        for node in nodes:
            node.start()
        results[name] = fleet.until_all_back(begun, 90)
        results[name] |= {**_kept(fleet.consumer.reset()), "longest_gap_s": None}
    fleet.cluster.await_well(120)
    with inverter_watched(fleet, results, "all lines cut for 40 s"):
        results["all lines cut for 40 s"] = _cut(fleet)
    return results


def _kept(seen: Seen) -> dict[str, Any]:
    longest = round(seen.longest_gap, 1)
    return {"longest_gap_s": longest, "late": seen.late, "late_shown_as_new": seen.late_shown_as_new}


@contextmanager
def inverter_watched(fleet: Fleet, results: dict[str, Any], scene: str) -> Iterator[None]:
    """Add what the real chain's inverter got meanwhile."""
    assert fleet.chain is not None
    before = fleet.chain.inverter.status()["outcomes"]
    yield
    after = fleet.chain.inverter.status()["outcomes"]
    got = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
    results[scene]["inverter"] = got
    print(scene, json.dumps(results[scene]), flush=True)


def _cut(fleet: Fleet) -> dict[str, Any]:
    """The nodes are stopped where they are: nothing passes, and nobody learns of it but by time-outs."""
    pids = [node.pid for node in fleet.cluster.nodes]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(40)
    fleet.consumer.reset()
    begun = boottime()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    back = fleet.until_all_back(begun, 90)
    time.sleep(5)
    seen = fleet.consumer.reset()
    return back | _kept(seen) | {"longest_gap_s": None, "oldest_s": round(max(seen.ages, default=0.0), 1)}


def main() -> None:
    """Run it and print what was results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--houses", type=int, default=200)
    parser.add_argument("--blocks", action="store_true", help="register blocks go to the centre, too")
    parser.add_argument("--no-scenes", action="store_true", help="measure the cost only")
    parser.add_argument("--out", type=Path, help="write what was found here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded = record(folder / "recorded")
        print(f"recorded {len(recorded)} messages in {RECORDED} s", flush=True)
        with Fleet(folder, options.houses, recorded, blocks=options.blocks, chain=not options.no_scenes) as fleet:
            joined = fleet.until_all_back(boottime(), 120)
            print("joined", joined, flush=True)
            time.sleep(5)
            results: dict[str, Any] = {"joined": joined, "cost": fleet.cost()}
            print(json.dumps(results), flush=True)
            if not options.no_scenes:
                results["scenes"] = scenes(fleet)
    print(json.dumps(results, indent=1))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
