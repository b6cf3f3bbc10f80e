"""Simulates the meter: measures in cycles, pushes in every shape that was seen or may be, answers polls."""

import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random
from typing import Final, Literal

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapReader, encode_frame

from .network import End, Network
from .truth import Truth
from .world import Process

Writes = tuple[tuple[int, int], ...]
SHAPES: Final[dict[str, Writes]] = {
    "two groups": ((0, 28), (40, 106)),
    "phases first": ((40, 106), (0, 28)),
    "with counters": ((0, 28), (40, 106), (512, 40), (592, 100), (692, 100)),
    "counters first": ((512, 40), (592, 100), (692, 100), (0, 28), (40, 106)),
    "with the words between": ((0, 100), (100, 48)),
    "seven writes": ((0, 10), (10, 18), (40, 26), (66, 20), (86, 20), (106, 10), (116, 30)),
    "overlapping": ((0, 60), (40, 106)),
    "totals only": ((0, 28),),
    "no push": (),
}
Connections = Literal["kept", "a cycle", "a write", "overlapping"]
Poll = Literal["good", "exception", "short", "doubled", "other function", "silent"]
SHORT: Final = 53
"""Registers of the device block that every firmware has."""
QUEUE: Final = 400
"""Cycles that a queueing meter holds."""


@dataclass(slots=True)
class PushPlan:
    """How it pushes."""

    shape: str = "two groups"
    lag: float = 0.002
    """Seconds from measuring to the first write."""
    gap: float = 0.002
    """Seconds between the writes of a cycle."""
    connections: Connections = "kept"
    queueing: bool = False
    """It waits for each answer, and pushes what it measured meanwhile later; else it leaves that out."""


@dataclass(slots=True)
class PollPlan:
    """How it answers."""

    how: Poll = "good"
    code: int = 6
    delay: float = 0.004
    share: float = 1.0
    """Of the requests, which are answered in this way; the others are answered well."""


@dataclass(slots=True)
class _Cycle:
    """A cycle that is to be pushed."""

    number: int
    measured: float
    frames: list[bytes]
    live_at: int
    """So many frames are left when the first write of live data is next."""
    begun: float = inf


class Meter:
    """One meter as a process of its own host: port 502, and pushes to `target`."""

    def __init__(self, process: Process, network: Network, truth: Truth, target: tuple[str, int]) -> None:
        self.process = process
        self.world = process.world
        self.truth = truth
        self.push = PushPlan()
        self.poll = PollPlan()
        self.frozen = self.silent = self.foreign = self.nameless = False
        """`foreign`: another device has its address; `nameless`: that one refuses to identify itself."""
        self.serial = 1
        self.pushed = 0
        """Cycles that were written to the last word."""
        self._network = network
        self._target = target
        self._random: Random = self.world.random("meter")
        self._image: tuple[int, ...] = (0,) * LIVE.count
        self._period = truth.interval_ms / 1000
        self._void_until = 0.0
        self._queue: deque[_Cycle] = deque()
        self._pushing = False
        self._end: End | None = None
        self._transaction = 0
        self._poll_ends: list[End] = []

    def start(self) -> None:
        """The process begins: measure, listen, push."""
        self._queue.clear()
        self._pushing = False
        self._end = None
        self.listen()
        self._tick()

    def listen(self) -> None:
        self._network.listen(self.process, 502, self._accept)

    def refuse(self) -> None:
        """Port 502 is shut, and those who are connected are thrown out."""
        self._network.ignore(self.process, 502)
        for end in self._poll_ends:
            end.reset()
        self._poll_ends.clear()

    def reboot(self, seconds: float) -> None:
        """It is away, and then boots: some cycles with 0 Hz."""
        self.process.crash()
        self._void_until = self.world.now + seconds + 1.0
        self.world.after(seconds, self.process.start)

    def replace(self) -> None:
        """Another KSEM hangs there from now on."""
        self.serial += 1
        self.truth.identify(self.serial)
        self.reboot(3.0)

    def _tick(self) -> None:
        now = self.world.now
        self.process.after(self._period, self._tick)
        void = now < self._void_until
        self._image = self.truth.measure(now, frozen=self.frozen, void=void)
        writes = SHAPES[self.push.shape]
        if not writes or self.silent or self.foreign:
            return
        if sum(count for start, count in writes if start < LIVE.stop) == LIVE.count:
            self.truth.covered.add(self.truth.cycle)
        if self._pushing and not self.push.queueing:
            return
        energy = self.truth.energy() if writes[0][0] >= ENERGY.start or len(writes) > 4 else ()
        frames = [self._frame(start, count, energy) for start, count in writes]
        if len(self._queue) < QUEUE:
            others = next((at for at, (start, _) in enumerate(writes) if start < LIVE.stop), 0)
            self._queue.append(_Cycle(self.truth.cycle, now, frames, len(frames) - others))
        if not self._pushing:
            self._pushing = True
            self.process.after(self.push.lag, self._push_next)

    def _frame(self, start: int, count: int, energy: Sequence[int]) -> bytes:
        registers = (
            self._image[start : start + count]
            if start < LIVE.stop
            else energy[start - ENERGY.start : start - ENERGY.start + count]
        )
        return struct.pack(f">BHHB{count}H", 16, start, count, 2 * count, *registers)

    def _push_next(self) -> None:
        if not self._queue:
            self._pushing = False
            return
        if self._end is None or not self._end.open:
            self._connect(self._write)
        else:
            self._write()

    def _connect(self, then: Callable[[], None]) -> None:
        def opened(end: End) -> None:
            before, self._end = self._end, end
            reader = MbapReader()
            end.on_data = partial(self._answered, end, reader)
            end.on_closed = partial(self._closed, end)
            if before is not None and before.open:
                self.process.after(0.02, before.close)
            then()

        self._network.connect(self.process, *self._target, opened, lambda _: self._give_up())

    def _give_up(self) -> None:
        self._queue.clear()
        self._pushing = False

    def _write(self) -> None:
        if not self._queue or self._end is None or not self._end.open:
            self._give_up()
            return
        cycle = self._queue[0]
        if not cycle.frames:
            self._queue.popleft()
            self.pushed += 1
            self._cycle_done()
            return
        now = self.world.now
        cycle.begun = min(cycle.begun, now)
        if len(cycle.frames) == cycle.live_at:
            self.truth.written(cycle.number, cycle.measured + now - cycle.begun)
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._end.send(encode_frame(self._transaction, 1, cycle.frames.pop(0)))

    def _answered(self, end: End, reader: MbapReader, data: bytes) -> None:
        if end is not self._end:
            return
        try:
            count = len(reader.feed(data))
        except BadFrame:
            end.reset()
            return
        if count:
            self.process.after(self.push.gap, self._next_write)

    def _next_write(self) -> None:
        more = bool(self._queue and self._queue[0].frames)
        if more and self.push.connections in {"a write", "overlapping"}:
            self._again()
        else:
            self._write()

    def _again(self) -> None:
        """A connection for the next write; the last one is closed before, or after it is open."""
        if self.push.connections == "a write" and self._end is not None:
            self._end.close()
            self._end = None
        self._connect(self._write)

    def _cycle_done(self) -> None:
        if self.push.connections != "kept" and self._end is not None:
            self._end.close()
            self._end = None
        self._push_next()

    def _closed(self, end: End, _why: str) -> None:
        if end is self._end:
            self._end = None
            self._give_up()

    def _accept(self, end: End) -> None:
        reader = MbapReader()
        end.on_data = partial(self._requested, end, reader)
        self._poll_ends = [one for one in self._poll_ends if one.open][-4:]
        self._poll_ends.append(end)

    def _requested(self, end: End, reader: MbapReader, data: bytes) -> None:
        try:
            frames = reader.feed(data)
        except BadFrame:
            end.reset()
            return
        for frame in frames:
            plan = self.poll
            bad = plan.how != "good" and self._random.random() < plan.share
            delay = plan.delay * (0.5 + self._random.random())
            self.process.after(delay, partial(self._answer, end, frame.transaction, frame.unit, frame.pdu, bad))

    def _answer(self, end: End, transaction: int, unit: int, pdu: bytes, bad: bool) -> None:
        how: Poll = self.poll.how if bad else "good"
        if how == "silent" or not end.open:
            return
        start, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        registers = self.read(start, count)
        if registers is None or how == "exception":
            reply = bytes((pdu[0] | 0x80, 2 if registers is None else self.poll.code))
        else:
            count -= how == "short"
            function = 4 if how == "other function" else pdu[0]
            reply = struct.pack(f">BB{count}H", function, 2 * count, *registers[:count])
        frame = encode_frame(transaction, unit, reply)
        end.send(frame + frame if how == "doubled" else frame)

    def read(self, start: int, count: int) -> tuple[int, ...] | None:
        """Return registers as they are now; None where it has none."""
        if self.foreign:
            if self.nameless and DEVICE.start <= start < DEVICE.stop:
                return None
            if self.nameless and start + count <= LIVE.stop:  # it measures, too
                other = self.truth.of_another_meter(self.world.now)
                return other[start : start + count]
            return tuple((start * 7 + at) & 0xFFFF for at in range(count))
        stop = start + count
        if stop <= LIVE.stop:
            self.truth.read(self.world.now)
            return self._image[start:stop]
        if ENERGY.start <= start and stop <= ENERGY.stop:
            return self.truth.energy()[start - ENERGY.start : stop - ENERGY.start]
        if DEVICE.start <= start and stop <= DEVICE.stop:
            if self.truth.device_is == "short" and stop > DEVICE.start + SHORT:
                return None
            return self.truth.device(self.world.now)[start - DEVICE.start : stop - DEVICE.start]
        if SUNSPEC.start <= start and stop <= SUNSPEC.start + len(self.truth.sunspec):
            return self.truth.sunspec[start - SUNSPEC.start : stop - SUNSPEC.start]
        return None
