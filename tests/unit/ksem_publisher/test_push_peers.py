from ksem_publisher.push_peers import MOST_REFUSED, PushPeers
from ksem_publisher.settings import MeterSettings


def test_pushes_are_taken_from_the_meters_own_address() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan")])
    assert peers.names == (("main", "ksem.lan"),)
    peers.resolved("main", ["192.168.1.20"])
    assert peers.meter_of("192.168.1.20") == "main"
    assert peers.meter_of("::ffff:192.168.1.20") == "main"
    assert peers.meter_of("192.168.1.21") is None


def test_push_from_replaces_the_meters_own_address() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan", push_from=("10.0.0.1", "10.0.0.2"))])
    assert peers.names == (("main", "10.0.0.1"), ("main", "10.0.0.2"))


def test_a_refused_peer_is_told_with_the_line_that_lets_it_in_until_it_is_known() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan")])
    peers.refuse("10.0.0.9")
    (advice,) = peers.refused
    assert 'push_from = ["ksem.lan", "10.0.0.9"]' in advice
    peers.resolved("main", ["10.0.0.9"])
    assert peers.refused == ()


def test_strangers_without_number_are_not_remembered_without_bound() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan")])
    for number in range(1000):
        peers.refuse(f"10.0.{number // 250}.{number % 250}")
    assert len(peers.refused) == MOST_REFUSED
