"""The one MQTT packet that is written here: to the byte what the specification says."""

import pytest

from service_runtime.mqtt_publish import publish_packet


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
