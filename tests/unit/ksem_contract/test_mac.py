"""The code at the end of blocks and pongs: what it refuses, whatever was changed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage, Pong
from ksem_contract.mac import KEYLESS, BadMac, MacFault, MessageKeys, parse_keys

KEY, OTHER = MessageKeys((bytes(range(16)),)), MessageKeys((bytes(range(1, 17)),))
BLOCK = BlockMessage(
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
PONG = Pong("main", "attic", "b81f03c2", "5f1c9a2e", 90112345, every_ms=20_000)
CONTRACT = Path(__file__).parents[3] / "docs" / "contract.md"


def _fault(keys: MessageKeys, payload: bytes) -> MacFault | None:
    try:
        keys.check(payload)
    except BadMac as bad:
        return bad.fault
    return None


def _with_one_bit_changed(payload: bytes) -> Iterator[bytes]:
    for at in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[at] ^= 1 << bit
            yield bytes(changed)


def test_the_worked_example_of_the_contract_is_what_the_code_sends_and_takes() -> None:
    text = CONTRACT.read_text(encoding="utf-8")
    example = text[text.index("### A worked example") :]
    key = re.search(r"^    key +([0-9a-f]+)$", example, re.MULTILINE)
    payload = re.search(r"^    (\{.*\})$", example, re.MULTILINE)
    assert key, "no key in the example"
    assert payload, "no payload in the example"
    keys, sent = parse_keys(key[1]), payload[1].encode()
    keys.check(sent)
    message = BlockMessage.decode(sent)
    assert message.encode(keys) == sent
    assert message.registers == (0, 123, None)


@pytest.mark.parametrize("keys", [KEYLESS, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("message", [BLOCK, PONG], ids=["block", "pong"])
@pytest.mark.promise(2)
def test_a_message_with_any_one_bit_changed_is_refused(message: BlockMessage | Pong, keys: MessageKeys) -> None:
    sent = message.encode(keys)
    assert _fault(keys, sent) is None
    for changed in _with_one_bit_changed(sent):
        assert _fault(keys, changed) is not None, changed


@pytest.mark.parametrize("keys", [KEYLESS, KEY], ids=["without a key", "with a key"])
def test_a_message_that_is_cut_or_has_more_behind_it_is_refused(keys: MessageKeys) -> None:
    sent = BLOCK.encode(keys)
    assert all(_fault(keys, sent[:count]) is not None for count in range(len(sent)))
    assert all(_fault(keys, sent + more) is not None for more in (b" ", b"\n", b"}", sent))


def test_what_another_key_or_none_has_made_is_refused_and_named() -> None:
    assert _fault(KEY, BLOCK.encode(OTHER)) is MacFault.WRONG
    assert _fault(KEYLESS, BLOCK.encode(KEY)) is MacFault.WRONG
    assert _fault(KEY, BLOCK.encode()) is MacFault.KEYLESS
    assert _fault(KEY, BLOCK.encode()[:-42] + b"}") is MacFault.MISSING
    assert _fault(KEYLESS, b"") is MacFault.MISSING


def test_while_keys_change_the_first_makes_codes_and_both_are_taken() -> None:
    both = parse_keys(f"{KEY.keys[0].hex()}\n{OTHER.keys[0].hex().upper()}\n")
    assert BLOCK.encode(both) == BLOCK.encode(KEY)
    assert _fault(both, BLOCK.encode(KEY)) is None
    assert _fault(both, BLOCK.encode(OTHER)) is None
    assert _fault(both, BLOCK.encode()) is MacFault.KEYLESS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 keys"),
        ("\n \n", "0 keys"),
        ("00" * 15, "line 1 is no key"),
        ("00" * 16 + "\n" + "0" * 33, "line 2 is no key"),
        ("00" * 65, "line 1 is no key"),
        ("\n" + "secret-secret-secret-secret-secr", "line 2 is no key"),
        ("\n".join(["00" * 16] * 3), "3 keys"),
    ],
)
def test_a_file_without_a_usable_key_is_refused_and_its_text_is_never_shown(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_keys(text)
    assert "secret" not in str(caught.value)
    assert "openssl rand -hex 32" in str(caught.value)


def test_keys_are_not_shown_when_the_object_is_printed() -> None:
    assert KEY.keys[0].hex() not in repr(KEY)
    assert repr(KEY.keys[0]) not in repr(KEY)


def test_consumers_read_the_message_whatever_its_code_is() -> None:
    assert BlockMessage.decode(BLOCK.encode(KEY)) == BLOCK == BlockMessage.decode(BLOCK.encode()[:-42] + b"}")
    assert Pong.decode(PONG.encode(KEY)) == PONG
