"""Simple counterparts of the simulators: someone the meter pushes to, a raw Modbus client, a server on the line."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import serial

from ksem_contract.registers import RegisterRange
from modbus_codec import MbapFrame, MbapReader, RtuFrame, WriteMultipleRequest, WriteSingleRequest, decode_request
from modbus_codec.crc import append_crc
from service_runtime.clock import boottime


@dataclass(frozen=True)
class Write:
    """A write that the meter pushed."""

    at: float
    peer: tuple[str, int]
    unit: int
    range: RegisterRange
    registers: tuple[int, ...]


class Receiver:
    """Takes pushes and acknowledges them."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self.writes: list[Write] = []
        self.registers: dict[int, int] = {}
        self.address: tuple[str, int] = self._server.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for(self, enough: Callable[[list[Write]], bool], seconds: float = 5.0) -> list[Write]:
        """The writes so far, as soon as they are enough."""
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self.writes), seconds):
                raise TimeoutError(f"not after {seconds} s; {len(self.writes)} writes came")
            return list(self.writes)

    def forget(self) -> None:
        with self._changed:
            self.writes.clear()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        reader = MbapReader()
        while data := _received(connection):
            now = boottime()
            for frame in reader.feed(data):
                request = decode_request(frame.pdu)
                start: int
                registers: tuple[int, ...]
                if isinstance(request, WriteSingleRequest):
                    start, registers = request.address, (request.value,)
                else:
                    assert isinstance(request, WriteMultipleRequest)
                    start, registers = request.start, tuple(request.registers)
                write = Write(now, peer, frame.unit, RegisterRange(start, len(registers)), registers)
                with self._changed:
                    self.writes.append(write)
                    self.registers.update(enumerate(registers, start))
                    self._changed.notify_all()
                with contextlib.suppress(OSError):  # the meter may end at any moment
                    connection.sendall(MbapFrame(frame.transaction, frame.unit, frame.pdu[:5]).encode())


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except OSError:
        return b""


class RawClient:
    """A Modbus TCP client that shows every byte."""

    def __init__(self, port: int, timeout: float = 2.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._transaction = 0

    def ask(self, pdu: bytes, unit: int = 1) -> bytes:
        """All bytes of the answer (of its first segment); empty when the server closes."""
        self._transaction += 1
        self._socket.sendall(MbapFrame(self._transaction, unit, pdu).encode())
        return self._socket.recv(4096)

    def read(self, start: int, count: int, unit: int = 1) -> list[int]:
        answer = self.ask(struct.pack(">BHH", 3, start, count), unit)
        (frame,) = MbapReader().feed(answer)
        assert (frame.transaction, frame.unit, frame.pdu[0]) == (self._transaction, unit, 3), answer.hex()
        return list(struct.unpack(f">{count}H", frame.pdu[2:]))

    def set_timeout(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


Reply = Callable[[int, int], list[int] | None]
"""start, count -> registers, or None: exception 4."""


class RtuResponder:
    """A server at the line's end, as simple as can be: answers 8-byte requests some time after their last byte."""

    def __init__(self, port: Path, reply: Reply, delay: float = 0.0019) -> None:
        self.reply = reply
        self.delay = delay
        self.spoil: Callable[[bytes], bytes] = lambda frame: frame
        self.silent = False
        self._port = serial.Serial(str(port), 38400, stopbits=2, timeout=0.1)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._running = False
        self._thread.join()
        self._port.close()

    def _run(self) -> None:
        held = b""
        while self._running:
            held += self._port.read(8 - len(held))
            if len(held) < 8:
                continue
            frame, held = held, b""
            if self.silent:
                continue
            start, count = struct.unpack(">HH", frame[2:6])
            registers = self.reply(start, count)
            pdu = bytes((0x83, 4)) if registers is None else struct.pack(f">BB{count}H", 3, 2 * count, *registers)
            time.sleep(self.delay)
            self._port.write(self.spoil(RtuFrame(1, pdu).encode()))


def with_crc(text: str) -> bytes:
    return append_crc(bytes.fromhex(text))
