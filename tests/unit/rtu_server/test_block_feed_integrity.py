"""What a node takes of the broker: nothing that the meter's publisher did not make for this meter and this node."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.mac import KEYLESS, MacFault, MessageKeys
from ksem_contract.registers import RegisterRange
from ksem_contract.topics import Topics
from rtu_server import block_feed
from rtu_server.block_feed import BAD_MAC_FOR, BlockFeed
from rtu_server.register_cache import FreshnessLimits
from rtu_server.reply_cache import Refused
from service_runtime.mqtt_session import Incoming

from .blocks import block

KEY, OTHER = MessageKeys((b"k" * 32,)), MessageKeys((b"o" * 32,))
POWER = RegisterRange(0, 2)


class Side:
    """One feed at 100.0 s of its own clock, and what a publisher with its clock would send it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keys: MessageKeys) -> None:
        self.now = 100.0
        self.keys = keys
        self.nonces: list[str] = []
        monkeypatch.setattr(block_feed, "boottime", lambda: self.now)
        self.feed = BlockFeed("main", "attic", Topics(), FreshnessLimits(), self._ping, lambda: self.keys)
        self.feed.on_link_up()

    def _ping(self, _topic: str, payload: bytes) -> bool:
        self.nonces.append(Ping.decode(payload).nonce)
        return True

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        parsed = Topics("bridged/ksem").parse(f"bridged/ksem/{topic}")
        assert parsed is not None
        self.feed.on_message(parsed, Incoming(topic, payload, retained, self.now))

    def pong(self, keys: MessageKeys | None = None, *, meter: str = "main", node: str = "attic") -> bytes:
        made = Pong(meter, node, self.nonces[-1], "aaaa", int(1000 * self.now))
        return made.encode(self.keys if keys is None else keys)

    def block(self, fill: int, *, seq: int = 1, keys: MessageKeys | None = None) -> bytes:
        return block(fill=fill, at=self.now, seq=seq).encode(self.keys if keys is None else keys)

    def power(self) -> int | None:
        found = self.feed.state.read(POWER, self.now)
        return None if isinstance(found, Refused) else found.registers[0]


@pytest.fixture
def side(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MessageKeys], Side]]:
    return lambda keys: Side(monkeypatch, keys)  # type: ignore[return-value]


def _dated(made: Side) -> Side:
    made.deliver("main/pong/attic", made.pong())
    made.deliver("main/block/live", made.block(7))
    assert made.power() == 7
    return made


@pytest.mark.parametrize("keys", [KEYLESS, KEY], ids=["without a key", "with a key"])
def test_a_block_with_any_one_bit_changed_leaves_what_is_served_as_it_is(
    side: Callable[[MessageKeys], Side], keys: MessageKeys
) -> None:
    made = _dated(side(keys))
    served, newer = made.feed.state, made.block(9, seq=2)
    for at in range(len(newer)):
        changed = bytearray(newer)
        changed[at] ^= 1 << at % 8
        made.deliver("main/block/live", bytes(changed))
        assert made.feed.state is served
    assert made.feed.bad_macs == len(newer)
    made.deliver("main/block/live", newer)
    assert made.power() == 9


@pytest.mark.promise(2)
def test_a_forged_block_of_the_right_session_and_a_higher_number_is_refused_with_a_key(
    side: Callable[[MessageKeys], Side],
) -> None:
    made = _dated(side(KEY))
    for keys in (KEYLESS, OTHER):
        made.deliver("main/block/live", made.block(9, seq=1000, keys=keys))
    made.deliver("main/block/live", made.block(9, seq=1000)[:-42] + b"}")
    assert (made.power(), made.feed.bad_macs, made.feed.bad_mac(made.now)) == (7, 3, MacFault.MISSING)
    made.now += BAD_MAC_FOR + 1
    assert made.feed.bad_mac(made.now) is None


@pytest.mark.parametrize(
    ("keys", "meter", "node"),
    [(KEYLESS, "main", "attic"), (OTHER, "main", "attic"), (KEY, "main", "cellar"), (KEY, "garage", "attic")],
    ids=["without the key", "with another key", "of another node", "of another meter"],
)
def test_a_pong_that_is_not_for_this_node_and_meter_dates_nothing(
    side: Callable[[MessageKeys], Side], keys: MessageKeys, meter: str, node: str
) -> None:
    made = side(KEY)
    made.deliver("main/block/live", made.block(7))
    made.deliver("main/pong/attic", made.pong(keys, meter=meter, node=node))
    assert made.power() is None
    made.deliver("main/pong/attic", made.pong())
    assert made.power() == 7


def test_another_meter_s_block_on_this_meter_s_topic_is_refused(side: Callable[[MessageKeys], Side]) -> None:
    made = _dated(side(KEY))
    moved: BlockMessage = replace(block(fill=9, at=made.now, seq=2), meter="garage")
    made.deliver("main/block/live", moved.encode(KEY))
    made.deliver("main/block/energy", made.block(9, seq=2))
    assert made.power() == 7


def test_a_pong_kept_from_an_earlier_ping_dates_nothing(side: Callable[[MessageKeys], Side]) -> None:
    made = side(KEY)
    kept = made.pong()
    made.deliver("main/pong/attic", kept)
    made.deliver("main/block/live", made.block(7))
    old = made.block(8, seq=2)
    made.now += 20.0
    made.feed.tick()
    made.deliver("main/pong/attic", kept)
    made.deliver("main/block/live", old)
    assert made.power() is None


def test_nobody_can_guess_the_next_nonce(side: Callable[[MessageKeys], Side]) -> None:
    assert len(bytes.fromhex(side(KEY).nonces[0])) == 16


def test_while_the_key_changes_no_message_is_refused(side: Callable[[MessageKeys], Side]) -> None:
    made = _dated(side(KEY))
    steps = [(KEY.keys + OTHER.keys, KEY), (KEY.keys + OTHER.keys, OTHER), (OTHER.keys, OTHER)]
    for seq, (own, publisher_s) in enumerate(steps, 2):
        made.keys = MessageKeys(own)
        made.deliver("main/block/live", made.block(seq, seq=seq, keys=publisher_s))
        assert made.power() == seq
    assert made.feed.bad_macs == 0
