"""The one MQTT packet that is written here: to the byte what the specification says."""

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from service_runtime.mqtt_publish import is_plain, publish_packet, read_publish


def test_a_retained_message_with_its_expiry_in_mqtt_5() -> None:
    packet = publish_packet("a/b", b"hi", retain=True, expiry=2, version=5)
    assert packet == bytes.fromhex("31 0d 00 03") + b"a/b" + bytes.fromhex("05 02 00 00 00 02") + b"hi"


def test_a_message_without_expiry_in_mqtt_5() -> None:
    assert publish_packet("a/b", b"hi", retain=False, expiry=None, version=5) == b"\x30\x08\x00\x03a/b\x00hi"


def test_mqtt_3_knows_no_expiry() -> None:
    assert publish_packet("a/b", b"hi", retain=True, expiry=2, version=3) == b"\x31\x07\x00\x03a/bhi"


@pytest.mark.parametrize(
    ("rest", "length"),
    [(127, "7f"), (128, "80 01"), (16_383, "ff 7f"), (16_384, "80 80 01"), (2_097_151, "ff ff 7f")],
)
def test_the_length_takes_as_many_bytes_as_it_needs(rest: int, length: str) -> None:
    packet = publish_packet("a", bytes(rest - 3), retain=False, expiry=None, version=3)
    assert packet.startswith(b"\x30" + bytes.fromhex(length) + b"\x00\x01a")


@pytest.mark.parametrize("version", [5, 3])
@pytest.mark.parametrize("expiry", [2, None])
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("payload", [b"hi", b"", bytes(500)])
def test_what_is_written_is_read_again(version: int, expiry: int | None, retain: bool, payload: bytes) -> None:
    packet = publish_packet("a/ü", payload, retain=retain, expiry=expiry, version=version)
    body = packet[2 if packet[1] < 128 else 3 :]
    assert is_plain(packet[0])
    assert read_publish(packet[0], body, version=version) == ("a/ü", payload, retain)


def test_properties_of_any_length_are_skipped() -> None:
    properties = b"\x26\x00\x01a\x00\xc8" + bytes(200)
    body = b"\x00\x01t" + bytes((len(properties) & 127 | 128, len(properties) >> 7)) + properties + b"payload"
    assert read_publish(0x30, body, version=5) == ("t", b"payload", False)


@pytest.mark.parametrize(
    "body", ["", "00", "00 05 61", "00 01 61", "00 01 61 80", "00 01 61 ff ff ff ff 7f", "00 01 61 05 02"]
)
def test_a_packet_that_ends_early_is_an_error(body: str) -> None:
    with pytest.raises(ValueError, match="a message"):
        read_publish(0x30, bytes.fromhex(body), version=5)


def test_a_topic_that_is_no_text_is_an_error_of_its_own() -> None:
    with pytest.raises(UnicodeDecodeError):
        read_publish(0x30, b"\x00\x01\xff\x00", version=5)


def test_messages_that_are_acknowledged_are_not_plain() -> None:
    assert [is_plain(head) for head in (0x30, 0x31, 0x32, 0x34, 0x38 | 0x02)] == [True, True, False, False, False]


def test_paho_still_hands_each_message_to_the_method_that_is_replaced() -> None:
    assert callable(getattr(Client, "_handle_publish", None))
    assert {"command", "packet"} <= Client(CallbackAPIVersion.VERSION2)._in_packet.keys()
