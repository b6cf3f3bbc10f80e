"""Notes the publisher's traffic in its event queue, for the flight file."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ksem_contract.registers import RegisterRange
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.poll_client import PollError, RefusedError
from ksem_publisher.push_connection import PushConnection, PushedWrite
from ksem_publisher.settings import MeterSettings
from service_runtime.clock import boottime
from service_runtime.recorder.recorder import RecordingSource
from service_runtime.recorder.wire_events import (
    ANSWERED,
    FAILED,
    HELD,
    POLL,
    REFUSED,
    SESSION,
    WRITE,
    EventQueue,
    WireEvent,
)

if TYPE_CHECKING:
    from service_runtime.recorder.flight_file import Decoder


def meter_source(meter: MeterSettings, where: str, held: Callable[[], Iterable[WireEvent]]) -> RecordingSource:
    """The recording source of one meter; it is polled at `where`."""
    about = {"peer": where, "unit": str(meter.unit)}

    def decoder() -> "Decoder":
        from service_runtime.recorder.decode import MeterDecoder  # noqa: PLC0415  (needed after a fault)

        return MeterDecoder(meter.id, about, serial_number=False)

    return RecordingSource(name=meter.id, decoder=decoder, held=held)


def note_connection(event_queue: EventQueue, what: str, connection: PushConnection) -> None:
    """The meter has connected to push, or disconnected."""
    event_queue.add(boottime(), what, connection.peer_name, b"")


def note_writes(event_queue: EventQueue, connection: PushConnection, writes: Sequence[PushedWrite]) -> None:
    """The meter has written."""
    peer = connection.peer_name
    for one in writes:
        head = struct.pack(">BBH", one.function, one.unit, one.start)
        event_queue.add(one.at, WRITE, peer, head + _packed(one.registers))


def note_poll(event_queue: EventQueue, at: float, wanted: RegisterRange) -> None:
    """A read was sent to the meter."""
    event_queue.add(at, POLL, "", struct.pack(">HH", wanted.start, wanted.count))


def note_answer(event_queue: EventQueue, at: float, registers: Sequence[int]) -> None:
    """The meter has answered."""
    event_queue.add(at, ANSWERED, "", _packed(registers))


def note_rejection(event_queue: EventQueue, at: float, error: RefusedError) -> None:
    """The meter has refused."""
    event_queue.add(at, REFUSED, "", bytes((error.code & 0xFF,)))


def note_failure(event_queue: EventQueue, at: float, error: PollError) -> None:
    """The meter has not answered."""
    event_queue.add(at, FAILED, "", str(error).encode()[:200])


def held_now(blocks: BlockPublisher, session: str, now: float) -> Iterator[WireEvent]:
    """This publisher's session, and all registers of the meter, in runs without a register that was never measured."""
    yield WireEvent(now, SESSION, "", session.encode())
    for name in blocks.names():
        start, registers = blocks.held(name)
        run: list[int] = []
        for offset, word in enumerate((*registers, None)):
            if word is not None:
                run.append(word)
            elif run:
                first = start + offset - len(run)
                yield WireEvent(now, HELD, name, first.to_bytes(2) + _packed(run))
                run = []


def _packed(registers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)
