"""The TCP server's cores: who may come in, what a reader gets."""

import re
import socket
from pathlib import Path

import pytest

from ksem_contract.registers import RegisterRange
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapFrame
from rtu_server import tcp_server
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.responder import Responder, Unit
from rtu_server.settings import RtuServerSettings, TcpSettings, UnitSettings
from rtu_server.tcp_server import TcpServer
from rtu_server.tcp_session import AllowList, TcpReplyCache, TcpSession
from service_runtime.setting import is_network
from service_runtime.settings import SettingsError, load

from .blocks import block, echo

READ_TOTALS = bytes.fromhex("03 00 00 00 1c")


@pytest.fixture
def cache() -> RegisterCache:
    cache = RegisterCache(FreshnessLimits())
    echo(cache, at=100.0)
    cache.on_block(block(at=100.0, fill=7), 100.0)
    return cache


@pytest.fixture
def responder(cache: RegisterCache) -> Responder:
    return Responder({1: Unit(1, "main", TcpReplyCache(cache))})


def ask(responder: Responder, pdu: bytes, *, now: float = 100.0, unit: int = 1) -> tuple[bytes, str]:
    """The reply's PDU, and what became of the request."""
    client = TcpSession(now)
    client.feed(MbapFrame(0x1234, unit, pdu).encode(), now)
    _, answer = client.answer_one(responder, now)
    assert client.unsent[:2] in (b"", b"\x12\x34")
    return client.unsent[7:], answer.outcome


def test_a_reader_gets_the_lines_registers(responder: Responder) -> None:
    assert ask(responder, READ_TOTALS) == (b"\x03\x38" + b"\x00\x07" * 28, "data")
    assert ask(responder, READ_TOTALS) == (b"\x03\x38" + b"\x00\x07" * 28, "data"), "as does the next one"


@pytest.mark.parametrize(
    ("pdu", "reply"),
    [
        ("04 00 00 00 02", "84 02"),
        ("06 00 00 00 01", "86 01"),
        ("10 00 00 00 01 02 00 05", "90 01"),
        ("2b 0e 01 00", "ab 01"),
        ("03 00 00 00 00", "83 03"),
        ("03 00 00 00 7e", "83 03"),
        ("03 01 2c 00 01", "83 02"),
    ],
)
def test_it_is_read_only_and_refuses_what_the_line_refuses(responder: Responder, pdu: str, reply: str) -> None:
    assert ask(responder, bytes.fromhex(pdu))[0] == bytes.fromhex(reply)


@pytest.mark.promise(1)
def test_stale_data_is_refused_also_where_it_was_answered_before(responder: Responder) -> None:
    assert ask(responder, READ_TOTALS, now=101.4)[1] == "data"
    assert ask(responder, READ_TOTALS, now=101.6) == (b"\x83\x04", "stale")


def test_a_new_block_is_answered_at_once_and_versions_do_not_mix(responder: Responder, cache: RegisterCache) -> None:
    ask(responder, READ_TOTALS)
    cache.on_block(block(at=100.2, fill=8, seq=2), 100.2)
    assert ask(responder, READ_TOTALS, now=100.2)[0] == b"\x03\x38" + b"\x00\x08" * 28


def test_readers_make_nothing_hot_for_the_lines(responder: Responder, cache: RegisterCache) -> None:
    for start in range(100):
        ask(responder, b"\x03" + start.to_bytes(2) + b"\x00\x01")
    assert len(cache._precomputed) == 0


def test_another_unit_is_told_that_there_is_no_way_to_it(responder: Responder) -> None:
    assert ask(responder, READ_TOTALS, unit=9) == (b"\x83\x0a", "exception-10")
    assert ask(responder, b"\x80", unit=9)[1] == "exception-10"


@pytest.mark.promise(10)
def test_replies_kept_are_bounded(cache: RegisterCache) -> None:
    book = TcpReplyCache(cache)
    for start in range(148):
        request = bytes((start,))
        assert book.ready(request, 100.0) is None
        book.find(request, 1, RegisterRange(start, 1), 100.0)
    assert len(book._replies) == 64


def test_requests_one_after_the_other_in_one_segment_are_all_answered_in_order(responder: Responder) -> None:
    client = TcpSession(100.0)
    client.feed(b"".join(MbapFrame(number, 1, READ_TOTALS).encode() for number in range(5)), 100.0)
    assert not client.is_admitted
    for _ in range(5):
        client.answer_one(responder, 100.0)
    transactions = [client.unsent[i : i + 2] for i in range(0, len(client.unsent), 7 + 58)]
    assert transactions == [bytes((0, number)) for number in range(5)]
    assert client.is_admitted


def test_what_is_no_modbus_closes_the_connection() -> None:
    with pytest.raises(BadFrame):
        TcpSession(100.0).feed(b"GET / HTTP/1.1\r\n", 100.0)


def test_nobody_but_this_host_comes_in_unless_allowed() -> None:
    peers = AllowList(())
    assert peers.allows("127.0.0.1")
    assert peers.allows("::1")
    assert not peers.allows("192.168.1.5")


def test_addresses_and_networks_can_be_allowed() -> None:
    peers = AllowList(("192.168.1.0/24", "10.0.0.7", "fd00::/8"))
    assert peers.allows("192.168.1.200")
    assert peers.allows("::ffff:192.168.1.200")
    assert peers.allows("10.0.0.7")
    assert peers.allows("fd12::1")
    assert not peers.allows("10.0.0.8")
    assert not peers.allows("127.0.0.1")
    assert is_network("192.168.1.9/24")
    assert not is_network("evcc.lan")


def test_the_settings_in_the_documentation_are_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "modbus-tcp.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "rtu-server.toml"
    path.write_text('[[line]]\nport = "/dev/ttyUSB0"\n' + toml)
    (server,) = load(RtuServerSettings, path=path, environ={}).tcp
    assert (server.port, server.allow, [unit.id for unit in server.unit]) == (1502, ("192.168.1.0/24",), [1, 71])


def test_mistakes_in_the_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rtu-server.toml"
    path.write_text('[[line]]\nport = "/dev/ttyUSB0"\n[[tcp]]\nallow = ["evcc.lan"]\n')
    with pytest.raises(SettingsError, match="an address or network"):
        load(RtuServerSettings, path=path, environ={})
    path.write_text('[[line]]\nport = "/dev/ttyUSB0"\n[[tcp]]\nname = "rs485"\n')
    with pytest.raises(SettingsError, match="each name once"):
        load(RtuServerSettings, path=path, environ={})


@pytest.mark.parametrize("unit", [0, 2, 71, 240, 255])
def test_a_server_with_one_unit_answers_any_unit_id_as_a_meter_does(responder: Responder, unit: int) -> None:
    client = TcpSession(100.0)
    client.feed(MbapFrame(1, unit, READ_TOTALS).encode(), 100.0)
    request, answer = client.answer_one(responder, 100.0, any_unit=1)
    assert (answer.outcome, request[0]) == ("data", 1)
    assert client.unsent[6] == unit, "the reply names the unit that was requested"


def test_a_host_that_stood_still_in_the_middle_of_an_answer_holds_up_no_other_reader(
    responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TcpServer(TcpSettings(unit=(UnitSettings(id=1),)), responder, lambda *_: None)
    times, rests = iter((100.0, 3700.0)), list[float]()
    monkeypatch.setattr(tcp_server, "boottime", lambda: next(times))
    monkeypatch.setattr("time.sleep", rests.append)
    client = TcpSession(100.0)
    client.feed(MbapFrame(1, 1, READ_TOTALS).encode(), 100.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server._answer(ours, client)
        assert theirs.recv(300)[7:9] == b"\x03\x38"
    assert rests == [0.05]
