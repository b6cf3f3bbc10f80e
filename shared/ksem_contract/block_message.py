"""The messages of blocks and of the echo that dates them, and the writer that numbers a session's messages [core]."""

import struct
from dataclasses import dataclass, field
from types import NoneType
from typing import Final, Literal, get_args

from ksem_contract.blocks import FIXED_BLOCKS, SUNSPEC, SUNSPEC_START, parse_block_name, touches_map
from ksem_contract.mac import KEYLESS, MessageKeys
from ksem_contract.message_fields import (
    InvalidMessage,
    check_choice,
    check_meter_field,
    check_node_field,
    check_time,
    check_token,
    check_whole,
    read_versioned,
    take,
    write_numbers,
    write_object,
)
from ksem_contract.registers import ADDRESSES, RegisterRange

Source = Literal["push", "poll", "kept"]

MAX_REGISTERS: Final = 400

_SOURCES: Final = get_args(Source)
_WORD_TYPES: Final = frozenset((int, NoneType))


@dataclass(frozen=True, slots=True)
class BlockMessage:
    """One block of registers, as the meter had them at one moment.

    Topic `ksem/<meter>/block/<block>`, retained, QoS 0. To see it: `mosquitto_sub -t 'ksem/+/block/live'`

        {"v":1,"meter":"main","block":"live","start":0,"registers":[0,123,...],
         "session":"5f1c9a2e","seq":1812,"boot_ms":90112345,"age_ms":3,"cycle_ms":200,
         "source":"push","time":"2026-11-22T10:00:00.123Z","mac":"692d0dee0b6903f7a94c744f18d8439f"}

    A message that breaks the contract can be neither built nor read: InvalidMessage names the field, and what is wrong.
    """

    meter: str
    """Which meter."""
    block: str
    """`live`, `energy`, `device`, `sunspec`, or `r<start>-<count>` for a range on demand."""
    start: int
    """Address of the first register."""
    registers: tuple[int | None, ...]
    """1 to 400 registers of 0..65535; None (JSON null): never measured, never served."""
    session: str
    """Which run of the publisher; random, new at each start."""
    seq: int
    """Grows by one with each message of this block within a session; the first is 1."""
    boot_ms: int
    """The publisher's CLOCK_BOOTTIME when it published, rounded down (`freshness.block_stamp`)."""
    age_ms: int
    """How old the oldest measured word was at `boot_ms`."""
    cycle_ms: int | None
    """The meter's measuring cycle as learned, if known."""
    source: Source
    """`push` or `poll`: how the registers arrived; `kept`: taken over from an earlier session, not read again yet."""
    time: str
    """Wall clock of the publisher, for people; RFC 3339, UTC. Never part of freshness."""
    range: RegisterRange = field(init=False, repr=False, compare=False)
    """Start and count in one."""

    def __post_init__(self) -> None:
        check_meter_field("meter", self.meter)
        check_token("session", self.session)
        check_whole("seq", self.seq, 1)
        check_whole("boot_ms", self.boot_ms)
        check_whole("age_ms", self.age_ms)
        if self.cycle_ms is not None:
            check_whole("cycle_ms", self.cycle_ms, 1)
        check_choice("source", self.source, _SOURCES)
        check_time("time", self.time)
        _check_registers(self.registers)
        check_whole("start", self.start, 0, ADDRESSES - 1)
        if self.start + len(self.registers) > ADDRESSES:
            raise InvalidMessage(f"start {self.start} and {len(self.registers)} registers: address 65535 is the last")
        held = RegisterRange(self.start, len(self.registers))
        _check_place(self.block, held)
        object.__setattr__(self, "range", held)

    def encode(self, keys: MessageKeys = KEYLESS) -> bytes:
        """The payload, with its code at the end."""
        message = write_object(
            {
                "v": 1,
                "meter": self.meter,
                "block": self.block,
                "start": self.start,
                "registers": self.registers,
                "session": self.session,
                "seq": self.seq,
                "boot_ms": self.boot_ms,
                "age_ms": self.age_ms,
                "cycle_ms": self.cycle_ms,
                "source": self.source,
                "time": self.time,
            }
        )
        return keys.seal(message[:-1])

    @classmethod
    def decode(cls, payload: bytes) -> "BlockMessage":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else.

        It does not check the code: `MessageKeys.check` does that, before.
        """
        found = read_versioned(payload)
        try:
            words = found["registers"]
            if type(words) is not list:
                raise InvalidMessage(f"registers {words!r:.60}: a list is expected")
            return cls(
                meter=found["meter"],
                block=found["block"],
                start=found["start"],
                registers=tuple(words),
                session=found["session"],
                seq=found["seq"],
                boot_ms=found["boot_ms"],
                age_ms=found["age_ms"],
                cycle_ms=found["cycle_ms"],
                source=found["source"],
                time=found["time"],
            )
        except KeyError as missing:
            raise InvalidMessage(f"{missing.args[0]} is missing") from None


def _check_registers(registers: tuple[int | None, ...]) -> None:
    # Loops in C: this runs with each cycle of the meter, on small machines too.
    if not 1 <= len(registers) <= MAX_REGISTERS:
        raise InvalidMessage(f"{len(registers)} registers: 1 to {MAX_REGISTERS} are allowed")
    types = set(map(type, registers))
    if not _WORD_TYPES.issuperset(types):
        raise InvalidMessage("registers: only whole numbers and null are allowed")
    try:
        # The quickest way to check them all; None, which is rare, counts as zero.
        struct.pack(f"{len(registers)}H", *(registers if NoneType not in types else (word or 0 for word in registers)))
    except struct.error:
        words = [word for word in registers if word is not None]
        raise InvalidMessage(f"registers from {min(words)} to {max(words)}: a word is 0..65535") from None


def _check_place(block: object, held: RegisterRange) -> None:
    if type(block) is not str:
        raise InvalidMessage(f"block {block!r:.60}: a name is expected")
    if (fixed := FIXED_BLOCKS.get(block)) is not None:
        if held != fixed:
            raise InvalidMessage(f"block {block} holds {held}, it is always {fixed}")
    elif block == "sunspec":
        if held.start != SUNSPEC_START or not SUNSPEC.covers(held):
            raise InvalidMessage(f"block sunspec holds {held}, it begins at {SUNSPEC_START} and lies in {SUNSPEC}")
    elif held != parse_block_name(block):
        raise InvalidMessage(
            f"block {block!r:.60} holds {held}: allowed are live, energy, device, sunspec, rSTART-COUNT"
        )
    elif touches_map(held):
        raise InvalidMessage(f"block {block} holds {held}, which is part of a block with a name of its own")


class BlockWriter:
    """Gives the bytes that `BlockMessage.encode` gives, for a fraction of the work.

    A meter measures five times a second: what stays the same from one message to the next is checked and written once.
    """

    __slots__ = ("_block", "_head", "_meter", "_rest", "_session", "_shape", "_template")

    def __init__(self, meter: str, block: str, session: str) -> None:
        self._meter = meter
        self._block = block
        self._session = session
        self._shape: tuple[object, ...] = ()
        self._head = self._template = self._rest = ""

    def write(
        self,
        start: int,
        registers: tuple[int | None, ...],
        *,
        seq: int,
        boot_ms: int,
        age_ms: int,
        cycle_ms: int | None,
        source: Source,
        time: str,
        keys: MessageKeys = KEYLESS,
    ) -> bytes:
        """The payload, its code made with `keys`.

        Fields as in BlockMessage; the registers are not checked: 16 bits each, or None.

        InvalidMessage where place, count, cycle or source break the contract.
        """
        shape = (start, len(registers), cycle_ms, source)
        if shape != self._shape:
            self._begin(BlockMessage(
                meter=self._meter, block=self._block, start=start, registers=registers, session=self._session,
                seq=seq, boot_ms=boot_ms, age_ms=age_ms, cycle_ms=cycle_ms, source=source, time=time,
            ))  # fmt: skip
            self._shape = shape
        try:
            words = self._template % registers
        except TypeError:  # some are None
            words = write_numbers(registers)
        return keys.seal((self._head + words + self._rest % (seq, boot_ms, age_ms, time)).encode("ascii"))

    def _begin(self, first: BlockMessage) -> None:
        cycle = "null" if first.cycle_ms is None else first.cycle_ms
        # Names and sources hold nothing that JSON escapes: the message has checked them.
        self._head = f'{{"v":1,"meter":"{first.meter}","block":"{first.block}","start":{first.start},"registers":'
        self._template = f"[{','.join(['%d'] * len(first.registers))}]"
        self._rest = (
            f',"session":"{first.session}","seq":%d,"boot_ms":%d,"age_ms":%d,"cycle_ms":{cycle},'
            f'"source":"{first.source}","time":"%s"'
        )


@dataclass(frozen=True, slots=True)
class Ping:
    """A node requests the publisher's clock.

    Topic `ksem/<meter>/ping/<node>`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/ping/+'`

        {"v":1,"nonce":"b81f03c2"}
    """

    nonce: str
    """1 to 32 of A-Z, a-z, 0-9, _ and -; new for each ping, and not to be guessed.

    Any client may ping. One that knew the next nonce could have it answered ahead and keep the answer, which would make
    old blocks look young.
    """

    def __post_init__(self) -> None:
        check_token("nonce", self.nonce)

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, "nonce": self.nonce})

    @classmethod
    def decode(cls, payload: bytes) -> "Ping":
        """The ping in `payload`. Raises InvalidMessage, and nothing else."""
        found = read_versioned(payload)
        return cls(nonce=check_token("nonce", take(found, "nonce")))


@dataclass(frozen=True, slots=True)
class Pong:
    """The publisher's answer: its session, and what its clock shows.

    Topic `ksem/<meter>/pong/<node>`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/pong/+'`

        {"v":1,"meter":"main","node":"attic","nonce":"b81f03c2","session":"5f1c9a2e","boot_ms":90112345,
         "mac":"23d640da350c3d63eca201f6e242fa88"}

    Where very many nodes ping, `every_ms` stands there too, before `mac`.
    """

    meter: str
    """The publisher's meter."""
    node: str
    """The node that it answers. Meter and node expose a pong that was moved to another topic."""
    nonce: str
    """The ping's."""
    session: str
    """The publisher's session, as in its blocks."""
    boot_ms: int
    """Its CLOCK_BOOTTIME between the ping's arrival and this answer, rounded up (`freshness.pong_stamp`)."""
    every_ms: int | None = None
    """How far apart this node's pings shall be while all is well, where that is more than PING_EVERY."""

    def __post_init__(self) -> None:
        check_meter_field("meter", self.meter)
        check_node_field("node", self.node)
        check_token("nonce", self.nonce)
        check_token("session", self.session)
        check_whole("boot_ms", self.boot_ms)
        if self.every_ms is not None:
            check_whole("every_ms", self.every_ms, 1)

    def encode(self, keys: MessageKeys = KEYLESS) -> bytes:
        """The payload, with its code at the end."""
        fields = {
            "v": 1,
            "meter": self.meter,
            "node": self.node,
            "nonce": self.nonce,
            "session": self.session,
            "boot_ms": self.boot_ms,
        }
        if self.every_ms is not None:
            fields["every_ms"] = self.every_ms
        return keys.seal(write_object(fields)[:-1])

    @classmethod
    def decode(cls, payload: bytes) -> "Pong":
        """The pong in `payload`. Raises InvalidMessage, and nothing else.

        It does not check the code: `MessageKeys.check` does that, before.
        """
        found = read_versioned(payload)
        return cls(
            meter=check_meter_field("meter", take(found, "meter")),
            node=check_node_field("node", take(found, "node")),
            nonce=check_token("nonce", take(found, "nonce")),
            session=check_token("session", take(found, "session")),
            boot_ms=check_whole("boot_ms", take(found, "boot_ms")),
            every_ms=found.get("every_ms"),
        )
