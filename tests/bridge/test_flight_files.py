"""What the services write down of their last minutes: both ends, on one clock, and replayed."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airbridge.capture.flight import await_files
from airbridge.capture.output import load_capture
from ksem_contract.capture_file import CaptureRecord
from ksem_contract.registers import RegisterRange
from ksem_simulators.recording import Recording, RegisterTimeline
from ksem_simulators.simulator import PlenticoreHandle
from service_runtime.clock import boottime
from service_runtime.recorder.bus_records import character_time
from tests.bridge.broker import Broker
from tests.bridge.doctor import ACL, PASSWORDS, LoginChain
from tests.chain import Chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginChain]:
    folder = tmp_path_factory.mktemp("chain")
    broker = Broker(folder / "broker", users=PASSWORDS, acl=ACL)
    kept = folder / "kept"
    kept.mkdir()
    recorder = f'[recorder]\ndirectory = "{kept}"\n'
    with LoginChain(folder, broker=broker, publisher=recorder, server=recorder) as chain:
        chain.start()
        chain.await_good()
        chain.publisher.await_log("push is up")
        yield chain


def airbridge(*words: object, within: float = 60.0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "airbridge", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)


def recorded_for(chain: LoginChain, file: Path, seconds: float) -> Path:
    """Both services' last minutes, of which there are so many seconds at least, in one file."""
    chain.inverter.wait_for("good", int(12 * seconds), 3 * seconds + 10)
    kept = chain.folder / "kept"
    before = set(kept.glob("*.jsonl"))
    for service in (chain.publisher, chain.server):
        os.kill(service.pid, signal.SIGUSR1)
    new = await_files([kept], before, 2, 30.0)
    assert len(new) == 2, chain.logs()
    ran = airbridge("capture", "join", *new, "--output", file)
    assert ran.returncode == 0, ran.stderr
    assert "on one clock to 0.0 ms" in ran.stdout
    return file


@pytest.fixture(scope="module")
def recorded(chain: LoginChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of the chain, or more."""
    return recorded_for(chain, tmp_path_factory.mktemp("recorded") / "bridge.jsonl", 8.0)


def test_both_ends_are_in_one_file_on_one_clock_as_they_were(chain: LoginChain, recorded: Path) -> None:
    header, records = load_capture(recorded)
    assert (header.kind, header.serial_number) == ("bridge", False)
    assert [record.t for record in records] == sorted(record.t for record in records)
    assert not _of(records, "lost")

    requests = _of(records, "request")
    requested = [json.loads(line) for line in chain.inverter.log.read_text().splitlines()]
    # The inverter writes its line once the answer is in; the server receives the request's last byte before that.
    for one in requests[:-1]:
        name = f"{one.start}-{one.start + one.count - 1}" if one.start is not None and one.count else ""
        later = min(two["at"] for two in requested if two["range"] == name and two["at"] >= header.zero + one.t)
        assert later - header.zero - one.t < 0.12, one
    replies = _of(records, "reply")
    assert len(replies) > 20
    assert all(one.delay_ms is not None and 1.5 < one.delay_ms < 60 for one in replies)

    writes = _of(records, "write")
    assert {(one.start, one.count) for one in writes} == {(0, 28), (40, 106)}
    written = {one.values for one in writes}
    fresh = [one for one in replies if one.t > writes[0].t + 1.0]
    assert fresh
    assert all(one.values in written for one in fresh), (
        "what the inverter got is what the meter wrote, to the last word"
    )
    assert {one.where for one in writes} == {"main"}
    assert {one.where for one in replies} == {"attic/rs485"}


def test_no_serial_number_is_in_the_files(recorded: Path) -> None:
    words = [str(int.from_bytes(b"00000000SIMULATED"[at : at + 2])) for at in range(0, 16, 2)]
    (device,) = [one for one in _of(load_capture(recorded)[1], "held") if one.start == 8192]
    assert device.values is not None
    assert device.values[8228 - 8192 : 8244 - 8192] == (None,) * 16
    assert ",".join(words) not in recorded.read_text()


def test_the_command_has_the_services_of_this_host_write_and_names_the_files(chain: LoginChain) -> None:
    kept = chain.folder / "kept"
    threading.Event().wait(1.1)  # a file's name bears the second
    ran = airbridge("capture", "flight", "--directory", kept)
    named = {Path(line) for line in ran.stdout.splitlines()}
    assert {path.name.partition("-")[0] for path in named} == {"main", "attic"}
    assert all(path.parent == kept for path in named)
    # Other tests' services may run on this host beside this chain, and write elsewhere: then the command says so.
    assert ran.returncode == 0 or "see their logs" in ran.stderr


@pytest.mark.slow
class TestReplay:
    """A recording, said again by simulated ends: the inverter gets the same registers at the same times."""

    def test_the_inverter_gets_the_same_registers_at_the_same_times(self, recorded: Path, tmp_path: Path) -> None:
        self.check(recorded, tmp_path)

    @pytest.mark.slow
    @pytest.mark.timeout(400)
    def test_the_same_of_a_whole_minute(self, chain: LoginChain, tmp_path: Path) -> None:
        self.check(recorded_for(chain, tmp_path / "minute.jsonl", 60.0), tmp_path)

    @pytest.mark.slow
    def test_the_demo_says_it_again_for_people(self, recorded: Path) -> None:
        command = [sys.executable, "-m", "airbridge", "demo", "--plain", "--replay", str(recorded)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == 0, ran.stdout
        assert "what was recorded" in ran.stdout

    def check(self, file: Path, folder: Path) -> None:
        got = replayed(folder / "again", file)
        records = load_capture(file)[1]
        same = Comparison(records, got)
        print(same)
        assert same.compared > 8 * (records[-1].t - WARM_UP) * 0.8
        assert same.other == [], str(same)
        assert same.share_within > MOSTLY, str(same)


WARM_UP = 3.0
"""Seconds in which the bridge learns the push and the inverter may be refused; it was running when it was recorded."""
WITHIN = 0.020
MOSTLY = 0.6
"""The share of all times that must be right: each stall of a busy host puts off some, which are not judged."""


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
        requested = [(one, answer) for one, answer in questions if one.what == "request"]
        for (request, reply), again in zip(requested, got, strict=False):
            assert request.start is not None
            assert request.count is not None
            assert again["range"] == str(RegisterRange(request.start, request.count)), "asked in the same order"
            if request.t < WARM_UP or reply.what != "reply":
                continue
            self.compared += 1
            # It listens for a frame gap longer.
            off = [again["t_asked"] + 8 * character - request.t, again["t"] - 0.002 - reply.t]
            self.off += off
            if max(map(abs, off)) > WITHIN:
                continue  # the host stood still: `share_within` says how often that may be
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
        return {timeline.registers(request.start, request.count, moment) for moment in moments}

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
    before = set(kept.glob("*.jsonl"))
    chain.meter.kill()
    nodes, meters = sorted(await_files([kept], before, 2, 30.0))
    assert (nodes.name[:6], meters.name[:5]) == ("attic-", "main-")
    _, records = load_capture(meters)
    assert {"write", "poll", "poll-failed", "closed", "state"} <= {record.what for record in records}
    assert "down" in [record.why or "" for record in _of(records, "state")][-1]
    _, records = load_capture(nodes)
    assert {"request", "reply", "exception", "state"} <= {record.what for record in records}
    assert [record.t for record in records] == sorted(record.t for record in records)
    shown = subprocess.run(
        [sys.executable, "-m", "airbridge", "capture", "show", str(nodes)], capture_output=True, text=True, check=True
    )
    assert "What the inverter requests" in shown.stdout
    bundle = tmp_path / "report.tar.gz"
    chain.doctor("--bundle", bundle)
    with tarfile.open(bundle) as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert f"fault-ksem-publisher-{meters.name}" in names
    assert f"fault-rtu-server-{nodes.name}" in names


def _of(records: list[CaptureRecord], *what: str) -> list[CaptureRecord]:
    return [record for record in records if record.what in what]
