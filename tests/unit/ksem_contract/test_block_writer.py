"""The writer of many messages and the message itself say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.block_message import BlockMessage, BlockWriter, Source
from ksem_contract.message_fields import InvalidMessage

WORDS = st.lists(st.none() | st.integers(0, 65535), min_size=148, max_size=148).map(tuple)
MESSAGES = st.tuples(
    WORDS,
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.integers(0, 10**6),
    st.none() | st.integers(1, 60_000),
    st.sampled_from(("push", "poll", "kept")),
)


@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_every_message_of_a_writer_is_to_the_byte_what_the_message_would_write(
    messages: list[tuple[tuple[int | None, ...], int, int, int, int | None, Source]],
) -> None:
    writer = BlockWriter("main", "live", "5f1c9a2e")
    for words, seq, boot_ms, age_ms, cycle_ms, source in messages:
        time = "2026-11-22T10:00:00.123Z"
        message = BlockMessage(
            "main", "live", 0, words, "5f1c9a2e", seq, boot_ms, age_ms, cycle_ms, source, time
        ).encode()
        written = writer.write(
            0, words, seq=seq, boot_ms=boot_ms, age_ms=age_ms, cycle_ms=cycle_ms, source=source, time=time
        )
        assert written == message
        assert BlockMessage.decode(written).registers == words


@pytest.mark.parametrize(
    ("start", "count", "cycle_ms", "source"),
    [(1, 148, 200, "push"), (0, 147, 200, "push"), (0, 148, 0, "push"), (0, 148, 200, "hearsay")],
)
def test_what_breaks_the_contract_is_not_written(start: int, count: int, cycle_ms: int, source: Source) -> None:
    writer = BlockWriter("main", "live", "5f1c9a2e")
    good = {"seq": 1, "boot_ms": 1, "age_ms": 0, "time": "2026-11-22T10:00:00Z"}
    writer.write(0, (0,) * 148, cycle_ms=200, source="push", **good)  # type: ignore[arg-type]
    for _ in range(2):  # not half applied either
        with pytest.raises(InvalidMessage):
            writer.write(start, (0,) * count, cycle_ms=cycle_ms, source=source, **good)  # type: ignore[arg-type]
