"""Another publisher is one whose blocks go on."""

from dataclasses import replace

from ksem_publisher.other_publishers import MOST, MOST_BLOCKS, REMEMBERED, STRANGER, OtherPublishers
from tests.unit.rtu_server.blocks import block


def test_a_session_that_goes_on_is_noticed_and_forgotten_in_a_minute() -> None:
    others = OtherPublishers("own")
    others.received(block(at=100.0, seq=1, session="bbbb").encode(), 1.0)
    assert others.seen(1.0) == ()
    others.received(block(at=100.2, seq=2, session="bbbb").encode(), 1.2)
    assert others.seen(1.2) == ("bbbb",)
    assert others.seen(1.3 + REMEMBERED) == ()


def test_what_a_bridge_replays_of_a_session_that_ended_is_no_other_publisher() -> None:
    """Ours before the restart: three blocks, each again whenever the bridge comes back."""
    others = OtherPublishers("own")
    left = [
        block(name, at=at, seq=9, session="before") for name, at in (("device", 5.0), ("energy", 95.0), ("live", 100.0))
    ]
    for again in range(3):
        for one in left:
            others.received(one.encode(), 1.0 + again)
    assert others.seen(5.0) == ()


def test_what_is_no_block_is_a_stranger_at_once_and_nothing_grows() -> None:
    others = OtherPublishers("own")
    others.received(b"{", 1.0)
    assert others.seen(1.0) == (STRANGER,)
    made = block(at=100.0)
    for number in range(200):
        for seq in (1, 2):
            others.received(replace(made, session=f"s{number}", seq=seq).encode(), 1.0)
    assert len(others.seen(1.0)) == MOST
    assert len(others._newest) <= MOST_BLOCKS


def test_our_own_blocks_are_known_without_reading_them() -> None:
    assert OtherPublishers("aaaa").is_own(block(session="aaaa").encode())
    assert not OtherPublishers("aaaa").is_own(block(session="bbbb").encode())
