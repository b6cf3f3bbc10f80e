"""A message that two subscriptions cover counts once."""

import pytest

from service_runtime.mqtt_session import COPY_WITHIN, Overlap

BLOCKS = ["k/m/block/live", "k/m/block/+", "k/m/status"]


def taken(overlap: Overlap, *messages: tuple[str, bytes, bool, float]) -> list[bytes]:
    return [p for t, p, kept, at in messages if not overlap.is_copy(t, p, retained=kept, received=at)]


def test_a_copy_is_dropped_and_the_messages_around_it_are_not() -> None:
    live = "k/m/block/live"
    messages = [
        (live, b"1", False, 0.0),
        (live, b"1", False, 0.001),
        (live, b"2", False, 0.2),
        (live, b"3", False, 0.4),
    ]
    assert taken(Overlap(BLOCKS), *messages) == [b"1", b"2", b"3"]


def test_of_three_equal_messages_one_is_a_copy_and_the_third_is_taken_again() -> None:
    live = "k/m/block/live"
    assert taken(Overlap(BLOCKS), *[(live, b"1", False, 0.1 * n) for n in range(3)]) == [b"1", b"1"]


@pytest.mark.parametrize("topic", ["k/m/block/r9-1", "k/m/status"])
def test_topics_that_one_subscription_covers_are_left_alone(topic: str) -> None:
    assert taken(Overlap(BLOCKS), (topic, b"1", False, 0.0), (topic, b"1", False, 0.0)) == [b"1", b"1"]


def test_what_was_retained_and_then_published_are_two_messages() -> None:
    live = "k/m/block/live"
    assert taken(Overlap(BLOCKS), (live, b"1", True, 0.0), (live, b"1", False, 0.0)) == [b"1", b"1"]


def test_an_equal_message_later_is_no_copy() -> None:
    live = "k/m/block/live"
    assert taken(Overlap(BLOCKS), (live, b"1", False, 0.0), (live, b"1", False, COPY_WITHIN + 0.1)) == [b"1", b"1"]


def test_a_new_connection_gets_what_is_retained_again() -> None:
    overlap = Overlap(BLOCKS)
    assert taken(overlap, ("k/m/block/live", b"1", True, 0.0)) == [b"1"]
    overlap.begin_anew()
    assert taken(overlap, ("k/m/block/live", b"1", True, 0.1)) == [b"1"]


@pytest.mark.parametrize(
    ("pattern", "topic", "covers"),
    [
        ("k/#", "k/m/block/live", True),
        ("#", "k", True),
        ("k/#", "k", True),
        ("k/+", "k/m/block", False),
        ("+/m", "k/m", True),
        ("k/+/x", "k/m/y", False),
    ],
)
def test_patterns_cover_topics_as_mqtt_has_it(pattern: str, topic: str, covers: bool) -> None:
    overlap = Overlap([pattern, topic])
    overlap.is_copy(topic, b"", retained=False, received=0.0)
    assert overlap.is_copy(topic, b"", retained=False, received=0.0) is covers
