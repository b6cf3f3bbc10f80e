import socket

import pytest

from ksem_publisher.push_peers import MOST_ADVISED, MOST_REFUSED, REMEMBERED, PushPeers, plain_address, socket_address
from ksem_publisher.settings import MeterSettings

KSEM_LAN = MeterSettings(host="ksem.lan")


def test_pushes_are_taken_from_the_meters_own_address() -> None:
    peers = PushPeers([KSEM_LAN])
    assert peers.names == (("main", "ksem.lan"),)
    peers.resolved("main", "ksem.lan", ["192.168.1.20"])
    assert peers.meter_of("192.168.1.20") == "main"
    assert peers.meter_of("::ffff:192.168.1.20") == "main"
    assert peers.meter_of("192.168.1.21") is None


def test_push_from_replaces_the_meters_own_address_and_addresses_need_no_lookup() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan", push_from=("10.0.0.1", "10.0.0.2", "ksem.vpn"))])
    assert peers.names == (("main", "ksem.lan"), ("main", "ksem.vpn")), "the first is polled"
    peers.resolved("main", "ksem.lan", ["10.0.0.9"])
    assert peers.meter_of("10.0.0.9") is None
    assert (peers.meter_of("10.0.0.1"), peers.meter_of("10.0.0.2")) == ("main", "main")


def test_what_a_name_does_not_mean_any_more_is_nobodys() -> None:
    peers = PushPeers([KSEM_LAN])
    assert peers.resolved("main", "ksem.lan", ["10.0.0.5"]) == ()
    assert peers.resolved("main", "ksem.lan", ["10.0.0.6"]) == ("10.0.0.5",)
    assert (peers.meter_of("10.0.0.5"), peers.meter_of("10.0.0.6")) == (None, "main")


def test_a_name_that_can_not_be_found_means_what_it_meant_before() -> None:
    peers = PushPeers([KSEM_LAN])
    peers.resolved("main", "ksem.lan", ["10.0.0.5"])
    assert peers.resolved("main", "ksem.lan", None) == ()
    assert peers.meter_of("10.0.0.5") == "main"


def test_two_names_that_swap_their_addresses_are_followed() -> None:
    peers = PushPeers([MeterSettings(id="a", host="a.lan"), MeterSettings(id="b", host="b.lan")])
    peers.resolved("a", "a.lan", ["10.0.0.5"])
    peers.resolved("b", "b.lan", ["10.0.0.6"])
    peers.resolved("a", "a.lan", ["10.0.0.6"])
    assert (peers.meter_of("10.0.0.5"), peers.meter_of("10.0.0.6")) == (None, None)
    peers.resolved("b", "b.lan", ["10.0.0.5"])
    assert (peers.meter_of("10.0.0.5"), peers.meter_of("10.0.0.6")) == ("b", "a")


@pytest.mark.parametrize("address", ["10.0.0.5", "::ffff:10.0.0.5"])
def test_an_address_that_means_two_meters_is_nobodys_and_both_report_it(address: str) -> None:
    peers = PushPeers([MeterSettings(id="a", host="a.lan"), MeterSettings(id="b", host=address)])
    peers.resolved("a", "a.lan", ["10.0.0.5"])
    assert peers.meter_of("10.0.0.5") is None
    peers.refuse("10.0.0.5", 100.0)
    for meter in ("a", "b"):
        (text,) = peers.refused(meter, 100.0)
        assert "10.0.0.5 are refused: it is the address of the meters a, b" in text.text


@pytest.mark.parametrize(
    ("allowed", "comes", "taken"),
    [
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%wlan0", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("fe80::1", "fe80::1%wlan0", True),
        ("2001:db8::1%eth0", "2001:db8::1", True),
        ("FE80:0::1%eth0", "fe80::1%eth0", True),
        ("::ffff:10.0.0.5", "10.0.0.5", True),
    ],
)
def test_zones_are_compared(allowed: str, comes: str, taken: bool) -> None:
    peers = PushPeers([MeterSettings(host=allowed)])
    assert peers.meter_of(comes) == ("main" if taken else None)


def test_one_link_local_address_on_two_interfaces_means_two_meters() -> None:
    peers = PushPeers([MeterSettings(id="a", host="fe80::1%eth0"), MeterSettings(id="b", host="fe80::1%eth1")])
    assert (peers.meter_of("fe80::1%eth0"), peers.meter_of("fe80::1%eth1")) == ("a", "b")
    mixed = PushPeers([MeterSettings(id="a", host="fe80::1%eth0"), MeterSettings(id="b", host="fe80::1")])
    assert (mixed.meter_of("fe80::1%eth0"), mixed.meter_of("fe80::1%eth1")) == (None, "b")
    assert "a, b" in mixed.refused("b", 0.0)[0].text


def test_a_zone_is_the_interfaces_name_however_it_is_given() -> None:
    index = socket.if_nametoindex("lo")
    assert plain_address(f"fe80::1%{index}") == plain_address("fe80::1%lo") == "fe80::1%lo"
    assert socket_address(("fe80::1", 5020, 0, index)) == "fe80::1%lo"
    assert socket_address(("::ffff:10.0.0.5", 5020, 0, 0)) == "10.0.0.5"


def test_a_refused_peer_is_reported_with_the_line_that_lets_it_in_until_it_is_known() -> None:
    peers = PushPeers([KSEM_LAN])
    peers.resolved("main", "ksem.lan", None)
    peers.refuse("10.0.0.9", 100.0)
    (advice,) = peers.refused("main", 100.0)
    assert 'push_from = ["ksem.lan", "10.0.0.9"]' in advice.remedy
    peers.resolved("main", "ksem.lan", ["10.0.0.9"])
    assert peers.refused("main", 101.0) == ()


def test_a_peer_that_comes_before_the_names_are_known_is_not_reported() -> None:
    peers = PushPeers([KSEM_LAN])
    peers.refuse("10.0.0.9", 100.0)
    assert peers.refused("main", 100.0) == ()


@pytest.mark.promise(10)
def test_strangers_without_number_are_summed_up_and_not_remembered_without_bound() -> None:
    peers = PushPeers([MeterSettings(host="10.1.1.1")])
    for number in range(1000):
        peers.refuse(f"10.0.{number // 250}.{number % 250}", 100.0)
    *advices, rest = peers.refused("main", 100.0)
    assert len(advices) == MOST_ADVISED
    assert f"{MOST_REFUSED - MOST_ADVISED} more" in rest.text


def test_a_stranger_who_does_not_come_again_is_forgotten_and_leaves_room() -> None:
    peers = PushPeers([MeterSettings(host="10.1.1.1")])
    for number in range(MOST_REFUSED):
        peers.refuse(f"10.0.0.{number}", 0.0)
    later = REMEMBERED + 1
    peers.refuse("10.0.0.3", REMEMBERED)
    peers.refuse("192.168.1.20", later)
    assert [advice.param("address") in ("10.0.0.3", "192.168.1.20") for advice in peers.refused("main", later)] == [
        True,
        True,
    ]
