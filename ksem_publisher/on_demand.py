"""Ranges that an inverter requests and that belong to no block: which of them to poll, and when [core].

Only ranges that lie wholly outside the map, while the requesting node is online and requested them within a minute. A
range that the meter rejects is left alone for ten minutes, one that it does not answer for one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from ksem_contract.blocks import parse_block_name, touches_map
from ksem_contract.health import RequestEntry, RequestsMessage
from ksem_contract.registers import RegisterRange

EVERY: Final = 5.0
"""Seconds between two reads of a range: its period."""
REQUESTED_WITHIN: Final = 60.0
REFUSED_FOR: Final = 600.0
UNANSWERED_FOR: Final = 60.0
"""A request that the meter never answers costs the connection: not more than once a minute."""
MOST_COUNT: Final = 125
"""Registers in one request, as Modbus limits it."""
_ILLEGAL: Final = frozenset((1, 2, 3))
"""Exceptions that mean "never"; after others a range is polled again at its usual pace."""
_MOST_NODES: Final = 64
_MOST_ENTRIES: Final = 32
"""Ranges of one node, those requested last; no meter gets more reads than that."""
_MOST_REMEMBERED: Final = 64


@dataclass(slots=True)
class _Node:
    received: float
    """When its last message came."""
    online: bool = False
    requested: dict[RegisterRange, float] = field(default_factory=dict)
    """When each range was requested of this node last, CLOCK_BOOTTIME seconds."""


@dataclass(slots=True)
class _Past:
    """What is known of a range that was read before."""

    due: float = 0.0
    refused: int | None = None


class Demand:
    """Which ranges of one meter are requested. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, meter: str, max_ranges: int) -> None:
        self._meter = meter
        self._max_ranges = max_ranges
        self._nodes: dict[str, _Node] = {}
        self._past: dict[RegisterRange, _Past] = {}
        self._chosen: list[RegisterRange] = []
        self._until = -inf
        """Until when `_chosen` is right if no message comes."""
        self._since = -inf

    def on_status(self, node: str, *, online: bool) -> None:
        """Note a node's status: an offline node gets no requests, or gives no data."""
        if online or node in self._nodes:
            self._node(node).online = online
            self._until = -inf

    def on_requests(self, node: str, message: RequestsMessage, now: float) -> None:
        """Take a node's list of requests, published just now."""
        known = self._node(node)
        known.received = now
        newest = sorted(self._demanded(message.requests, now), key=lambda one: -one[1])
        known.requested = dict(newest[:_MOST_ENTRIES])
        self._until = -inf

    def wanted(self, now: float) -> tuple[RegisterRange, ...]:
        """The ranges to read, those chosen earlier first; never more than the setting allows."""
        if not self._since <= now <= self._until:
            self._choose(now)
        return tuple(self._chosen)

    def _choose(self, now: float) -> None:
        """Choose again. A range within a chosen one is not read twice."""
        requested: dict[RegisterRange, float] = {}
        for node in self._nodes.values():
            if node.online:
                for wanted, at in node.requested.items():
                    if now - at <= REQUESTED_WITHIN:
                        requested[wanted] = max(at, requested.get(wanted, -inf))
        open_ones = {wanted: at for wanted, at in requested.items() if not self._is_refused(wanted, now)}
        kept = [one for one in self._chosen if one in open_ones]
        chosen: list[RegisterRange] = []
        for one in (*kept, *sorted(open_ones.keys() - set(kept), key=lambda new: -open_ones[new])):
            if any(other.covers(one) for other in chosen):
                continue
            inside = [other for other in chosen if one.covers(other)]
            if inside or len(chosen) < self._max_ranges:
                chosen = [*(other for other in chosen if other not in inside), one]
        self._chosen = chosen
        refused = [self._past[one].due for one in requested if one not in open_ones]
        self._since, self._until = now, min([now + 1, *(at + REQUESTED_WITHIN for at in requested.values()), *refused])

    def wants(self, block: str, now: float) -> bool:
        """Whether the block of this name is still requested; true of any block that was never read on demand."""
        wanted = parse_block_name(block)
        return wanted is None or wanted in self.wanted(now)

    def due(self, now: float) -> RegisterRange | None:
        """The range to read now: of those that may be read, the one read longest ago."""
        ready = [one for one in self.wanted(now) if self._due(one) <= now]
        return min(ready, key=self._due, default=None)

    def next_due(self, now: float) -> float:
        """When `due` may return a range; `inf` while none is requested."""
        return min(map(self._due, self.wanted(now)), default=inf)

    def begin(self, wanted: RegisterRange, now: float) -> None:
        """Note that the range is being read: it is not due again for a while, whatever the result."""
        if wanted not in self._past and len(self._past) >= _MOST_REMEMBERED:
            del self._past[min(self._past, key=self._due)]
        self._past.setdefault(wanted, _Past()).due = now + EVERY

    def answered(self, wanted: RegisterRange) -> None:
        """The meter has this range."""
        if wanted in self._past:
            self._past[wanted].refused = None

    def refused(self, wanted: RegisterRange, code: int, now: float) -> bool:
        """The meter answered with exception `code`; true if it did not before."""
        past = self._past.setdefault(wanted, _Past())
        news = past.refused != code
        past.refused = code
        self._until = -inf
        past.due = now + (REFUSED_FOR if code in _ILLEGAL else EVERY)
        return news

    def unanswered(self, wanted: RegisterRange, now: float) -> None:
        """The meter did not answer, and the connection is gone."""
        self._past.setdefault(wanted, _Past()).due = now + UNANSWERED_FOR

    def _node(self, name: str) -> _Node:
        """The entry of a node. A new one replaces one that is offline, or was silent the longest."""
        if name not in self._nodes and len(self._nodes) >= _MOST_NODES:
            del self._nodes[min(self._nodes, key=lambda one: (self._nodes[one].online, self._nodes[one].received))]
        return self._nodes.setdefault(name, _Node(-inf))

    def _due(self, wanted: RegisterRange) -> float:
        past = self._past.get(wanted)
        return past.due if past else 0.0

    def _is_refused(self, wanted: RegisterRange, now: float) -> bool:
        past = self._past.get(wanted)
        return past is not None and past.refused in _ILLEGAL and now < past.due

    def _demanded(self, entries: Iterable[RequestEntry], now: float) -> Iterable[tuple[RegisterRange, float]]:
        for entry in entries:
            if not entry.demanded or entry.function != 3 or entry.meter != self._meter:
                continue
            try:
                wanted = RegisterRange(entry.start, entry.count)
            except ValueError:
                continue
            if wanted.count <= MOST_COUNT and not touches_map(wanted):
                yield wanted, now - entry.last_ago_ms / 1000
