"""Which words of a block belong together [core]: a value of several registers must never come from two snapshots."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

from ksem_contract.register_map import register_at

_PAD: Final = 40069
_SUNSPEC_END: Final = 40178
_NO_VALUE: Final = (146, 147)
"""In none of the groups that are measured in each cycle: it has no age."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One value, or the part of it that was asked for, or a run of words without meaning."""

    start: int
    count: int
    measured: bool
    """False: gap words, which have no age."""


@lru_cache(maxsize=1024)
def pieces(start: int, count: int, *, old_sunspec: bool = False) -> tuple[Piece, ...]:
    """The registers from `start` on, cut at the borders of values. `old_sunspec`: the layout before firmware 2.6.0."""
    cut = []
    for owner, run in groupby(range(start, start + count), lambda address: _owner(address, old_sunspec=old_sunspec)):
        addresses = list(run)
        cut.append(Piece(addresses[0], len(addresses), owner is not None))
    return tuple(cut)


def _owner(address: int, *, old_sunspec: bool) -> int | None:
    if address in _NO_VALUE:
        return None
    if old_sunspec and _PAD <= address <= _SUNSPEC_END:
        address += 1
    register = register_at(address)
    return register.address if register else None
