"""Checks a sent answer against the blocks it was made of, by other code than the code that made it [core]."""

from collections.abc import Callable
from typing import Final

from ksem_contract.block_message import BlockMessage
from modbus_codec.pdu import BadReply, FunctionCode, ReadReply, ReadRequest, decode_reply
from rtu_server.reply_cache import Answer, Registers, encode

AGE_SLACK: Final = 0.1
"""Seconds that an answer may seem older than its blocks' limit: a block's moment is rounded, and may lie in between."""
_POLYNOMIAL: Final = 0xA001


def why_wrong(
    request: bytes, answer: Answer, at: float, limit_of: Callable[[BlockMessage], float] | None = None
) -> str:
    """Return what is wrong with an answer with data, sent at `at` to `request`; empty where it is right.

    `limit_of`: how old a block may be, in seconds. The CRC is divided bit by bit, the registers are decoded as a client
    would, and compared one by one with those of the messages that the answer names as its source.
    """
    frame, (start, count) = answer.frame, _range_of(request)
    if frame[:1] != request[:1] or _crc(frame) != 0:
        return f"unit {frame[0]} or the CRC is wrong"
    try:
        reply = decode_reply(frame[1:-2], ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, start, count))
    except BadReply as bad:
        return str(bad)
    if not isinstance(reply, ReadReply):
        return "it holds no registers"
    for address, word in enumerate(reply.registers, start):
        if not any(_holds(message, address, word) for message in answer.made_of):
            return f"register {address} is {word}, which {_names(answer)} does not hold"
    oldest = max((limit_of(message) for message in answer.made_of), default=0.0) if limit_of else None
    if oldest is not None and at - answer.measured > oldest + AGE_SLACK:
        return f"it was {at - answer.measured:.3f} s old, {oldest:g} s are allowed"
    return ""


def why_unfit() -> str:
    """Return what is wrong with the code that makes answers, by an answer whose bytes are known; empty: nothing."""
    registers = Registers(tuple(range(0xFFFA, 0x10000)), 0.0, 0.0)
    made = encode(1, registers).answer.frame
    due = bytes.fromhex("01 03 0c ff fa ff fb ff fc ff fd ff fe ff ff fe fd")
    return "" if made == due else f"the answer {made.hex(' ')} was made where {due.hex(' ')} is right"


def _range_of(request: bytes) -> tuple[int, int]:
    return int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")


def _holds(message: BlockMessage, address: int, word: int) -> bool:
    place = address - message.start
    return 0 <= place < len(message.registers) and message.registers[place] == word


def _names(answer: Answer) -> str:
    """The blocks and cycles that an answer names as its source."""
    return ", ".join(f"{one.block} {one.seq} of session {one.session}" for one in answer.made_of) or "no block"


def _crc(frame: bytes) -> int:
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc
