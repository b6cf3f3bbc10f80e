"""A Modbus TCP server that answers each read as a test wants, and a meter's pushes word by word."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from ksem_contract.registers import RegisterRange
from tests.unit.ksem_publisher.model_meter import live_words

Answer = Sequence[int] | int | bytes | None
"""Words; an exception's code; the bytes behind the transaction's number; or silence."""
CYCLE = 0.2


def text(value: str, count: int = 16) -> list[int]:
    """A text as registers hold it."""
    raw = value.encode("latin-1").ljust(2 * count, b"\0")
    return list(struct.unpack(f">{count}H", raw))


def ksem_image(cycle: int = 0, serial: str = "71234567") -> dict[int, int]:
    """All that a KSEM has, in one cycle of its live words."""
    image = dict(enumerate(live_words(cycle)))
    for at in (62, 102, 142):
        image |= dict(enumerate(divmod(230_000 + cycle % 1000, 65536), at))
    image |= dict(enumerate(text("KOSTAL"), 8196)) | dict(enumerate(text("Smart Energy Meter"), 8212))
    image |= dict(enumerate(text(serial), 8228)) | {8195: 1, 8244: 200}
    chain = [0x5375, 0x6E53, 1, 66, *range(1, 67), 203, 105, *range(105), 0xFFFF, 0]
    image |= dict(enumerate(chain, 40000))
    image |= {515: 50_000, 519: 60_000}
    return image


class OddMeter:
    """`more` overrides registers; `answer` may answer a read in another way (NotImplemented: as a KSEM does)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.more: dict[int, int] = {}
        self.serial = "71234567"
        self.slow = 0.0
        """Seconds that each answer takes; the words are those of the moment in which it leaves."""
        self.answer: Callable[[RegisterRange], Answer] = lambda _: NotImplemented
        self.reads: list[tuple[float, RegisterRange]] = []
        self.connections = 0
        self._begun = time.monotonic()
        self._server = socket.create_server((host, port))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._ended = threading.Event()

    @property
    def cycle(self) -> int:
        """The number of the cycle that the meter is in."""
        return int((time.monotonic() - self._begun) / CYCLE)

    def registers(self, wanted: RegisterRange) -> list[int]:
        """What the registers hold now."""
        image: Mapping[int, int] = ksem_image(self.cycle, self.serial) | self.more
        return [image.get(address, 0) for address in range(wanted.start, wanted.stop)]

    def count(self, start: int) -> int:
        """How many reads from this register on there were."""
        return sum(1 for _, one in self.reads if one.start == start)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(peer)
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, struct.error):
            while len(request := peer.recv(12, socket.MSG_WAITALL)) == 12:
                transaction, _, _, unit, _, start, count = struct.unpack(">HHHBBHH", request)
                wanted = RegisterRange(start, count)
                self.reads.append((time.monotonic(), wanted))
                answer = self.answer(wanted)
                if self.slow:
                    time.sleep(self.slow)
                if answer is NotImplemented:
                    answer = self.registers(wanted)
                if answer is None:
                    continue
                if isinstance(answer, int):
                    answer = struct.pack(">HHBBB", 0, 3, unit, 0x83, answer)
                elif not isinstance(answer, bytes):
                    head = struct.pack(">HHBBB", 0, 3 + 2 * len(answer), unit, 3, 2 * len(answer))
                    answer = head + struct.pack(f">{len(answer)}H", *answer)
                peer.sendall(struct.pack(">H", transaction) + answer)


class OddPush:
    """Pushes the live words of `registers()` each cycle, and energy where `energy()` has some."""

    def __init__(
        self,
        port: int,
        registers: Callable[[], Sequence[int]],
        energy: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self._port, self._words, self._energy = port, registers, energy
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.settimeout(1)
                due = time.monotonic()
                while not self._ended.wait(max(0.0, due - time.monotonic())):
                    due += CYCLE
                    registers, energy = list(self._words()), list(self._energy())
                    self._write(peer, 0, registers[0:28])
                    self._write(peer, 40, registers[40:146])
                    if energy:
                        for start, count in ((512, 40), (592, 100), (692, 100)):
                            self._write(peer, start, energy[start - 512 :][:count])
            self._ended.wait(0.2)

    @staticmethod
    def _write(peer: socket.socket, start: int, registers: Sequence[int]) -> None:
        body = struct.pack(">BBHHB", 1, 16, start, len(registers), 2 * len(registers)) + struct.pack(
            f">{len(registers)}H", *registers
        )
        peer.sendall(struct.pack(">HHH", 1, 0, len(body)) + body)
        peer.recv(12, socket.MSG_WAITALL)
