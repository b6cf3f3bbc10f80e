"""Each simulated end by itself says a recording again: what was recorded, when it was."""

from pathlib import Path
from statistics import median

import pytest

from ksem_contract.capture_file import CaptureHeader, CaptureRecord
from ksem_simulators.process import CommandRefused
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle, SimulatorFailed
from service_runtime.clock import boottime
from tests.bridge.simulator_peers import RawClient, Receiver, RtuResponder

USUALLY, AT_MOST = 0.02, 0.3
"""Seconds by which replay may be off: a host that stands still for a moment delays one of the events."""


def assert_on_time(moments: list[float], recorded: list[float]) -> None:
    off = [abs(moment - at) for moment, at in zip(moments, recorded, strict=True)]
    assert median(off) < USUALLY, off
    assert max(off) < AT_MOST, off


def a_recording(path: Path, *records: CaptureRecord, kind: str = "bridge") -> Path:
    header = CaptureHeader(kind=kind, tool="test", started="", zero=0.0)
    path.write_text("\n".join([header.encode(), *(one.encode() for one in records), ""]))
    return path


def a_write(t: float, start: int, *values: int, function: int = 16, peer: str = "meter:1") -> CaptureRecord:
    return CaptureRecord(
        t=t, what="write", peer=peer, function=function, unit=71, start=start, count=len(values), values=values
    )


def test_the_meter_writes_and_answers_what_was_recorded_when_it_was(tmp_path: Path) -> None:
    wanted = [
        a_write(0.10, 0, 1, 2),
        a_write(0.15, 40, 3, function=6, peer="meter:2"),
        a_write(0.60, 0, 5, 6),
        a_write(0.90, 0, 7, 8),
    ]
    reported = CaptureRecord(t=0.3, what="poll-reply", function=3, unit=1, start=8244, count=1, values=(200,))
    file = a_recording(tmp_path / "a.jsonl", *wanted[:2], reported, *wanted[2:])
    receiver = Receiver()
    options = ("--replay", str(file), "--replay-waits")
    with KsemHandle(tmp_path, push=receiver.address, options=options) as ksem, RawClient(ksem.port) as client:
        assert client.read(0, 2) == [1, 2], "before it begins: as it begins"
        assert client.read(8244, 1) == [200]
        assert client.ask(bytes.fromhex("03 00 02 00 01"))[7:] == b"\x83\x02", "what was not recorded is not made up"
        at = boottime() + 0.2
        ksem.command("replay", at=at)
        receiver.wait_for(lambda writes: len(writes) == 3)
        assert client.read(0, 2) == [5, 6], "as of now"
        writes = receiver.wait_for(lambda writes: len(writes) == 4)
        assert client.read(0, 2) == [7, 8]
        with pytest.raises(CommandRefused, match="begun already"):
            ksem.command("replay", at=at)
    receiver.close()
    assert [(one.unit, one.range.start, one.registers) for one in writes] == [
        (71, one.start, one.values) for one in wanted
    ]
    assert_on_time([one.at - at for one in writes], [recorded.t for recorded in wanted])
    assert len({one.peer for one in writes}) == 2, "two connections, as recorded"


def test_the_inverter_asks_what_was_recorded_when_it_was(tmp_path: Path) -> None:
    def request(t: float, start: int, count: int) -> CaptureRecord:
        return CaptureRecord(t=t, what="request", function=3, unit=1, start=start, count=count, length=8)

    wanted = [request(0.2, 8244, 1), request(0.5, 0, 28), request(0.56, 40, 20)]
    file = a_recording(tmp_path / "bus.jsonl", *wanted, kind="bus")
    with LineHandle(tmp_path) as line:
        received: list[tuple[float, int, int]] = []

        def reply(start: int, count: int) -> list[int]:
            received.append((boottime(), start, count))
            return list(range(count))

        responder = RtuResponder(line.server, reply)
        options = ("--replay", str(file), "--replay-waits")
        with PlenticoreHandle(tmp_path, line=line, truth=None, options=options) as inverter:
            at = boottime() + 0.3
            inverter.command("replay", at=at)
            inverter.wait_for("data", 3)
        responder.close()
    assert [(start, count) for _, start, count in received] == [(one.start, one.count) for one in wanted]
    assert_on_time([moment - at for moment, _, _ in received], [recorded.t for recorded in wanted])


@pytest.mark.parametrize("text", ["", "hello\n", '{"capture":"ksem-airbridge","v":1,"kind":"bus","zero":0}\n'])
def test_a_file_with_nothing_to_say_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "none.jsonl"
    file.write_text(text)
    with pytest.raises(SimulatorFailed, match=r"none\.jsonl"):
        KsemHandle(tmp_path, options=("--replay", str(file))).start()
