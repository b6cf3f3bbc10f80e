"""A service's check of itself before it starts: known inputs must give known outputs, and the clock must go on.

A wrong interpreter, library or memory shows here, and not in a number that an inverter gets.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.mac import MessageKeys
from ksem_contract.message_fields import InvalidMessage
from modbus_codec.crc import append_crc, crc16
from modbus_codec.pdu import FunctionCode, ReadReply, ReadRequest, WriteMultipleRequest, decode_reply, decode_request
from modbus_codec.tcp import MbapFrame, MbapReader

_TOTALS: Final = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 28)
_BLOCK: Final = (
    b'{"v":1,"meter":"main","block":"r9000-3","start":9000,"registers":[0,123,null],"session":"5f1c9a2e","seq":1812,'
    b'"boot_ms":90112345,"age_ms":3,"cycle_ms":null,"source":"push","time":"2026-11-22T10:00:00.123Z",'
    b'"mac":"46ee636c3697f234ff5daf65fc8eeea2"}'
)
"""The worked example of docs/contract.md."""
_KEYS: Final = MessageKeys((bytes.fromhex("00112233445566778899aabbccddeeff"),))
_LOOKS: Final = 200
_SLEEP: Final = 0.002


def why_unfit(clock: Callable[[], float]) -> str:
    """Return why this service must not start on this host, empty where it may. Takes a few ms."""
    checks = {"CRC": _crc_is_right, "Modbus codec": _codec_is_right, "block": _block_is_right}
    for name, is_right in checks.items():
        if not is_right():
            return f"the {name} gives something else than its fixed example: reinstall the package, check the memory"
    return _why_clock_unfit(clock)


def _crc_is_right() -> bool:
    # The check value of CRC-16/MODBUS, and a request that a Plenticore sends.
    return crc16(b"123456789") == 0x4B37 and append_crc(bytes.fromhex("01 03 00 00 00 1c"))[-2:] == b"\x44\x03"


def _codec_is_right() -> bool:
    # Functions 3 and 16 as the examples of the application protocol specification V1.1b3, 6.3 and 6.12, have them.
    read = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 107, 3)
    reply = decode_reply(bytes.fromhex("03 06 02 2b 00 00 00 64"), read)
    write = decode_request(bytes.fromhex("10 00 01 00 02 04 00 0a 01 02"))
    frames = MbapReader().feed(bytes.fromhex("00 07 00 00 00 06 01 03 00 00 00 1c"))
    return (
        decode_request(bytes.fromhex("03 00 6b 00 03")) == read
        and reply == ReadReply(FunctionCode.READ_HOLDING_REGISTERS, (0x022B, 0, 0x64))
        and write == WriteMultipleRequest(1, (10, 0x0102))
        and frames == [MbapFrame(7, 1, _TOTALS.encode())]
    )


def _block_is_right() -> bool:
    try:
        _KEYS.check(_BLOCK)
        message = BlockMessage.decode(_BLOCK)
    except InvalidMessage:
        return False
    return message.registers == (0, 123, None) and message.encode(_KEYS) == _BLOCK


def _why_clock_unfit(clock: Callable[[], float]) -> str:
    looks = [clock() for _ in range(_LOOKS)]
    if any(later < earlier for earlier, later in pairwise(looks)):
        return "CLOCK_BOOTTIME goes backwards: no age can be known on this host; update its kernel"
    time.sleep(_SLEEP)
    if clock() - looks[-1] < _SLEEP / 2:
        return "CLOCK_BOOTTIME stands still: no age can be known on this host; update its kernel or hypervisor"
    return ""
