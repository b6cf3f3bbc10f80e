"""Decides how to answer a frame of the meter's write connection, and what to record of it [core]."""

from dataclasses import replace

from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import (
    BadFrame,
    BadRequest,
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    ReadReply,
    ReadRequest,
    Reply,
    WriteMultipleReply,
    WriteMultipleRequest,
    WriteSingleReply,
    decode_request,
)
from modbus_codec.tcp import MbapFrame


class WrittenRegisters:
    """What was written so far, by unit, so that it can be read back: the receivers that are known to work allow it."""

    def __init__(self) -> None:
        self._registers: dict[tuple[int, int], int] = {}

    def write(self, unit: int, start: int, registers: tuple[int, ...]) -> None:
        """Keep what was written."""
        for offset, value in enumerate(registers):
            self._registers[unit, start + offset] = value

    def read(self, unit: int, start: int, count: int) -> tuple[int, ...] | None:
        """The registers, None if one of them was never written."""
        values = [self._registers.get((unit, start + offset)) for offset in range(count)]
        return tuple(value for value in values if value is not None) if None not in values else None


def answer(
    frame: MbapFrame, peer: str, t: float, written: WrittenRegisters, *, serial_number: bool = False
) -> tuple[MbapFrame, CaptureRecord]:
    """The answer to a frame and its record. Raises BadFrame where no answer is possible: close the connection."""
    base = CaptureRecord(
        t=t, what="write", peer=peer, unit=frame.unit, function=frame.pdu[0], length=len(frame.encode())
    )
    reply: Reply
    try:
        requested = decode_request(frame.pdu)
    except BadRequest as refused:
        reply = ExceptionReply(refused.function, refused.code)
        return _reply(frame, reply), replace(base, what="refused", code=int(refused.code), why=refused.text)
    if isinstance(requested, ReadRequest):
        held = written.read(frame.unit, requested.start, requested.count)
        base = replace(base, what="read", start=requested.start, count=requested.count)
        if held is None or requested.function != FunctionCode.READ_HOLDING_REGISTERS:
            code = ExceptionCode.ILLEGAL_DATA_ADDRESS
            return _reply(frame, ExceptionReply(requested.function, code)), replace(base, code=int(code))
        return _reply(frame, ReadReply(requested.function, held)), base
    if isinstance(requested, WriteMultipleRequest):
        start, registers = requested.start, requested.registers
        reply = WriteMultipleReply(start, len(registers))
    else:
        start, registers = requested.address, (requested.value,)
        reply = WriteSingleReply(requested.address, requested.value)
    written.write(frame.unit, start, registers)
    record = replace(base, start=start, count=len(registers), values=registers)
    return _reply(frame, reply), record if serial_number else record.without_serial_number()


def broken(peer: str, t: float, error: BadFrame) -> CaptureRecord:
    """The record of a connection that carries something else than Modbus."""
    return CaptureRecord(t=t, what="closed", peer=peer, why=f"no Modbus TCP: {error}")


def _reply(frame: MbapFrame, reply: Reply) -> MbapFrame:
    return MbapFrame(frame.transaction, frame.unit, reply.encode())
