"""Answers to pings: how seldom many nodes are told to ask."""

from ksem_contract.block_message import Ping, Pong
from ksem_contract.freshness import PING_EVERY, PING_SELDOM
from ksem_contract.topics import Topics
from ksem_publisher.echo_answer import FORGOTTEN, MOST_NODES, PER_SECOND, EchoAnswer


class Nodes:
    """A publisher's answers, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.received: list[tuple[str, Pong]] = []
        self.echo = EchoAnswer("main", Topics(), "5f1c9a2e", self._publish, lambda: self.now)

    def _publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool:
        assert (qos, retain) == (0, False)
        self.received.append((topic, Pong.decode(payload)))
        return True

    def ask(self, node: str) -> Pong:
        self.echo.on_ping(node, Ping("abcd").encode())
        return self.received[-1][1]


def test_an_answer_bears_nonce_session_and_clock_and_few_nodes_are_told_no_pace() -> None:
    nodes = Nodes()
    assert nodes.ask("pi") == Pong("main", "pi", "abcd", "5f1c9a2e", 100_000)
    assert nodes.received[-1][0] == "ksem/main/pong/pi"


def test_a_broken_ping_gets_no_answer() -> None:
    nodes = Nodes()
    nodes.echo.on_ping("pi", b"{}")
    assert nodes.received == []


def test_many_nodes_are_told_to_ask_so_seldom_that_all_together_ask_once_a_second() -> None:
    nodes = Nodes()
    for number in range(200):
        pong = nodes.ask(f"node-{number}")
    assert pong.every_ms == 1000 * 200 / PER_SECOND
    assert nodes.ask("node-0").every_ms == pong.every_ms


def test_however_many_ask_none_is_told_to_ask_more_seldom_than_freshness_can_bear() -> None:
    nodes = Nodes()
    for number in range(2 * MOST_NODES):
        pong = nodes.ask(f"node-{number}")
    assert pong.every_ms == 1000 * PING_SELDOM


def test_nodes_that_ask_no_more_are_forgotten() -> None:
    nodes = Nodes()
    for number in range(200):
        nodes.ask(f"node-{number}")
    nodes.now += FORGOTTEN + 1
    assert nodes.ask("pi").every_ms is None
    assert PING_EVERY * PER_SECOND >= 1
