import pytest

from airbridge.capture.push_records import WrittenRegisters, answer
from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import BadFrame, FunctionCode, ReadRequest, WriteMultipleRequest, WriteSingleRequest
from modbus_codec.tcp import MbapFrame

_PEER = "192.0.2.7:40001"


def _answer(pdu: bytes, written: WrittenRegisters | None = None, *, unit: int = 1) -> tuple[bytes, CaptureRecord]:
    reply, record = answer(MbapFrame(77, unit, pdu), _PEER, 1.5, written or WrittenRegisters())
    assert (reply.transaction, reply.unit) == (77, unit)
    return reply.pdu, record


@pytest.mark.parametrize("unit", [0, 1, 71, 255])
def test_a_write_is_acknowledged_and_recorded_for_any_unit(unit: int) -> None:
    pdu, record = _answer(WriteMultipleRequest(40, (1, 2, 3)).encode(), unit=unit)
    assert pdu == bytes.fromhex("10 00 28 00 03")
    assert record == CaptureRecord(
        t=1.5, what="write", peer=_PEER, unit=unit, function=16, start=40, count=3, values=(1, 2, 3), length=19
    )


def test_a_single_write_is_acknowledged_and_recorded() -> None:
    pdu, record = _answer(WriteSingleRequest(9000, 5).encode())
    assert pdu == bytes.fromhex("06 23 28 00 05")
    assert (record.what, record.function, record.start, record.count, record.values) == ("write", 6, 9000, 1, (5,))


def test_what_was_written_can_be_read_back_from_the_same_unit() -> None:
    written = WrittenRegisters()
    _answer(WriteMultipleRequest(40, (1, 2, 3)).encode(), written)
    read = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 41, 2).encode()
    pdu, record = _answer(read, written)
    assert pdu == bytes.fromhex("03 04 0002 0003")
    assert (record.what, record.start, record.count, record.code) == ("read", 41, 2, None)
    assert _answer(read, written, unit=2)[0] == bytes.fromhex("83 02")


def test_a_read_of_registers_never_written_gets_exception_2() -> None:
    pdu, record = _answer(ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 2).encode())
    assert pdu == bytes.fromhex("83 02")
    assert record.code == 2


def test_another_function_is_refused_and_recorded() -> None:
    pdu, record = _answer(bytes.fromhex("05 0000 ff00"))
    assert pdu == bytes.fromhex("85 01")
    assert (record.what, record.function, record.code) == ("refused", 5, 1)


def test_a_serial_number_is_left_out() -> None:
    _, record = _answer(WriteMultipleRequest(8227, (1, 2, 3)).encode())
    assert record.values == (1, None, None)


def test_a_frame_without_a_function_that_can_be_answered_closes_the_connection() -> None:
    with pytest.raises(BadFrame):
        _answer(b"\x90\x01")
