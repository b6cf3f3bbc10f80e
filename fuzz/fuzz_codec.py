"""Any bytes against the codec: `python fuzz/fuzz_codec.py [CORPUS] [-max_total_time=SECONDS]`, or `make fuzz`.

Each check takes bytes, raises nothing but an AssertionError, and holds for all bytes that there are.
"""

import contextlib
import sys

from modbus_codec import (
    BadFrame,
    BadReply,
    BadRequest,
    FunctionCode,
    MbapReader,
    Noise,
    ReadRequest,
    Request,
    RtuFrame,
    RtuFrameReader,
    WriteMultipleRequest,
    WriteSingleRequest,
    decode_reply,
    decode_request,
)

GAP = 0.025
GOOD = RtuFrame(1, ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 28).encode()).encode()
REQUESTED = (
    ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 2),
    ReadRequest(FunctionCode.READ_INPUT_REGISTERS, 0, 125),
    WriteSingleRequest(1, 3),
    WriteMultipleRequest(1, (10, 258)),
)


def check_pdu(data: bytes) -> None:
    """What is decoded encodes to the same bytes."""
    with contextlib.suppress(BadFrame, BadRequest):
        assert decode_request(data).encode() == data
    for request in REQUESTED:
        with contextlib.suppress(BadReply):
            assert decode_reply(data, request).encode() == data


def check_rtu_frame(data: bytes) -> None:
    """What is decoded encodes to the same bytes."""
    with contextlib.suppress(BadFrame):
        assert RtuFrame.decode(data).encode() == data


def check_rtu_reader(data: bytes) -> None:
    """Every byte comes out once and in order, little is held, and after a gap a good request is found.

    The first byte says how many bytes come at a time.
    """
    step, stream = 1 + data[0] if data else 1, data[1:]
    reader = RtuFrameReader(GAP)
    received = []
    for begin in range(0, len(stream), step):
        received += reader.feed(stream[begin : begin + step], 1.0)
        assert reader.pending <= 256
    received += reader.flush(2.0)
    assert reader.pending == 0
    assert b"".join(one.data if isinstance(one, Noise) else one.frame for one in received) == stream
    (found,) = reader.feed(GOOD, 3.0)
    assert isinstance(found, Request)
    assert found.frame == GOOD


def check_mbap_reader(data: bytes) -> None:
    """What is read encodes to the bytes that came, up to where they stop to be Modbus."""
    step, stream = 1 + data[0] if data else 1, data[1:]
    reader = MbapReader()
    read = b""
    try:
        for begin in range(0, len(stream), step):
            read += b"".join(frame.encode() for frame in reader.feed(stream[begin : begin + step]))
            assert reader.pending < 260
    except BadFrame:
        assert reader.pending == 0
    assert stream.startswith(read)


CHECKS = (check_pdu, check_rtu_frame, check_rtu_reader, check_mbap_reader)


def check_all(data: bytes) -> None:
    """Run every check."""
    for check in CHECKS:
        check(data)


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check_all)
    atheris.Fuzz()
