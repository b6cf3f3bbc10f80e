"""`airbridge capture bridge` beside a running chain: what it writes is what meter and inverter said, and when."""

import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airbridge.capture.output import load_capture
from ksem_contract.capture_record import CaptureRecord
from ksem_contract.register_range import RegisterRange
from ksem_simulators.handles import PlenticoreHandle
from ksem_simulators.recording import Recording, RegisterTimeline
from service_runtime.clock import boottime
from service_runtime.recorder.bus_records import character_time
from tests.bridge.broker import Broker
from tests.bridge.doctor import ACL, PASSWORDS, LoginChain
from tests.chain import Chain

USERS = PASSWORDS | {"capture": "record-it-3"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginChain]:
    folder = tmp_path_factory.mktemp("chain")
    broker = Broker(folder / "broker", users=USERS, acl=ACL)
    kept = folder / "kept"
    kept.mkdir()
    recorder = f'[recorder]\ndirectory = "{kept}"\n'
    with LoginChain(folder, broker=broker, publisher=recorder, server=recorder) as chain:
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
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds + 40, check=False)


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


@pytest.mark.slow
def test_the_services_fall_silent_when_nobody_asks_any_more(chain: LoginChain, tmp_path: Path) -> None:
    assert record(chain, tmp_path / "one.jsonl", seconds=0.5).returncode == 0
    for service in (chain.publisher, chain.server):
        service.await_log("nobody records any more", within=15)


def test_a_login_that_may_not_ask_is_told_so(chain: LoginChain, tmp_path: Path) -> None:
    ran = record(chain, tmp_path / "none.jsonl", user="rtu")
    assert ran.returncode == 2
    assert "capture/ask" in ran.stderr
    assert not (tmp_path / "none.jsonl").exists()


@pytest.fixture(scope="module")
def recorded(chain: LoginChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of the chain."""
    file = tmp_path_factory.mktemp("recorded") / "bridge.jsonl"
    ran = record(chain, file, seconds=8.0)
    assert ran.returncode == 0, ran.stderr
    return file


@pytest.mark.slow
class TestReplay:
    """A recording, said again by simulated ends: the inverter gets the same registers at the same times."""

    def test_the_inverter_gets_the_same_registers_at_the_same_times(self, recorded: Path, tmp_path: Path) -> None:
        self.check(recorded, tmp_path, 8.0, least=0.9)  # one stall of a busy host is four of 124 times

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_the_same_of_a_whole_minute(self, chain: LoginChain, tmp_path: Path) -> None:
        file = tmp_path / "recorded.jsonl"
        ran = record(chain, file, seconds=60.0)
        assert ran.returncode == 0, ran.stderr
        self.check(file, tmp_path, 60.0, least=0.98)

    @pytest.mark.slow
    def test_the_demo_says_it_again_for_people(self, recorded: Path) -> None:
        command = [sys.executable, "-m", "airbridge", "demo", "--plain", "--replay", str(recorded)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout
        assert "what was recorded" in ran.stdout

    def check(self, file: Path, folder: Path, seconds: float, least: float) -> None:
        got = replayed(folder / "again", file)
        same = Comparison(load_capture(file)[1], got)
        print(same)
        assert same.compared > 8 * (seconds - WARM_UP)
        assert same.other == [], str(same)
        assert same.share_within > least, str(same)


WARM_UP = 3.0
"""Seconds in which the bridge learns the push and the inverter may be refused; it was running when it was recorded."""
WITHIN = 0.020


def replayed(folder: Path, file: Path) -> list[dict[str, Any]]:
    """What the inverter got, by its own log, from a chain that replays the file."""
    folder.mkdir()
    options = ("--replay", str(file), "--replay-waits")
    with Chain(folder, meter_options=options) as chain:
        chain.inverter = PlenticoreHandle(folder, line=chain.line, truth=None, options=("--timeout", "0.15", *options))
        chain.start()
        chain.publisher.await_log("live data flows")
        chain.server.await_log("connected to")
        at = boottime() + 0.5
        chain.meter.command("replay", at=at)
        chain.inverter.command("replay", at=at)
        recording = Recording.load(file)
        time.sleep(at + recording.duration + 0.3 - boottime())  # what is replayed is time itself
        assert chain.meter.status()["push"][0]["left_out"] == 0
        return [json.loads(line) for line in chain.inverter.log.read_text().splitlines()]


class Comparison:
    """The recorded answers beside those of the replay, register by register."""

    def __init__(self, records: list[CaptureRecord], got: list[dict[str, Any]]) -> None:
        timeline = RegisterTimeline(records)
        character = character_time(38400, "N", 2)
        self.compared = self.equal = self.races = 0
        self.other: list[str] = []
        self.off: list[float] = []
        """Seconds by which each question and each answer came sooner or later than recorded."""
        questions = [(one, after) for one, after in pairwise(_of(records, "request", "reply", "exception"))]
        asked = [(one, answer) for one, answer in questions if one.what == "request"]
        for (request, reply), again in zip(asked, got, strict=False):
            assert request.start is not None
            assert request.count is not None
            assert again["range"] == str(RegisterRange(request.start, request.count)), "asked in the same order"
            if request.t < WARM_UP or reply.what != "reply":
                continue
            self.compared += 1
            self.off.append(again["t_asked"] + 8 * character - request.t)
            self.off.append(again["t"] - 0.002 - reply.t)  # it listens for a frame gap longer
            if again["values"] == list(reply.values or ()):
                self.equal += 1
            elif tuple(again["values"] or ()) in self._about(timeline, records, request):
                self.races += 1  # the meter wrote within 20 ms of this request
            else:
                self.other.append(f"{request.t:.3f} s {again['range']}: {again['outcome']} {again['why']}")

    @staticmethod
    def _about(timeline: RegisterTimeline, records: list[CaptureRecord], request: CaptureRecord) -> set[object]:
        """All that these registers were within 20 ms of the request (and the way through the bridge)."""
        assert request.start is not None
        assert request.count is not None
        begin, end = request.t - WITHIN - 0.01, request.t + WITHIN
        moments = [begin, *(one.t for one in _of(records, "write") if begin <= one.t <= end)]
        return {timeline.words(request.start, request.count, moment) for moment in moments}

    @property
    def share_within(self) -> float:
        return sum(abs(off) <= WITHIN for off in self.off) / len(self.off)

    def __str__(self) -> str:
        ordered = sorted(map(abs, self.off))
        p50, p99, most = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1.0))
        return (
            f"{self.compared} answers: {self.equal} equal, {self.races} of the cycle before or after it, "
            f"{len(self.other)} other {self.other[:5]}; off by {p50:.1f} ms (p50), {p99:.1f} (p99), {most:.1f} (max)"
        )


@pytest.mark.slow
def test_after_a_fault_each_service_writes_what_happened_and_a_bundle_has_it(chain: LoginChain, tmp_path: Path) -> None:
    kept = chain.folder / "kept"
    chain.meter.kill()
    for service in (chain.publisher, chain.server):
        service.await_log("what happened before and after the fault", within=30)
    (meters,) = kept.glob("main-*.jsonl")
    (nodes,) = kept.glob("attic-*.jsonl")
    _, records = load_capture(meters)
    assert {"write", "poll", "poll-failed", "closed", "state"} <= {record.what for record in records}
    assert "down" in [record.why or "" for record in _of(records, "state")][-1]
    _, records = load_capture(nodes)
    assert {"request", "reply", "exception", "state"} <= {record.what for record in records}
    assert [record.t for record in records] == sorted(record.t for record in records)
    shown = subprocess.run(
        [sys.executable, "-m", "airbridge", "capture", "show", str(nodes)], capture_output=True, text=True, check=True
    )
    assert "What the inverter asks" in shown.stdout
    bundle = tmp_path / "report.tar.gz"
    chain.doctor("--bundle", bundle)
    with tarfile.open(bundle) as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert f"fault-ksem-publisher-{meters.name}" in names
    assert f"fault-rtu-server-{nodes.name}" in names


def _of(records: list[CaptureRecord], *what: str) -> list[CaptureRecord]:
    return [record for record in records if record.what in what]
