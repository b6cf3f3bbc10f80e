"""Finds the SunSpec models in a meter, step by step: which registers to read next, and what they tell.

SunSpec: the marker `SunS`, then models, each an id, a length and as many words, up to the id 0xFFFF. Where the models
lie changed with firmware 2.6.0 (the common model grew from 65 to 66 words), so nothing but walking finds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ksem_contract.blocks import SUNSPEC, SUNSPEC_START
from ksem_contract.errors import SunspecError
from ksem_contract.register_range import RegisterRange

_MARKER: Final = (0x5375, 0x6E53)
_END: Final = 0xFFFF
_HEAD: Final = 2
"""Words of a model's id and length."""


@dataclass(frozen=True, slots=True)
class SunspecModel:
    """A model in the chain: `address` is that of its id, `length` the number of words behind id and length."""

    did: int
    address: int
    length: int


class SunspecChain:
    """A walk along the chain.

    While `wanted` is a range, read it from the meter and hand its words to `take`. When it is None, `models` holds all
    models, and `found` the range from the marker to the chain's end: at most 40000-40200.
    """

    __slots__ = ("_models", "_wanted", "found")

    def __init__(self) -> None:
        self._wanted: RegisterRange | None = RegisterRange(SUNSPEC_START, len(_MARKER) + _HEAD)
        self._models: list[SunspecModel] = []
        self.found: RegisterRange | None = None

    @property
    def wanted(self) -> RegisterRange | None:
        """What to read next."""
        return self._wanted

    @property
    def models(self) -> tuple[SunspecModel, ...]:
        """The models so far, without the end."""
        return tuple(self._models)

    def take(self, words: Sequence[int]) -> None:
        """The words of `wanted`. SunspecError if they are no SunSpec, or the chain leads out of 40000-40200.

        After an error the walk is over. ValueError for a number of words that was not asked for.
        """
        asked = self._wanted
        if asked is None or len(words) != asked.count:
            raise ValueError(f"{len(words)} words for {asked}")
        self._wanted = None
        if asked.start == SUNSPEC_START and tuple(words[: len(_MARKER)]) != _MARKER:
            raise SunspecError(f"40000 holds {words[0]:04x} {words[1]:04x}, not the SunSpec marker 5375 6e53")
        did, length = words[-_HEAD], words[-1]
        address = asked.stop - _HEAD
        if did == _END:
            self._finish(asked, length)
            return
        if length == 0:
            raise SunspecError(f"model {did} at {address} has the length 0")
        # Behind the model the end's two words must still find their place.
        if address + _HEAD + length + _HEAD > SUNSPEC.stop:
            raise SunspecError(f"model {did} at {address} has the length {length}, which leads beyond {SUNSPEC.last}")
        self._models.append(SunspecModel(did, address, length))
        self._wanted = RegisterRange(address + _HEAD + length, _HEAD)

    def _finish(self, asked: RegisterRange, length: int) -> None:
        if length != 0:
            raise SunspecError(f"the end of the chain at {asked.stop - _HEAD} has the length {length}, not 0")
        if not self._models:
            raise SunspecError("the chain from 40000 ends without a model")
        self.found = RegisterRange(SUNSPEC_START, asked.stop - SUNSPEC_START)
