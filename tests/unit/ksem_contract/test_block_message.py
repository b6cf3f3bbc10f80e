import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.block_message import MAX_REGISTERS, BlockMessage
from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC, block_name
from ksem_contract.message_fields import InvalidMessage, UnknownVersion
from ksem_contract.registers import RegisterRange

_LIVE = BlockMessage(
    meter="main",
    block="live",
    start=0,
    registers=tuple(range(148)),
    session="5f1c9a2e",
    seq=1812,
    boot_ms=90112345,
    age_ms=3,
    cycle_ms=200,
    source="push",
    time="2026-11-22T10:00:00.123Z",
)
_FIELDS: dict[str, Any] = json.loads(_LIVE.encode())


def _payload(**changed: object) -> bytes:
    return json.dumps(_FIELDS | changed).encode()


def _block(block: str, place: RegisterRange) -> dict[str, object]:
    return {"block": block, "start": place.start, "registers": [0] * place.count}


def test_the_payload_is_the_documented_one_to_the_letter() -> None:
    message = replace(_LIVE, block="r9000-3", start=9000, registers=(0, 123, None), cycle_ms=None)
    assert message.encode() == (
        b'{"v":1,"meter":"main","block":"r9000-3","start":9000,"registers":[0,123,null],'
        b'"session":"5f1c9a2e","seq":1812,"boot_ms":90112345,"age_ms":3,"cycle_ms":null,'
        b'"source":"push","time":"2026-11-22T10:00:00.123Z","mac":"ce20ae70e12aa4d58c04bcb547ecf024"}'
    )
    assert BlockMessage.decode(message.encode()) == message


@pytest.mark.promise(2)
def test_a_hole_stays_a_hole() -> None:
    message = replace(_LIVE, registers=(None, *range(1, 148)))
    assert BlockMessage.decode(message.encode()).registers[0] is None


def test_unknown_fields_are_ignored() -> None:
    assert BlockMessage.decode(_payload(colour="red", nested={"a": [1.5, None]})) == _LIVE


@pytest.mark.parametrize("version", [0, 2, -1])
def test_another_version_is_told_apart_from_nonsense(version: int) -> None:
    with pytest.raises(UnknownVersion) as caught:
        BlockMessage.decode(_payload(v=version, registers="of another kind"))
    assert caught.value.version == version


@pytest.mark.parametrize("version", [True, 1.0, "1", None, [1]])
def test_a_version_that_is_no_whole_number_is_nonsense(version: object) -> None:
    with pytest.raises(InvalidMessage) as caught:
        BlockMessage.decode(_payload(v=version))
    assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize("name", [name for name in _FIELDS if name != "mac"])
def test_every_field_must_be_there(name: str) -> None:
    with pytest.raises(InvalidMessage, match=rf"^{name} is"):
        BlockMessage.decode(json.dumps({key: value for key, value in _FIELDS.items() if key != name}).encode())


_NO_WORDS: tuple[object, ...] = (-1, 65536, True, 1.0, "1", [], 2**70)
_WRONG: dict[str, list[object]] = {
    "meter": ["rtu", "", "Main", 1, None, ["main"], "a" * 33, "a/b"],
    "session": ["", "a b", "x" * 33, 7, None, "\n", "abc\n"],
    "seq": [0, -1, True, 1.0, "1", None, 2**53],
    "boot_ms": [-1, True, 1.5, None, 2**53],
    "age_ms": [-1, False, 0.0, None],
    "cycle_ms": [0, -200, True, 200.0, "200"],
    "source": ["", "Push", None, 1, ["push"], {}],
    "time": ["", "yesterday", None, 5, "2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00Z\n"],
    "start": [-1, True, 0.0, None, 65536, 1, 40],
    "registers": [
        *(None, {}, "00", [], [0] * 147, [0] * 149, 148),
        *([*[0] * 147, word] for word in _NO_WORDS),
        [None] * 147 + [-1],
    ],
    "block": ["Live", "", None, 5, ["live"], "r0-148", "r0-147", "other"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in _WRONG.items() for value in values])
def test_a_field_that_holds_something_else_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidMessage):
        BlockMessage.decode(_payload(**{name: value}))


def test_a_message_that_breaks_the_contract_cannot_be_built_either() -> None:
    with pytest.raises(InvalidMessage, match="live holds 40-187, it is always 0-147"):
        replace(_LIVE, start=40)


@pytest.mark.parametrize(("name", "place"), [("live", LIVE), ("energy", ENERGY), ("device", DEVICE)])
def test_a_block_with_a_name_of_its_own_is_always_the_same_range(name: str, place: RegisterRange) -> None:
    assert BlockMessage.decode(_payload(**_block(name, place))).range == place
    with pytest.raises(InvalidMessage, match="it is always"):
        BlockMessage.decode(_payload(**_block(name, RegisterRange(place.start, place.count - 1))))
    with pytest.raises(InvalidMessage, match="it is always"):
        BlockMessage.decode(_payload(**_block(name, RegisterRange(place.start + 1, place.count))))


def test_sunspec_begins_at_its_place_and_may_be_as_long_as_the_chain() -> None:
    for count in (1, 179, SUNSPEC.count):
        found = BlockMessage.decode(_payload(**_block("sunspec", RegisterRange(40000, count))))
        assert found.range.count == count
    for start, count in ((40001, 10), (40000, SUNSPEC.count + 1), (39999, 10)):
        with pytest.raises(InvalidMessage, match="sunspec"):
            BlockMessage.decode(_payload(**_block("sunspec", RegisterRange(start, count))))


def test_a_block_on_demand_is_called_after_its_range() -> None:
    wanted = RegisterRange(40972, 41)
    assert BlockMessage.decode(_payload(**_block(block_name(wanted), wanted))).range == wanted
    with pytest.raises(InvalidMessage, match="r40972-41"):
        BlockMessage.decode(_payload(**_block("r40972-41", RegisterRange(40972, 40))))


@pytest.mark.parametrize("place", [RegisterRange(0, 28), RegisterRange(140, 20), RegisterRange(40200, 2)])
def test_a_block_on_demand_never_speaks_for_registers_of_another_block(place: RegisterRange) -> None:
    with pytest.raises(InvalidMessage, match="part of a block with a name of its own"):
        BlockMessage.decode(_payload(**_block(block_name(place), place)))


def test_registers_end_at_the_last_address() -> None:
    last = RegisterRange(65535, 1)
    assert BlockMessage.decode(_payload(**_block("r65535-1", last))).range == last
    with pytest.raises(InvalidMessage, match="65535 is the last"):
        BlockMessage.decode(_payload(block="r65535-2", start=65535, registers=[0, 0]))


def test_a_block_of_more_registers_than_allowed_is_refused() -> None:
    longest = RegisterRange(50000, MAX_REGISTERS)
    assert BlockMessage.decode(_payload(**_block(block_name(longest), longest))).range == longest
    too_long = RegisterRange(50000, MAX_REGISTERS + 1)
    with pytest.raises(InvalidMessage, match="401 registers"):
        BlockMessage.decode(_payload(**_block(block_name(too_long), too_long)))


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"null", b"1", b'"text"', b"[]", b"offline", b"\xff\xfe", b"{", _LIVE.encode()[:-1], _LIVE.encode() * 2),
        *(b"[" * 60_000, b'{"v":1,"a":' * 6_000, b'{"v":' + b"9" * 60_000 + b"}", b'{"v":1e999}', b'{"v":NaN}'),
        *(b'{"v":-Infinity}', json.dumps(_FIELDS).encode("utf-16"), b"\xef\xbb\xbf" + _LIVE.encode()),
    ],
    ids=repr,
)
def test_what_is_no_json_object_is_refused_without_another_error(payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        BlockMessage.decode(payload)


def test_a_key_that_stands_twice_is_refused_at_any_depth() -> None:
    with pytest.raises(InvalidMessage, match="twice"):
        BlockMessage.decode(_LIVE.encode()[:-1] + b',"seq":2000}')
    with pytest.raises(InvalidMessage, match="twice"):
        BlockMessage.decode(_payload(more=0).replace(b'"more": 0', b'"more": {"a":1,"a":2}'))


@pytest.mark.promise(10)
def test_a_payload_beyond_64_kib_is_not_even_read() -> None:
    room = 65536 - len(_payload(filler=""))
    assert BlockMessage.decode(_payload(filler="x" * room)) == _LIVE
    with pytest.raises(InvalidMessage, match="65537 bytes"):
        BlockMessage.decode(_payload(filler="x" * (room + 1)))


def test_the_error_s_text_stays_short_whatever_was_sent() -> None:
    with pytest.raises(InvalidMessage) as caught:
        BlockMessage.decode(_payload(meter="x" * 60_000))
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=200))
@pytest.mark.promise(10)
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        BlockMessage.decode(payload)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(name=st.sampled_from(list(_FIELDS)), value=_JSON)
def test_any_value_in_any_field_is_read_or_refused(name: str, value: object) -> None:
    try:
        found = BlockMessage.decode(_payload(**{name: value}))
    except InvalidMessage:
        return
    assert BlockMessage.decode(found.encode()) == found


@given(
    registers=st.lists(st.none() | st.integers(0, 0xFFFF), min_size=148, max_size=148),
    seq=st.integers(1, 2**53 - 1),
    boot_ms=st.integers(0, 2**53 - 1),
    age_ms=st.integers(0, 2**53 - 1),
    cycle_ms=st.none() | st.integers(1, 60_000),
)
def test_every_block_comes_back_as_it_was_sent(
    registers: list[int | None], seq: int, boot_ms: int, age_ms: int, cycle_ms: int | None
) -> None:
    sent = replace(
        _LIVE, registers=tuple(registers), seq=seq, boot_ms=boot_ms, age_ms=age_ms, cycle_ms=cycle_ms, source="poll"
    )
    assert BlockMessage.decode(sent.encode()) == sent
