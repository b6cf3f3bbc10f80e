import pytest

from airbridge.demo.options import Address, Options


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.7", Address("192.0.2.7", 502)),
        ("ksem.local:1502", Address("ksem.local", 1502)),
        ("[2001:db8::7]:1502", Address("2001:db8::7", 1502)),
        ("[2001:db8::7]", Address("2001:db8::7", 502)),
        ("2001:db8::7", Address("2001:db8::7", 502)),
    ],
)
def test_a_place_is_a_host_and_maybe_a_port(text: str, place: Address) -> None:
    assert Address.parse(text, 502) == place


@pytest.mark.parametrize("text", ["", ":502", "host:0", "host:65536", "host:port"])
def test_a_place_that_can_not_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST or HOST:PORT"):
        Address.parse(text, 502)


def test_a_run_of_30_s_needs_150_good_answers() -> None:
    assert Options(seconds=30).expected_good(30) == 150


def test_a_run_that_is_ended_by_hand_needs_one() -> None:
    assert Options().expected_good(None) == 1


def test_how_often_a_real_inverter_asks_is_not_known() -> None:
    assert Options(seconds=30, serial="/dev/ttyUSB0").expected_good(30) == 1
