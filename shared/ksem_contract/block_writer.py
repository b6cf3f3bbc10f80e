"""Writes the messages of one block of one session, cycle by cycle."""

from ksem_contract.block_message import BlockMessage, Source
from ksem_contract.mac import KEYLESS, MessageKeys
from ksem_contract.message_json import write_numbers


class BlockWriter:
    """Gives the bytes that `BlockMessage.encode` gives, for a fraction of the work.

    A meter measures five times a second: what stays the same from one message to the next is checked and written once.
    """

    __slots__ = ("_block", "_head", "_meter", "_rest", "_session", "_shape", "_words")

    def __init__(self, meter: str, block: str, session: str) -> None:
        self._meter = meter
        self._block = block
        self._session = session
        self._shape: tuple[object, ...] = ()
        self._head = self._words = self._rest = ""

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

        Fields as in BlockMessage; the words are taken for what they are, 16 bits each or None.

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
            words = self._words % registers
        except TypeError:  # there are holes
            words = write_numbers(registers)
        return keys.seal((self._head + words + self._rest % (seq, boot_ms, age_ms, time)).encode("ascii"))

    def _begin(self, first: BlockMessage) -> None:
        cycle = "null" if first.cycle_ms is None else first.cycle_ms
        # Names and sources hold nothing that JSON escapes: the message has checked them.
        self._head = f'{{"v":1,"meter":"{first.meter}","block":"{first.block}","start":{first.start},"registers":'
        self._words = f"[{','.join(['%d'] * len(first.registers))}]"
        self._rest = (
            f',"session":"{first.session}","seq":%d,"boot_ms":%d,"age_ms":%d,"cycle_ms":{cycle},'
            f'"source":"{first.source}","time":"%s"'
        )
