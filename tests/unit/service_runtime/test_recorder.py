"""What goes over a service's wires: noted, kept for some minutes, written to a file after a fault or on request."""

import logging
import random
import struct
import threading
from pathlib import Path

import pytest

from ksem_contract.capture_file import read_capture
from modbus_codec.crc import append_crc
from service_runtime.common_settings import RecorderSettings
from service_runtime.recorder.decode import MeterDecoder, NodeDecoder
from service_runtime.recorder.flight_file import MOST_FILES
from service_runtime.recorder.recorder import TICK, Recorder, RecordingSource
from service_runtime.recorder.wire_events import MOST_WAITING, OFF, PAUSE, EventQueue, KeptEvents, WireEvent, unpacked

ABOUT = {"peer": "meter:502", "unit": "1"}


class _Bench:
    """A recorder and its clock."""

    def __init__(self, directory: Path | None = None) -> None:
        self.now = 1000.0
        self.recorder = Recorder(
            RecordingSource(
                name="main",
                decoder=lambda: MeterDecoder("main", ABOUT, serial_number=True),
                held=lambda: [
                    WireEvent(self.now, "held", "live", b"\0\0\0\7"),
                    WireEvent(self.now, "session", "", b"5f1c9a2e"),
                ],
            ),
            RecorderSettings(directory=directory),
            logging.getLogger("test"),
        )

    def run(self, trouble: str, seconds: float) -> None:
        """Time passes; a file that is begun is finished."""
        for _ in range(int(seconds / TICK)):
            self.now += TICK
            self.recorder.tick(self.now, trouble)
            for thread in threading.enumerate():
                if thread.name == "flight file":
                    thread.join()

    def is_on(self) -> bool:
        return self.recorder.event_queue.on


def test_without_a_folder_nothing_is_noted() -> None:
    bench = _Bench()
    bench.run("", 1.0)
    assert not bench.is_on()
    assert not OFF.on


@pytest.mark.promise(10)
def test_a_flood_between_two_ticks_is_bounded_and_counted() -> None:
    event_queue = EventQueue()
    for _ in range(1000):
        event_queue.add(1.0, "in", "rs485", bytes(1024))
    taken = event_queue.take()
    assert sum(len(event.data) for event in taken) <= MOST_WAITING
    assert len(taken) + event_queue.dropped == 1000


@pytest.mark.promise(10)
def test_kept_events_are_the_newest_in_bounded_memory() -> None:
    kept = KeptEvents(20_000)
    for number in range(5000):
        kept.keep([WireEvent(float(number), "in", "rs485", random.randbytes(50))])
    chunks = kept.copy()
    assert sum(map(len, chunks)) <= 20_000 + 10_000
    times = [event.at for event in unpacked(chunks)]
    assert times == [float(number) for number in range(5000 - len(times), 5000)]
    assert len(times) > 200


def test_a_plenticores_and_a_meters_last_minutes_fit() -> None:
    kept, minutes = KeptEvents(), 3.0
    live = bytearray(212)
    for number in range(int(minutes * 60 * 12.5)):
        at = number / 12.5
        if not number % 3:
            live[:40] = random.randbytes(40)
        kept.keep([WireEvent(at, "in", "rs485", bytes(8)), WireEvent(at, "out", "rs485", bytes(live))])
    times = [event.at for event in unpacked(kept.copy())]
    assert times[0] == 0.0
    assert times[-1] > 60 * minutes - 1


class TestAfterAFault:
    def test_a_file_is_written_some_seconds_later_and_once(self, tmp_path: Path) -> None:
        bench = _Bench(tmp_path)
        bench.run("", 3.0)
        bench.recorder.event_queue.add(bench.now, "poll", "", struct.pack(">HH", 8228, 2))
        bench.recorder.event_queue.add(bench.now, "answered", "", struct.pack(">HH", 7, 8))
        bench.run("down: no live data", 4.0)
        assert not list(tmp_path.iterdir())
        bench.run("down: no live data", 20.0)
        bench.run("", 5.0)
        bench.run("down: again", 20.0)
        (file,) = tmp_path.iterdir()
        with file.open() as lines:
            header, records = read_capture(lines)
            reported = list(records)
        assert (header.kind, header.serial_number) == ("bridge", False)
        assert header.source == "main: down: no live data"
        assert [(one.what, one.why) for one in reported if one.what == "state"] == [
            ("state", "ok"),
            ("state", "down: no live data"),
        ]
        (answer,) = [one for one in reported if one.what == "poll-reply"]
        assert answer.values == (None, None), "no serial number, whatever the decoder leaves in"

    def test_the_next_fault_is_worth_a_file_after_a_pause_and_the_oldest_makes_room(self, tmp_path: Path) -> None:
        for number in range(MOST_FILES):
            (tmp_path / f"main-20200101-00000{number}.jsonl").write_text("")
        (tmp_path / "main-2-20200101-000000.jsonl").write_text("")
        bench = _Bench(tmp_path)
        bench.run("", 1.0)
        bench.run("degraded: old", 10.0)
        bench.run("", PAUSE)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) == MOST_FILES + 1
        assert "main-20200101-000000.jsonl" not in names
        assert "main-2-20200101-000000.jsonl" in names

    def test_what_was_left_half_written_is_gone_after_the_next_start(self, tmp_path: Path) -> None:
        for name in ("main-20200101-000000.jsonl.new", "main-2-20200101-000000.jsonl.new", "main-notes.jsonl.new"):
            (tmp_path / name).write_text("")
        _Bench(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "main-2-20200101-000000.jsonl.new",
            "main-notes.jsonl.new",
        ]

    def test_a_service_that_was_never_well_writes_nothing(self, tmp_path: Path) -> None:
        bench = _Bench(tmp_path)
        bench.run("down: no link to the broker", 60.0)
        assert not list(tmp_path.iterdir())

    def test_a_file_is_written_on_request_with_what_is_held_and_the_session(self, tmp_path: Path) -> None:
        bench = _Bench(tmp_path)
        bench.recorder.event_queue.add(bench.now, "write", "meter:1", struct.pack(">BBHH", 16, 1, 0, 9))
        bench.run("", 1.0)
        bench.recorder.request_file()
        bench.run("", 0.25)
        (file,) = tmp_path.iterdir()
        with file.open() as lines:
            header, records = read_capture(lines)
            reported = list(records)
        assert header.source == "main: on request"
        assert header.clock == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert [one.what for one in reported] == ["write", "state", "held", "session"]
        assert reported[-1].session == "5f1c9a2e"
        bench.run("", 5.0)
        assert len(list(tmp_path.iterdir())) == 1, "once a request"

    def test_a_request_without_a_folder_is_answered_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = _Bench()
        bench.recorder.request_file()
        bench.run("", 1.0)
        assert "[recorder] has no folder" in caplog.text

    def test_a_mistake_of_the_recorder_takes_nothing_down(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = _Bench(tmp_path)
        monkeypatch.setattr(KeptEvents, "keep", lambda *_: 1 / 0)
        bench.run("", 1.0)
        assert not bench.is_on()

    def test_without_a_folder_nothing_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not _Bench().is_on()
        assert not _Bench(tmp_path / "missing").is_on()
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
        assert _Bench().is_on(), "the one that systemd gives"


def test_the_meters_side_becomes_writes_and_polls() -> None:
    decoder = MeterDecoder("main", {"peer": "meter:502", "unit": "71"}, serial_number=False)
    found = decoder.records(
        [
            WireEvent(1.0, "answered", "", b"\0\1"),
            WireEvent(1.1, "connected", "meter:4711", b""),
            WireEvent(1.2, "write", "meter:4711", struct.pack(">BBH2H", 16, 1, 24, 7, 8)),
            WireEvent(2.0, "poll", "", struct.pack(">HH", 8226, 4)),
            WireEvent(2.01, "answered", "", struct.pack(">4H", 1, 2, 3, 4)),
            WireEvent(3.0, "poll", "", struct.pack(">HH", 9000, 1)),
            WireEvent(3.5, "refused", "", b"\2"),
            WireEvent(4.0, "poll", "", struct.pack(">HH", 0, 28)),
            WireEvent(6.0, "failed", "", b"no answer in 2 s"),
            WireEvent(6.5, "failed", "", b"no connection"),
            WireEvent(7.0, "later-word", "", b""),
        ]
    )
    assert [(one.what, one.t, one.where) for one in found] == [
        ("connected", 1.1, "main"),
        ("write", 1.2, "main"),
        ("poll", 2.0, "main"),
        ("poll-reply", 2.01, "main"),
        ("poll", 3.0, "main"),
        ("poll-exception", 3.5, "main"),
        ("poll", 4.0, "main"),
        ("poll-failed", 6.0, "main"),
        ("poll-failed", 6.5, "main"),
    ]
    write, reply, refusal = found[1], found[3], found[5]
    assert (write.function, write.unit, write.start, write.values, write.length) == (16, 1, 24, (7, 8), 17)
    assert (reply.start, reply.count, reply.unit) == (8226, 4, 71)
    assert reply.values == (1, 2, None, None), "the serial number begins at 8228"
    assert (refusal.code, refusal.delay_ms) == (2, 500.0)
    assert (found[7].start, found[7].why) == (0, "no answer in 2 s")
    assert (found[8].start, found[8].why) == (None, "no connection")


def test_the_inverters_side_becomes_requests_and_replies_with_their_times() -> None:
    decoder = NodeDecoder("attic", {"rs485": "286.46"}, serial_number=False)
    request = append_crc(bytes.fromhex("010300000002"))
    reply = append_crc(bytes.fromhex("01030400070008"))
    found = decoder.records(
        [
            WireEvent(10.0, "in", "rs485", request),
            WireEvent(10.00175, "out", "rs485", reply),
            WireEvent(10.5, "in", "rs485", b"\xff\xfe\xff"),
            WireEvent(11.0, "in", "rs485", request),
            WireEvent(11.002, "out", "rs485", append_crc(b"\1\x83\4")),
            WireEvent(12.0, "forget", "rs485", b"stood still"),
            WireEvent(13.0, "note", "state", b"down: no link"),
        ]
    )
    assert [one.what for one in found] == [
        "request",
        "reply",
        "noise",
        "request",
        "exception",
        "stall",
        "state",
    ]
    assert found[0].where == "attic/rs485"
    assert found[6].where == "attic"
    assert found[1].values == (7, 8)
    assert found[1].delay_ms is not None
    assert abs(found[1].delay_ms - 1.75) < 0.01
    assert abs(found[1].t - (10.00175 + 9 * 286.46e-6)) < 1e-6
    assert (found[4].code, found[4].start) == (4, 0)
