"""Makes an rtu-server encode the first register wrongly for Modbus TCP, under a right CRC, as a fault would.

Python imports this by itself where this folder is in PYTHONPATH.
"""

from unittest import mock

from modbus_codec.crc import append_crc
from rtu_server.reply_cache import Registers, Reply, encode


def _encode_wrongly(unit: int, registers: Registers) -> Reply:
    reply = encode(unit, registers)
    frame = bytearray(reply.answer.frame[:-2])
    frame[4] ^= 1
    return reply._replace(answer=reply.answer._replace(frame=append_crc(bytes(frame))))


mock.patch("rtu_server.tcp_session.encode", _encode_wrongly).start()
