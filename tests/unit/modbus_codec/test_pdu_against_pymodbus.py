"""pymodbus's codec as an independent witness: each side reads what the other one wrote."""

import pymodbus.pdu.register_message as theirs
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from modbus_codec import (
    BadFrame,
    BadRequest,
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    MbapFrame,
    MbapReader,
    ReadReply,
    ReadRequest,
    RtuFrame,
    WriteMultipleReply,
    WriteMultipleRequest,
    WriteSingleReply,
    WriteSingleRequest,
    decode_reply,
    decode_request,
)
from modbus_codec.pdu import Reply, Request

from .frames import ranges, reads, registers, request_frames, units, words

SERVER = DecodePDU(True)
CLIENT = DecodePDU(False)


def _bytes(pdu: ModbusPDU) -> bytes:
    return bytes((pdu.function_code,)) + pdu.encode()


def _read(pdu: bytes, side: DecodePDU) -> ModbusPDU:
    read = side.decode(pdu)
    assert read is not None
    return read


@given(reads, ranges(125))
def test_read_requests_are_pymodbuss(function: FunctionCode, where: tuple[int, int]) -> None:
    start, count = where
    ours = ReadRequest(function, start, count)
    kind = theirs.ReadHoldingRegistersRequest if function == 3 else theirs.ReadInputRegistersRequest
    assert ours.encode() == _bytes(kind(address=start, count=count))
    assert decode_request(ours.encode()) == ours
    read = _read(ours.encode(), SERVER)
    assert (type(read), read.address, read.count) == (kind, start, count)


@given(reads, registers(125))
def test_read_replies_are_pymodbuss(function: FunctionCode, values: tuple[int, ...]) -> None:
    ours = ReadReply(function, values)
    kind = theirs.ReadHoldingRegistersResponse if function == 3 else theirs.ReadInputRegistersResponse
    assert ours.encode() == _bytes(kind(registers=list(values)))
    assert decode_reply(ours.encode(), ReadRequest(function, 0, len(values))) == ours
    read = _read(ours.encode(), CLIENT)
    assert (type(read), tuple(read.registers)) == (kind, values)


@given(words, words)
def test_single_writes_are_pymodbuss(address: int, value: int) -> None:
    ours, answer = WriteSingleRequest(address, value), WriteSingleReply(address, value)
    assert ours.encode() == _bytes(theirs.WriteSingleRegisterRequest(address=address, registers=[value]))
    assert answer.encode() == _bytes(theirs.WriteSingleRegisterResponse(address=address, registers=[value]))
    assert decode_request(ours.encode()) == ours
    assert decode_reply(answer.encode(), ours) == answer
    read = _read(ours.encode(), SERVER)
    assert (read.address, list(read.registers)) == (address, [value])


@given(words, registers(123))
def test_multiple_writes_are_pymodbuss(start: int, values: tuple[int, ...]) -> None:
    start = min(start, 0x10000 - len(values))
    ours, answer = WriteMultipleRequest(start, values), WriteMultipleReply(start, len(values))
    assert ours.encode() == _bytes(theirs.WriteMultipleRegistersRequest(address=start, registers=list(values)))
    assert answer.encode() == _bytes(theirs.WriteMultipleRegistersResponse(address=start, count=len(values)))
    assert decode_request(ours.encode()) == ours
    assert decode_reply(answer.encode(), ours) == answer
    read = _read(ours.encode(), SERVER)
    assert (read.address, tuple(read.registers)) == (start, values)


@given(st.integers(1, 127), st.sampled_from(ExceptionCode))
def test_exceptions_are_pymodbuss(function: int, code: ExceptionCode) -> None:
    ours = ExceptionReply(function, code)
    assert ours.encode() == _bytes(ExceptionResponse(function, code))
    read = _read(ours.encode(), CLIENT)
    assert (read.function_code, read.exception_code) == (function | 0x80, code)


@given(units, st.binary(min_size=1, max_size=253))
def test_rtu_frames_are_pymodbuss(unit: int, pdu: bytes) -> None:
    ours = RtuFrame(unit, pdu)
    framer = FramerRTU(SERVER)
    assert ours.encode() == framer.encode(pdu, unit, 0)
    assert RtuFrame.decode(framer.encode(pdu, unit, 0)) == ours


@given(request_frames())
def test_pymodbus_finds_the_rtu_requests_that_we_build(frame: bytes) -> None:
    used, unit, _, pdu = FramerRTU(SERVER).decode(frame)
    assert (used, unit, pdu) == (len(frame), frame[0], frame[1:-2])


@given(words, units, st.binary(min_size=1, max_size=253))
def test_tcp_frames_are_pymodbuss(transaction: int, unit: int, pdu: bytes) -> None:
    ours = MbapFrame(transaction, unit, pdu)
    framer = FramerSocket(SERVER)
    assert ours.encode() == framer.encode(pdu, unit, transaction)
    assert MbapReader().feed(framer.encode(pdu, unit, transaction)) == [ours]
    if len(pdu) > 1:  # with one byte theirs waits for a second one
        assert framer.decode(ours.encode()) == (len(pdu) + 7, unit, transaction, pdu)


@given(st.binary(min_size=1, max_size=253))
def test_what_we_take_for_a_request_pymodbus_reads_alike(pdu: bytes) -> None:
    try:
        ours: Request | Reply = decode_request(pdu)
    except (BadFrame, BadRequest):
        return
    assert _bytes(_read(pdu, SERVER)) == ours.encode()
