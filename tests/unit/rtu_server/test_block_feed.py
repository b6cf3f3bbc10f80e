import json

import pytest

from ksem_contract.block_message import Pong
from ksem_contract.topics import Topics
from rtu_server import block_feed
from rtu_server.block_feed import BlockFeed
from rtu_server.register_cache import FreshnessLimits
from service_runtime.mqtt_session import Incoming

from .blocks import block

TOPICS = Topics("ksem")


class Stage:
    """A feed whose clock a test sets, and a publisher whose clock is the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.pings: list[str] = []
        self.seq = 0
        monkeypatch.setattr(block_feed, "boottime", lambda: self.now)
        self.feed = BlockFeed("main", "node", TOPICS, FreshnessLimits(), self.send)

    def send(self, _topic: str, payload: bytes) -> bool:
        self.pings.append(json.loads(payload)["nonce"])
        return True

    def receive(self, name: str, payload: bytes) -> None:
        topic = TOPICS.parse(name)
        assert topic is not None
        self.feed.on_message(topic, Incoming(name, payload, False, self.now))

    def publish(self) -> None:
        self.now += 0.3
        self.seq += 1
        self.receive("ksem/main/block/live", block(at=self.now, seq=self.seq).encode())

    def answer(self, nonce: str) -> None:
        self.now += 0.01
        pong = Pong("main", "node", nonce, "aaaa", int(self.now * 1000))
        self.receive("ksem/main/pong/node", pong.encode())

    def serves(self) -> bool:
        return self.feed.state.is_true(self.now)


def test_after_a_doubt_the_next_block_is_followed_by_a_ping_and_no_pong_of_before_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    stage.publish()
    stage.answer(stage.pings[-1])
    assert stage.serves()
    stage.now += 11.0
    stage.feed.tick()
    before = stage.pings[-1]
    stage.publish()
    stage.feed.cache.doubt(stage.now)
    assert not stage.serves()
    stage.publish()
    assert stage.pings[-1] != before
    stage.answer(before)
    assert not stage.serves()
    stage.answer(stage.pings[-1])
    assert stage.serves()
