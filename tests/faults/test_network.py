"""Faults between the hosts: the RTU server, or the publisher, at the far end of a bad cable."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.bridge.broker import Broker
from tests.chain import LIMIT_MS, Chain

from .ear import BROKER_NOTICES_WITHIN, METER_STATUS, NODE_STATUS, NOTICED_WITHIN, TOLD_WITHIN, Ear
from .log_lines import quiet
from .namespaces import CELLAR, Network, may_make_networks
from .test_broker import REFUSED, await_statuses

pytestmark = pytest.mark.skipif(not may_make_networks(), reason="network namespaces are root's alone")

FAMILY = "network"
LIVE_LIMIT = LIMIT_MS / 1000


class TwoHosts(Chain):
    """A chain with a cable in it. The broker is in the cellar, these parts are in the attic."""

    def __init__(self, folder: Path, network: Network, attic: tuple[str, ...]) -> None:
        broker = Broker(folder / "broker")
        broker.host = CELLAR
        super().__init__(folder, broker=broker)
        self.network = network
        self._attic = attic

    def start(self, *parts: str) -> "TwoHosts":
        for part in parts or self.PARTS:
            host = self.network.attic if part in self._attic else self.network.cellar
            with host.entered():
                super().start(part)
        return self


Hosts = Callable[..., TwoHosts]


@pytest.fixture
def hosts(tmp_path: Path, kept_rows: list[object]) -> Iterator[Hosts]:
    """Makes a chain over two hosts, running, with good answers."""
    with ExitStack() as stack:

        def make(*attic: str) -> TwoHosts:
            network = stack.enter_context(Network())
            chain = stack.enter_context(TwoHosts(tmp_path, network, attic))
            chain.rows = kept_rows  # type: ignore[assignment]
            chain.start()
            chain.await_well()
            return chain

        yield make


@contextmanager
def ear_at(chain: TwoHosts) -> Iterator[Ear]:
    """Hears what the broker says, on its own host."""
    probe = Ear(chain.broker.port, host=CELLAR)
    with ExitStack() as stack:
        with chain.network.cellar.entered():
            stack.enter_context(probe)
        yield probe


SERVER_AWAY = ("server",)
PUBLISHER_AWAY = ("meter", "publisher")
"""The meter is at the publisher's end, as in the cabinet."""


@pytest.mark.parametrize(
    ("away", "seconds"),
    [
        pytest.param(SERVER_AWAY, 2.5, marks=pytest.mark.quick),
        pytest.param(SERVER_AWAY, 5.0, marks=pytest.mark.slow),
        pytest.param(PUBLISHER_AWAY, 5.0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.promise(1)
def test_what_an_outage_held_back_is_not_served_when_it_arrives(
    hosts: Hosts, away: tuple[str, ...], seconds: float
) -> None:
    chain = hosts(*away)
    where = "RTU server" if away == SERVER_AWAY else "publisher"
    name = f"an outage of {seconds:g} s before the {where}, then all that was held back arrives"
    with quiet(chain.server, chain.publisher, at_most=8), chain.fault(name, FAMILY):
        for way in chain.network.ways:
            way.held = True
        time.sleep(LIVE_LIMIT + 0.1)
        assert set(chain.watch(seconds - LIVE_LIMIT - 0.1)) <= REFUSED
        for way in chain.network.ways:
            way.held = False


@pytest.mark.slow
@pytest.mark.promise(1)
def test_packets_of_an_old_connection_that_arrive_after_the_new_one_change_nothing(hosts: Hosts) -> None:
    """Only those of the connection that exists are held back; the publisher connects anew and goes on beside it."""
    chain = hosts(*PUBLISHER_AWAY)
    ports = connected_ports(chain)
    assert len(ports) == 1
    with chain.fault("the publisher's old connection delivers after the new one has begun", FAMILY):
        for way in chain.network.ways:
            way.held_ports = ports
        chain.publisher.await_log("broker: connected", times=2)
        chain.await_well()
        for way in chain.network.ways:
            way.held_ports = frozenset()


def connected_ports(chain: TwoHosts) -> frozenset[int]:
    """The TCP ports, at the far end, of connections over the cable to the broker."""
    received = chain.broker.log_text()
    words = [line.split() for line in received.splitlines() if line.startswith("New client connected from 10.77.0.2:")]
    return frozenset(int(line[4].rpartition(":")[2]) for line in words)


@pytest.mark.slow
def test_jitter_makes_values_older_and_none_wrong(hosts: Hosts) -> None:
    chain = hosts(*SERVER_AWAY)
    for reorder, reported in ((False, ""), (True, ", packets overtake each other")):
        with chain.fault(f"each packet between the hosts takes 200 ms +- 200 ms{reported}, 3 s", FAMILY, recovery=None):
            for way in chain.network.ways:
                way.delay, way.jitter, way.reorder = 0.2, 0.2, reorder
            saw = chain.watch(3)
            assert saw["good"] >= 0.9 * sum(saw.values()), saw


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_slow_way_back_makes_values_look_older_at_most(hosts: Hosts) -> None:
    """The echo's round trip is all that is known of the way: blocks are dated as if the pong had taken all of it."""
    chain = hosts(*SERVER_AWAY)
    with chain.fault("0.6 s of delay towards the broker, and a new connection over it", FAMILY):
        chain.network.down.delay = 0.6
        chain.server.stop()
        chain.start("server")


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["that was quick before", "of a new connection"])
@pytest.mark.promise(1)
def test_blocks_that_travel_longer_than_they_are_true_are_never_served(hosts: Hosts, known: bool) -> None:
    chain = hosts(*SERVER_AWAY)
    delay = LIVE_LIMIT + 0.1
    way = "on a way that was quick before" if known else "and a new connection over it"
    with chain.fault(f"{delay:g} s of delay towards the RTU server, {way}", FAMILY):
        if not known:
            chain.server.stop()
        chain.network.up.delay = delay
        if not known:
            chain.start("server")
            chain.server.await_log("arrive too old", within=25)
        else:
            time.sleep(LIVE_LIMIT + 0.1)
        assert set(chain.watch(1)) <= REFUSED
        chain.network.up.delay = 0.0


WAYS = {"towards it": ("up",), "from it": ("down",), "both ways": ("up", "down")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("away", "lost"),
    [
        (SERVER_AWAY, "towards it"),
        (PUBLISHER_AWAY, "from it"),
        (SERVER_AWAY, "both ways"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
@pytest.mark.promise(5, 7)
def test_a_half_open_link_is_noticed_told_and_healed(hosts: Hosts, away: tuple[str, ...], lost: str) -> None:
    chain = hosts(*away)
    service, other = (chain.server, chain.publisher) if away == SERVER_AWAY else (chain.publisher, chain.server)
    own_status = NODE_STATUS if away == SERVER_AWAY else METER_STATUS
    who = "RTU server" if away == SERVER_AWAY else "publisher"
    with ear_at(chain) as probe, quiet(service, other, at_most=8):
        await_statuses(probe)
        with chain.fault(f"half-open link of the {who}: packets {lost} are lost", FAMILY):
            begun = time.monotonic()
            for direction in WAYS[lost]:
                getattr(chain.network, direction).cut = True
            if away == PUBLISHER_AWAY:  # the other side sees that no data comes
                probe.await_last(NODE_STATUS, b"offline", LIVE_LIMIT + TOLD_WITHIN)
            service.await_log("WARNING broker: ", within=begun + NOTICED_WITHIN - time.monotonic())
            # Linux gives a connection up without a word to the peer, so the broker must notice by itself.
            probe.await_last(own_status, b"offline", begun + BROKER_NOTICES_WITHIN - time.monotonic())
            assert set(chain.watch(0.5)) <= REFUSED
            for way in chain.network.ways:
                way.cut = False
        await_statuses(probe)
