"""What can be wrong with received bytes; a class for each thing that the receiver does about it."""

from modbus_codec.codes import ExceptionCode


class ModbusCodecError(Exception):
    """Received bytes that can't be taken at their word."""


class BadFrame(ModbusCodecError):
    """No frame or no request at all: a server says nothing to it on RTU, and closes the connection on TCP."""


class BadRequest(ModbusCodecError):
    """A request that a server answers with an exception: `ExceptionReply(error.function, error.code)`."""

    def __init__(self, function: int, code: ExceptionCode, text: str) -> None:
        super().__init__(text)
        self.function = function
        """1 to 127, as asked."""
        self.code = code
        self.text = text


class BadReply(ModbusCodecError):
    """A reply that doesn't answer the request that was sent: none of its values may be used."""
