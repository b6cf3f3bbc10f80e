from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modbus_codec import (
    BadFrame,
    BadReply,
    BadRequest,
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    ModbusCodecError,
    ReadReply,
    ReadRequest,
    WriteMultipleReply,
    WriteMultipleRequest,
    WriteSingleReply,
    WriteSingleRequest,
    decode_reply,
    decode_request,
)
from modbus_codec.pdu import Reply, Request

HOLDING = FunctionCode.READ_HOLDING_REGISTERS
INPUT = FunctionCode.READ_INPUT_REGISTERS

# Application protocol specification V1.1b3: request, its bytes, reply, its bytes
SPOKEN: list[tuple[Request, str, Reply, str]] = [
    # 6.3: function, start, count - function, byte count, registers
    (ReadRequest(HOLDING, 107, 3), "03 006b 0003", ReadReply(HOLDING, (0x22B, 0, 100)), "03 06 022b 0000 0064"),
    # 6.4: function, start, count - function, byte count, register
    (ReadRequest(INPUT, 8, 1), "04 0008 0001", ReadReply(INPUT, (10,)), "04 02 000a"),
    # 6.6: function, address, value - the same
    (WriteSingleRequest(1, 3), "06 0001 0003", WriteSingleReply(1, 3), "06 0001 0003"),
    # 6.12: function, start, count, byte count, registers - function, start, count
    (WriteMultipleRequest(1, (10, 258)), "10 0001 0002 04 000a 0102", WriteMultipleReply(1, 2), "10 0001 0002"),
    # 7: function refused, why
    (ReadRequest(HOLDING, 1185, 1), "03 04a1 0001", ExceptionReply(3, ExceptionCode.ILLEGAL_DATA_ADDRESS), "83 02"),
    # a range that ends with the last address
    (ReadRequest(HOLDING, 65411, 125), "03 ff83 007d", ReadReply(HOLDING, (7,) * 125), "03 fa" + 125 * "0007"),
]


@pytest.mark.parametrize(("request_", "requested", "reply", "answered"), SPOKEN)
def test_requests_and_replies_are_the_specifications_bytes(
    request_: Request, requested: str, reply: Reply, answered: str
) -> None:
    assert request_.encode() == bytes.fromhex(requested)
    assert decode_request(bytes.fromhex(requested)) == request_
    assert reply.encode() == bytes.fromhex(answered)
    assert decode_reply(bytes.fromhex(answered), request_) == reply


@pytest.mark.parametrize(
    ("pdu", "code", "written"),
    [
        ("03 0000 0000", 3, "count 0: 1 to 125 is allowed"),
        ("03 0000 007e", 3, "count 126: 1 to 125 is allowed"),
        ("04 0000 ffff", 3, "count 65535"),
        ("03 0000 00", 3, "4 bytes where function 3 has 5"),
        ("03 0000 0001 00", 3, "6 bytes where function 3 has 5"),
        ("03", 3, "1 bytes"),
        ("03 ffff 0002", 2, "2 registers from 65535 on pass the last address"),
        ("03 ffff 0000", 3, "count 0"),  # the value is checked before the address, as in the specification's charts
        ("06 0000", 3, "3 bytes where function 6 has 5"),
        ("06 0000 0000 00", 3, "6 bytes where function 6 has 5"),
        ("10 0000 0001", 3, "5 bytes where function 16"),
        ("10 0000 0000 00", 3, "count 0: 1 to 123 is allowed"),
        ("10 0000 0002 02 0000", 3, "count 2, byte count 2 and 2 bytes disagree"),
        ("10 0000 0001 02 000000", 3, "count 1, byte count 2 and 3 bytes disagree"),
        ("10 0000 0001 02 00", 3, "count 1, byte count 2 and 1 bytes disagree"),
        ("10 0000 007c f8" + 124 * "0000", 3, "count 124: 1 to 123 is allowed"),
        ("10 ffff 0002 04 00000000", 2, "2 registers from 65535"),
        ("01 0000 0001", 1, "function 1 is not served"),
        ("2b 0e 01 00", 1, "function 43 is not served"),
        ("7f", 1, "function 127 is not served"),
    ],
)
def test_a_request_that_can_not_be_served_says_which_exception_is_due(pdu: str, code: int, written: str) -> None:
    with pytest.raises(BadRequest, match=written) as caught:
        decode_request(bytes.fromhex(pdu))
    assert caught.value.code == code
    assert caught.value.function == bytes.fromhex(pdu)[0]
    assert caught.value.text == str(caught.value)
    assert ExceptionReply(caught.value.function, caught.value.code).encode() == bytes(
        (0x80 | bytes.fromhex(pdu)[0], code)
    )


@pytest.mark.parametrize("pdu", ["", "00", "00 0000 0001", "80", "83 02", "ff"])
def test_what_asks_for_no_function_can_not_be_answered(pdu: str) -> None:
    with pytest.raises(BadFrame):
        decode_request(bytes.fromhex(pdu))


@pytest.mark.parametrize(
    ("request_", "answered", "written"),
    [
        (ReadRequest(HOLDING, 0, 2), "", "answered nothing"),
        (ReadRequest(HOLDING, 0, 2), "03", "requested 2 registers, answered no byte count"),
        (ReadRequest(HOLDING, 0, 2), "03 02 0001", "requested 2 registers, answered byte count 2 and 2 bytes"),
        (ReadRequest(HOLDING, 0, 2), "03 04 0001", "answered byte count 4 and 2 bytes"),
        (ReadRequest(HOLDING, 0, 2), "03 02 0001 0002", "answered byte count 2 and 4 bytes"),
        (ReadRequest(HOLDING, 0, 2), "03 06 0001 0002 0003", "answered byte count 6 and 6 bytes"),
        (ReadRequest(HOLDING, 0, 2), "03 04 0001 0002 00", "answered byte count 4 and 5 bytes"),
        (ReadRequest(HOLDING, 0, 2), "04 04 0001 0002", "requested with function 3, answered 04"),
        (ReadRequest(HOLDING, 0, 2), "84 02", "requested with function 3, answered 84"),
        (ReadRequest(HOLDING, 0, 2), "80 01", "requested with function 3, answered 80"),
        (ReadRequest(HOLDING, 0, 2), "83", "an exception of 1 bytes"),
        (ReadRequest(HOLDING, 0, 2), "83 02 00", "an exception of 3 bytes"),
        (ReadRequest(HOLDING, 0, 2), "83 00", "exception code 0"),
        (ReadRequest(HOLDING, 0, 2), "83 0c", "exception code 12"),
        (WriteSingleRequest(1, 3), "06 0001 0004", "answered 06 00 01 00 04 where 06 00 01 00 03 was due"),
        (WriteSingleRequest(1, 3), "06 0001 0003 00", "was due"),
        (WriteMultipleRequest(1, (10, 258)), "10 0001 0001", "where 10 00 01 00 02 was due"),
        (WriteMultipleRequest(1, (10, 258)), "10 0002 0002", "where 10 00 01 00 02 was due"),
    ],
)
def test_a_reply_to_anything_else_is_refused(request_: Request, answered: str, written: str) -> None:
    with pytest.raises(BadReply, match=written):
        decode_reply(bytes.fromhex(answered), request_)


@pytest.mark.parametrize("request_", [requested for requested, _, _, _ in SPOKEN])
@pytest.mark.parametrize("code", ExceptionCode)
def test_every_exception_is_read_as_the_answer_to_every_request(request_: Request, code: ExceptionCode) -> None:
    reply = ExceptionReply(request_.function, code)
    assert decode_reply(reply.encode(), request_) == reply


@pytest.mark.parametrize(
    ("build", "arguments", "written"),
    [
        (ReadRequest, (FunctionCode.WRITE_SINGLE_REGISTER, 0, 1), "3 or 4"),
        (ReadRequest, (HOLDING, 0, 0), "count 0"),
        (ReadRequest, (HOLDING, 0, 126), "count 126"),
        (ReadRequest, (HOLDING, -1, 1), "start -1"),
        (ReadRequest, (HOLDING, 65535, 2), "start 65535 with count 2"),
        (WriteSingleRequest, (65536, 0), "65536 is no register value"),
        (WriteSingleRequest, (0, -1), "-1 is no register value"),
        (WriteSingleReply, (0, 65536), "65536 is no register value"),
        (WriteMultipleRequest, (0, ()), "count 0"),
        (WriteMultipleRequest, (0, (0,) * 124), "count 124"),
        (WriteMultipleRequest, (65535, (0, 0)), "start 65535"),
        (WriteMultipleRequest, (0, (1, 65536)), "65536 is no register value"),
        (WriteMultipleReply, (0, 124), "count 124"),
        (ReadReply, (FunctionCode.WRITE_MULTIPLE_REGISTERS, (0,)), "3 or 4"),
        (ReadReply, (HOLDING, ()), "count 0"),
        (ReadReply, (HOLDING, (0,) * 126), "count 126"),
        (ReadReply, (HOLDING, (1, None)), "None is no register value"),
        (ReadReply, (HOLDING, (1.0,)), "1.0 is no register value"),
        (ExceptionReply, (0, ExceptionCode.ILLEGAL_FUNCTION), "function 0"),
        (ExceptionReply, (128, ExceptionCode.ILLEGAL_FUNCTION), "function 128"),
        (ExceptionReply, (3, 0), "0 is not a valid ExceptionCode"),
    ],
)
def test_a_pdu_that_breaks_a_limit_can_not_be_built(build: Any, arguments: tuple[Any, ...], written: str) -> None:
    with pytest.raises(ValueError, match=written):
        build(*arguments)


@given(st.binary(max_size=260))
def test_any_bytes_are_a_request_that_encodes_back_or_a_codec_error(pdu: bytes) -> None:
    try:
        request = decode_request(pdu)
    except ModbusCodecError:
        return
    assert request.encode() == pdu


@given(st.binary(max_size=260), st.sampled_from([requested for requested, _, _, _ in SPOKEN]))
def test_any_bytes_are_a_reply_that_encodes_back_or_a_codec_error(pdu: bytes, request_: Request) -> None:
    try:
        reply = decode_reply(pdu, request_)
    except BadReply:
        return
    assert reply.encode() == pdu
