"""Raw frames on the line, sent from the inverter's end, and what the server answered to each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ksem_simulators.line.direction import character_time
from modbus_codec.crc import append_crc
from tests.chain import RECOVERY, Chain, FaultRow

from .log_lines import Lines, quiet

FRAME_GAP_MS: Final = 1.75
"""t3.5 above 19200 baud."""
LATE_MS: Final = 130.0
"""An answer that begins after this may reach an inverter that asks again every 0.16 s as the next one's."""

CHARACTER_MS: Final = 1000 * character_time(38400)
HELD_UP_MS: Final = 1.0
TRIES: Final = 5
FEW: Final = 4


def frame(text: str) -> bytes:
    """A frame from unit, function and body in hex: `01 03 00 00 00 1c`."""
    return append_crc(bytes.fromhex(text))


READ_TOTALS: Final = frame("01 03 00 00 00 1c")
READ_PHASES: Final = frame("01 03 00 28 00 6a")


@dataclass(frozen=True)
class Answered:
    """A burst of the server's."""

    frame: bytes
    after_ms: float
    """Silence between the end of what the client sent before, and its begin."""
    start_ms: float
    """Since the first byte that the client sent."""


def send(chain: Chain, *frames: bytes, gap_ms: float = 0.0, listen_ms: float = 100.0) -> list[Answered]:
    """Send frames, each after so much silence, listen, return the answers: none earlier than t3.5, none late.

    A few frames that the host held up on their way are sent again: the server saw other silences than were meant.
    """
    meant_ms = sum(map(len, frames)) * CHARACTER_MS + gap_ms * (len(frames) - 1)
    for _ in range(TRIES if len(frames) <= FEW else 1):
        reported = chain.inverter.raw(*(one.hex() for one in frames), gap_ms=gap_ms, listen_ms=listen_ms)
        sent_ms = max((one["end_ms"] for one in reported["asked"]), default=0.0)
        if reported["held_up_ms"] < HELD_UP_MS and sent_ms < meant_ms + HELD_UP_MS * len(frames) / 2:
            break
    answers = [Answered(bytes.fromhex(one["hex"]), one["after_ms"], one["start_ms"]) for one in reported["heard"]]
    for answer in answers:
        assert FRAME_GAP_MS <= answer.after_ms <= LATE_MS, f"{answer} {reported['asked']}"
    return answers


def is_data(answer: bytes, count: int, unit: int = 1) -> bool:
    """Tell whether an answer is well-formed data of so many registers."""
    return (
        answer == append_crc(answer[:-2]) and answer[:3] == bytes((unit, 3, 2 * count)) and len(answer) == 5 + 2 * count
    )


@contextmanager
def line_fault(
    chain: Chain, name: str, *, family: str = "line", recovery: float | None = RECOVERY, lines: int = 0
) -> Iterator[tuple[FaultRow, Lines]]:
    """A fault as in Chain.fault. Besides: no answer begins too early or reaches a later request, and the log is quiet.

    `lines`: what the RTU server may log about it at most, from begin to recovery.
    """
    with quiet(chain.server, at_most=lines) as (written,):
        with chain.fault(name, family, recovery) as row:
            yield row, written
        status = chain.inverter.status()
    assert status["early"] == 0, f"{status['early']} answers began before the silence of a frame was over"
    assert status["late_frames"] == 0, f"{status['late_frames']} answers came after the inverter had stopped waiting"
