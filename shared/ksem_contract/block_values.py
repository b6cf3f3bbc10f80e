"""The values of one block, read off its words in one go: a meter measures five times a second."""

import struct
from collections.abc import Callable, Sequence
from typing import Final

from ksem_contract.register import Register
from ksem_contract.register_range import RegisterRange
from ksem_contract.value_keys import Recipe, ValueKey

_FORMATS: Final = {("uint16", 1): "H", ("uint32", 2): "I", ("int32", 2): "i", ("uint64", 4): "Q"}
"""How struct reads a register's words, by type and count."""


def _plain(count: int) -> int:
    return count


def _net(plus: int, minus: int) -> int:
    return plus - minus


def _signed(size: int, plus: int, minus: int) -> int:
    return -size if plus < minus else size


_MAKE: Final[dict[Recipe, Callable[..., int]]] = {"plain": _plain, "net": _net, "larger": max, "signed": _signed}
"""How the counts of registers become the count of a value."""


class BlockValues:
    """Knows where the registers of some values stand in a block, and how the values are made of them."""

    def __init__(self, block: RegisterRange, keys: Sequence[ValueKey]) -> None:
        self._block = block
        registers = sorted({register for key in keys for register in key.registers}, key=lambda one: one.address)
        place = {register: position for position, register in enumerate(registers)}
        self._parts = [slice(one.address - block.start, one.address - block.start + one.count) for one in registers]
        self._unknown = [_unknown(register) for register in registers]
        self._odd = frozenset(count for counts in self._unknown for count in counts)
        """Counts that mean "no value" in one register or another, so seldom that each is looked at only then."""
        self._words = struct.Struct(f">{block.count}H")
        self._counts = struct.Struct(_layout(block, registers))
        self._keys = [(key.key, _MAKE[key.recipe], key.divisor, [place[one] for one in key.registers]) for key in keys]

    def decode(self, registers: Sequence[int | None], start: int) -> dict[str, float]:
        """The values, by key, of the registers from address `start` on. What is not known is left out."""
        words = registers if (start, len(registers)) == self._whole else self._placed(registers, start)
        known: Sequence[int | None]
        try:
            known = self._counts.unpack(self._words.pack(*words))
        except struct.error:  # there are holes
            filled = self._words.pack(*(word or 0 for word in words))
            counts = zip(self._parts, self._counts.unpack(filled), strict=True)
            known = [None if None in words[part] else count for part, count in counts]
        if not self._odd.isdisjoint(known):
            known = [None if count in unknown else count for count, unknown in zip(known, self._unknown, strict=True)]
        found: dict[str, float] = {}
        for key, make, divisor, places in self._keys:
            made_of = [known[place] for place in places]
            if None not in made_of:
                found[key] = make(*made_of) / divisor
        return found

    @property
    def _whole(self) -> tuple[int, int]:
        return self._block.start, self._block.count

    def _placed(self, registers: Sequence[int | None], start: int) -> list[int | None]:
        """The same words where they belong in the whole block, with holes for the others."""
        words: list[int | None] = [None] * self._block.count
        for address, word in enumerate(registers, start - self._block.start):
            if 0 <= address < len(words):
                words[address] = word
        return words


def _layout(block: RegisterRange, registers: Sequence[Register]) -> str:
    layout, at = ">", block.start
    for register in registers:
        layout += f"{2 * (register.address - at)}x{_FORMATS[register.type, register.count]}"
        at = register.range.stop
    return f"{layout}{2 * (block.stop - at)}x"


def _unknown(register: Register) -> frozenset[int]:
    """The counts by which the meter says that it has no value: all ones, or the sign bit alone in more than 16 bits."""
    bits = 16 * register.count
    if register.type == "int32":
        return frozenset((-(1 << (bits - 1)),))
    return frozenset(((1 << bits) - 1, *((1 << (bits - 1),) if bits > 16 else ())))
