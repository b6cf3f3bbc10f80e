"""A block as it was last heard on the broker [core]."""

from dataclasses import dataclass, field
from typing import Final

from airbridge.demo.rate import Rate
from ksem_contract.block_message import BlockMessage

FAST: Final = 3.0
SLOW: Final = 60.0
"""Seconds over which rates are taken."""


@dataclass(slots=True)
class BlockView:
    """The newest message of a block, and how often they come from where."""

    message: BlockMessage
    rates: dict[str, Rate] = field(default_factory=dict)

    def came(self, message: BlockMessage, now: float) -> None:
        """A newer one."""
        self.message = message
        self.rates.setdefault(message.source, Rate(FAST if message.block == "live" else SLOW)).happened(now)

    def age_ms(self, now: float) -> int:
        """How old its oldest word is. The publisher runs on this host, so its clock is this one's."""
        return max(0, int(1000 * now) - self.message.boot_ms + self.message.age_ms)

    def per_s(self, source: str, now: float) -> float:
        """Messages a second from this source."""
        rate = self.rates.get(source)
        return rate.per_s(now) if rate else 0.0

    def all_per_s(self, now: float) -> float:
        """Messages a second, wherever they come from."""
        return sum(rate.per_s(now) for rate in self.rates.values())
