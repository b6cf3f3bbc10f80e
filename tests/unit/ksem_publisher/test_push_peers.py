from ksem_publisher.push_peers import MOST_REFUSED, REMEMBERED, PushPeers
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
    peers.refuse("10.0.0.9", 100.0)
    (advice,) = peers.refused(100.0)
    assert 'push_from = ["ksem.lan", "10.0.0.9"]' in advice
    peers.resolved("main", ["10.0.0.9"])
    assert peers.refused(101.0) == ()


def test_strangers_without_number_are_not_remembered_without_bound() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan")])
    for number in range(1000):
        peers.refuse(f"10.0.{number // 250}.{number % 250}", 100.0)
    assert len(peers.refused(100.0)) == MOST_REFUSED


def test_a_stranger_who_does_not_come_again_is_forgotten_and_leaves_room() -> None:
    peers = PushPeers([MeterSettings(host="ksem.lan")])
    for number in range(MOST_REFUSED):
        peers.refuse(f"10.0.0.{number}", 0.0)
    later = REMEMBERED + 1
    peers.refuse("10.0.0.3", REMEMBERED)
    peers.refuse("192.168.1.20", later)
    assert ["10.0.0.3" in advice or "192.168.1.20" in advice for advice in peers.refused(later)] == [True, True]
