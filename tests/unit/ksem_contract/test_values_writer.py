"""The writer of many values messages and the message itself say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.message_fields import InvalidMessage
from ksem_contract.values import VALUE_KEYS
from ksem_contract.values_message import ValuesMessage, ValuesWriter

VALUES = st.dictionaries(
    st.sampled_from([key.key for key in VALUE_KEYS]), st.floats(allow_nan=False, allow_infinity=False)
)
TIME = "2026-11-22T10:00:00.123Z"


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=4))
def test_every_message_of_a_writer_is_to_the_byte_what_the_message_would_write(
    messages: list[tuple[int, dict[str, float]]],
) -> None:
    writer = ValuesWriter()
    for age_ms, values in messages:
        message = ValuesMessage(time=TIME, age_ms=age_ms, values=values)
        assert writer.write(time=TIME, age_ms=age_ms, values=values) == message.encode()


def test_a_key_that_breaks_the_contract_is_not_written() -> None:
    writer = ValuesWriter()
    writer.write(time=TIME, age_ms=0, values={"power": 1.0})
    for _ in range(2):
        with pytest.raises(InvalidMessage):
            writer.write(time=TIME, age_ms=0, values={'po"wer': 1.0})
