"""The numbers of the protocol. Source: Modbus application protocol specification V1.1b3, sections 4 to 7."""

from enum import IntEnum
from typing import Final

MAX_PDU: Final = 253
MAX_READ: Final = 125
MAX_WRITE: Final = 123
EXCEPTION_BIT: Final = 0x80
ADDRESSES: Final = 0x10000


class FunctionCode(IntEnum):
    """The functions that are built and read here; servers answer the others with `ILLEGAL_FUNCTION`."""

    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_REGISTER = 6
    WRITE_MULTIPLE_REGISTERS = 16


READS: Final = (FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS)


class ExceptionCode(IntEnum):
    """Why a server refuses, as it stands in an exception reply."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3
    SERVER_DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    SERVER_DEVICE_BUSY = 6
    MEMORY_PARITY_ERROR = 8
    GATEWAY_PATH_UNAVAILABLE = 10
    GATEWAY_TARGET_FAILED = 11
