"""Many houses, one centre: the bridge that docs/fleet.md shows, with real brokers and a node at the centre."""

import re
from pathlib import Path

from ksem_contract.topics import Topics
from service_runtime.clock import boottime
from tests.bridge.broker import Broker, accepts
from tests.bridge.fake_publisher import FakePublisher

DOCUMENT = Path(__file__).parents[2] / "docs" / "fleet.md"


def bridge_lines(centre: Broker) -> list[str]:
    """The documented bridge, pointed at `centre`."""
    blocks = re.findall(r"```conf\n(connection .*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 1, "docs/fleet.md shows one bridge"
    lines = [line.partition(" #")[0].rstrip() for line in blocks[0].splitlines()]
    kept = [line for line in lines if line and not line.startswith(("#", "bridge_", "remote_"))]
    return [f"address {centre.host}:{centre.port}" if line.startswith("address") else line for line in kept]


def house_at(site: Broker) -> FakePublisher:
    publisher = FakePublisher(site.port)
    publisher.topics = Topics("site/house-17/ksem")
    return publisher.start()


def listen_at(centre: Broker) -> FakePublisher:
    listener = FakePublisher(centre.port, session="bbbb", answers=False)
    listener.link._subscriptions = ["site/#"]
    return listener.start()


def test_a_house_s_topics_reach_the_centre_under_its_own_name(tmp_path: Path) -> None:
    with Broker(tmp_path / "centre") as centre:
        site = Broker(tmp_path / "site", config=bridge_lines(centre))
        with site:
            listener = listen_at(centre)
            publisher = house_at(site)
            try:
                publisher.status(b"online")
                listener.await_payload("site/house-17/ksem/main/status", b"online")
                block = publisher.send("live", fill=7)
                listener.await_payload("site/house-17/ksem/main/block/live", block.encode())
            finally:
                publisher.stop()
                listener.stop()


def test_the_house_goes_on_without_the_centre_and_nothing_old_follows(tmp_path: Path) -> None:
    with Broker(tmp_path / "centre") as centre, Broker(tmp_path / "site", config=bridge_lines(centre)) as site:
        publisher = house_at(site)
        try:
            centre.kill()
            began = boottime()
            missed = publisher.send("live", fill=1)
            newest = publisher.send("live", fill=2)
            assert boottime() - began < 1.0, "the house waits for the centre"
            centre.start()
            assert accepts(centre.host, centre.port)
            listener = listen_at(centre)
            listener.await_payload("site/house-17/ksem/main/block/live", newest.encode(), within=20)
            assert missed.encode() not in listener.received["site/house-17/ksem/main/block/live"]
            listener.stop()
        finally:
            publisher.stop()
