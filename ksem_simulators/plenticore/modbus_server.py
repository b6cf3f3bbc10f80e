"""Runs the inverter's own Modbus TCP server [shell]: port 1502, unit 71, off as it is shipped.

A thread for each client; requests of one client are answered one after the other, each after a delay of its own.
"""

import contextlib
import random
import socket
import struct
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from ksem_simulators.plenticore.belief import Belief, ByteOrder
from modbus_codec.pdu import BadFrame, BadRequest, ExceptionCode, FunctionCode, ReadRequest, decode_request
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime

UNIT: Final = 71
_MOST_CLIENTS: Final = 8


@dataclass(slots=True)
class ServerCounters:
    """What the server saw."""

    connections: int = 0
    turned_away: int = 0
    """Clients that came while another one was there."""
    requests: int = 0
    refused: int = 0
    writes: int = 0
    """Requests for anything but a read."""
    most_open: int = 0
    """Requests of one client that were open at the same time."""


class InverterServer:
    """Serves what the inverter believes. `answer_after`: shortest and longest time to an answer in seconds."""

    def __init__(
        self,
        belief: Belief,
        host: str,
        port: int,
        *,
        unit: int = UNIT,
        order: ByteOrder = "little",
        answer_after: tuple[float, float] = (0.02, 0.06),
        one_client: bool = False,
    ) -> None:
        self.belief = belief
        self.unit = unit
        self.order = order
        self.answer_after = answer_after
        self.one_client = one_client
        self.counters = ServerCounters()
        self.port = port
        self._host = host
        self._random = random.Random(port)
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()

    def switch_on(self) -> None:
        """Listen. With port 0 the first time chooses one, and keeps to it."""
        if self._listener is not None:
            return
        self._listener = socket.create_server((self._host, self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), name="modbus", daemon=True).start()

    def switch_off(self) -> None:
        """Refuse connections and cut those that are there: Modbus is switched off in the inverter's menu."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A plain close would not end an accept() that another thread waits in.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def status(self) -> dict[str, Any]:
        """Counts so far."""
        return asdict(self.counters) | {"on": self._listener is not None, "clients": len(self._clients)}

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                full = len(self._clients) >= (1 if self.one_client else _MOST_CLIENTS)
                if not full:
                    self._clients.add(client)
            self.counters.connections += not full
            self.counters.turned_away += full
            if full:
                client.close()
            else:
                threading.Thread(target=self._serve, args=(client,), name="modbus client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        reader = MbapReader()
        try:
            with contextlib.suppress(OSError, BadFrame), client:
                while data := client.recv(4096):
                    frames = reader.feed(data)
                    self.counters.most_open = max(self.counters.most_open, len(frames))
                    for frame in frames:
                        time.sleep(self._random.uniform(*self.answer_after))
                        if (pdu := self._answer(frame)) is not None:
                            client.sendall(MbapFrame(frame.transaction, frame.unit, pdu).encode())
        finally:
            with self._lock:
                self._clients.discard(client)

    def _answer(self, frame: MbapFrame) -> bytes | None:
        """The PDU of the answer; None for another unit, which is not answered."""
        self.counters.requests += 1
        if frame.unit != self.unit:
            return None
        try:
            request = decode_request(frame.pdu)
        except BadRequest as error:
            return self._refuse(error.function, error.code)
        except BadFrame:
            return None
        if not isinstance(request, ReadRequest):
            self.counters.writes += 1
            return self._refuse(frame.pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        if request.function != FunctionCode.READ_HOLDING_REGISTERS:
            return self._refuse(frame.pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        shown = self.belief.registers(boottime(), self.order, self.unit)
        span = range(request.start, request.start + request.count)
        if any(address not in shown for address in span):
            return self._refuse(frame.pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
        data = struct.pack(f">{request.count}H", *(shown[address] for address in span))
        return bytes((request.function, len(data))) + data

    def _refuse(self, function: int, code: int) -> bytes:
        self.counters.refused += 1
        return bytes((function | 0x80, code))
