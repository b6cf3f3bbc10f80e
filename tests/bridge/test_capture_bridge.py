"""`airbridge capture bridge` beside a running chain: what it writes is what meter and inverter said, and when."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airbridge.capture.output import load_capture
from ksem_contract.capture_record import CaptureRecord
from tests.bridge.broker import Broker
from tests.bridge.doctor import ACL, PASSWORDS, LoginChain

USERS = PASSWORDS | {"capture": "record-it-3"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginChain]:
    folder = tmp_path_factory.mktemp("chain")
    with LoginChain(folder, broker=Broker(folder / "broker", users=USERS, acl=ACL)) as chain:
        chain.start()
        chain.await_good()
        chain.publisher.await_log("push is up")
        yield chain


def record(
    chain: LoginChain, file: Path, *options: str, user: str = "capture", seconds: float = 2.5
) -> "subprocess.CompletedProcess[str]":
    password = file.with_suffix(".password")
    password.write_text(USERS[user] + "\n")
    where = ["--broker", f"127.0.0.1:{chain.broker.port}", "--user", user, "--password-file", str(password)]
    what = ["--seconds", str(seconds), "--output", str(file)]
    command = [sys.executable, "-m", "airbridge", "capture", "bridge", *where, *what, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)


def test_both_ends_are_recorded_on_one_clock_as_they_were(chain: LoginChain, tmp_path: Path) -> None:
    file = tmp_path / "bridge.jsonl"
    before = [json.loads(line)["number"] for line in chain.inverter.log.read_text().splitlines()][-1]
    ran = record(chain, file)
    assert ran.returncode == 0, ran.stderr
    header, records = load_capture(file)
    assert (header.kind, header.serial_number) == ("bridge", False)
    assert [record.t for record in records] == sorted(record.t for record in records)
    assert 0 <= records[0].t <= records[-1].t <= 2.6
    assert not [record for record in records if record.what in ("lost", "restarted")]

    requests = _of(records, "request")
    asked = [json.loads(line) for line in chain.inverter.log.read_text().splitlines()]
    asked = [one for one in asked if one["number"] > before]
    # The inverter writes its line once the answer is in; the server hears the request's last byte before that.
    for one in requests[:-1]:
        name = f"{one.start}-{one.start + one.count - 1}" if one.start is not None and one.count else ""
        later = min(two["at"] for two in asked if two["range"] == name and two["at"] >= header.zero + one.t)
        assert later - header.zero - one.t < 0.12, one
    assert 20 <= len(requests) <= 34
    replies = _of(records, "reply")
    assert abs(len(replies) - len(requests)) <= 1
    assert all(one.delay_ms is not None and 1.5 < one.delay_ms < 60 for one in replies)

    writes = _of(records, "write")
    assert {(one.start, one.count) for one in writes} == {(0, 28), (40, 106)}
    said = {one.values for one in writes} | {one.values for one in _of(records, "held")}
    fresh = [one for one in replies if one.t > 0.5]
    assert fresh
    assert all(one.values in said for one in fresh), "what the inverter got is what the meter wrote, to the last word"
    assert {one.where for one in writes} == {"main"}
    assert {one.where for one in replies} == {"attic/rs485"}


def test_the_serial_number_is_left_out_unless_it_is_asked_for(chain: LoginChain, tmp_path: Path) -> None:
    words = [str(int.from_bytes(b"00000000SIMULATED"[at : at + 2])) for at in range(0, 16, 2)]
    for name, options, told in (("without", (), False), ("with", ("--with-serial-number",), True)):
        file = tmp_path / f"{name}.jsonl"
        ran = record(chain, file, "--meter", "main", *options, seconds=0.5)
        assert ran.returncode == 0, ran.stderr
        header, records = load_capture(file)
        assert header.serial_number is told
        (device,) = [one for one in _of(records, "held") if one.start == 8192]
        serial = device.values[8228 - 8192 : 8244 - 8192] if device.values else ()
        assert (serial == (None,) * 16) is not told
        assert (",".join(words) in file.read_text()) is told
        assert not _of(records, "request"), "only this meter was asked for"


def test_the_services_fall_silent_when_nobody_asks_any_more(chain: LoginChain, tmp_path: Path) -> None:
    assert record(chain, tmp_path / "one.jsonl", seconds=0.5).returncode == 0
    for service in (chain.publisher, chain.server):
        service.await_log("nobody records any more", within=15)


def test_a_login_that_may_not_ask_is_told_so(chain: LoginChain, tmp_path: Path) -> None:
    ran = record(chain, tmp_path / "none.jsonl", user="rtu")
    assert ran.returncode == 2
    assert "capture/ask" in ran.stderr
    assert not (tmp_path / "none.jsonl").exists()


def _of(records: list[CaptureRecord], what: str) -> list[CaptureRecord]:
    return [record for record in records if record.what == what]
