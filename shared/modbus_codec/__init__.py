"""Modbus for servers, as bytes and meaning: no IO, no clock. Registers only; RTU and TCP [core]."""

from modbus_codec.crc import append_crc, crc16, has_valid_crc
from modbus_codec.pdu import (
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
from modbus_codec.rtu import FrameEvent, Noise, Reply, Request, RtuFrame, RtuFrameReader
from modbus_codec.tcp import MbapFrame, MbapReader

__all__ = [
    "BadFrame",
    "BadReply",
    "BadRequest",
    "ExceptionCode",
    "ExceptionReply",
    "FrameEvent",
    "FunctionCode",
    "MbapFrame",
    "MbapReader",
    "ModbusCodecError",
    "Noise",
    "ReadReply",
    "ReadRequest",
    "Reply",
    "Request",
    "RtuFrame",
    "RtuFrameReader",
    "WriteMultipleReply",
    "WriteMultipleRequest",
    "WriteSingleReply",
    "WriteSingleRequest",
    "append_crc",
    "crc16",
    "decode_reply",
    "decode_request",
    "has_valid_crc",
]
