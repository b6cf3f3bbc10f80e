"""Judges every byte that we put on the line, and every status, by the ten promises (docs/promises.md).

It knows what nobody in the chain knows: true time, what the meter measured in each cycle, and which faults are active.
"""

import re
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC
from modbus_codec.crc import has_valid_crc

from .bus import US, Line, Transmission
from .truth import Truth
from .world import World

STALL: Final = 0.1
"""Seconds after a request after which an answer would be taken for the next one's."""
DATED_LATE: Final = 0.004
"""Seconds that pass between an adapter's grain and the program's look at the clock, at most."""
GLITCH: Final = 2
"""Characters that a driver leaves behind a frame as it lets go of the line."""
BACK_WITHIN: Final = 5.0
OTHERS_BACK_WITHIN: Final = 15.0
"""The same for blocks that are polled every 10 s."""
STATUS_WITHIN: Final = 3.0
STATUS_NOTICED_WITHIN: Final = 12.0
"""The same where the broker must notice a dead connection: keepalive, and mosquitto's looks 6 s apart."""
REQUESTED_WITHIN: Final = 5.0
STILL_REQUESTS: Final = 3.0
"""Seconds between requests at most while an inverter asks, on the slowest line."""
PARDON_FOR: Final = 5.0
"""Seconds after a guest pause in which its one old answer may come."""
NEXT_ECHO: Final = 12.0
"""Seconds after a guest pause within which an echo shows that a clock stood still: pings come every 10 s."""
DATED_ANEW: Final = 1.0
"""Seconds without data then, once and at most: until the next cycle is dated."""
HELD_BACK: Final = 3.0
"""Seconds for which TCP may hold back what was sent to a guest while it was paused: it is given up then."""
TELLING: Final = 2
"""So many requests that lie at the port after a guest pause show it, as no client sends them within a look."""
BACKWARDS: Final = 1.0
"""Seconds by which a value may be older than the one before it: push and poll are dated apart."""
PINGS_A_MINUTE: Final = 20
"""A ping each 10 s, and each fault may need some at once."""
PINGED_WITHIN: Final = 10.0
PINGS_A_FAULT: Final = 10
LINES_A_MINUTE: Final = 8
LINES_A_FAULT: Final = 12
MOST_VIOLATIONS: Final = 50

ROUNDING_MS: Final = 1
"""By so much may moments of measuring step back: each is rounded down."""

_STAMPS: Final = re.compile(rb'"block":"([\w-]+)".*?"session":"(\w+)","seq":\d+,"boot_ms":(\d+),"age_ms":(\d+)')
_REFUSALS: Final = frozenset((1, 2, 3, 4, 11))
_STALE: Final = 4


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    at: float
    promise: int
    text: str

    def __str__(self) -> str:
        return f"{self.at:.4f} s: promise {self.promise}: {self.text}"


@dataclass(slots=True)
class _Requested:
    """A whole request to us."""

    frame: bytes
    end: float
    start: int
    count: int
    answered: bool = False
    data: bool = False
    hidden: bool = False
    """It reached no listener of ours whole, as the port was not open: nobody owes an answer."""


class Oracle:
    """One line, one meter. It is a station of the line, and is told what the world's faults do."""

    def __init__(
        self,
        world: World,
        line: Line,
        truth: Truth,
        *,
        unit: int = 1,
        grain: float = 0.0,
        limit: float = 1.5,
        stay: float = 0.0,
        earliest: float = 0.0,
    ) -> None:
        """`stay`, `earliest`: the unit's settings, in seconds."""
        self._stay = stay
        self._silence = max(line.gap, earliest)
        self._gets_data = True
        self._refused_at = -inf
        """When live data was refused last for another reason than `stay`, as far as the answers tell."""
        self.world = world
        self.violations: list[Violation] = []
        self.counts = {"data": 0, "refused": 0, "silent": 0, "damaged": 0}
        self.ages: deque[float] = deque(maxlen=10_000)
        self.truths = [truth]
        self.limits: dict[str, float] = {"live": limit, "energy": 60.0, "sunspec": 60.0, "device": inf}
        self.slack = 0.3 * truth.interval_ms / 1000 + 0.05
        """What no receiver can know: how long a write was on its way, within the rhythm of the pushes."""
        self.way = 0.0
        """Seconds that the way from the meter takes at most while it is slow: TCP does not tell, either."""
        self._line = line
        self._unit = unit
        self._grain = grain
        self._requested: _Requested | None = None
        self._others: list[Transmission] = []
        """What else was sent since the request."""
        self._active: set[str] = set()
        self._settled_at = 0.0
        """When the last fault ended."""
        self._noticing_until = 0.0
        """Until when a status may be late, as a connection's end must be noticed first."""
        self._pardon_until = self._unseen_until = self._echo_until = self._seldom_until = self._resumed_at = -inf
        self._asked_in_pause = 0
        self._gap_after = -inf
        """When the last live data came before the gap that was pardoned after a guest pause."""
        self._node_paused = False
        """Whether it was the node's guest that was paused last."""
        self._last_data = self._last_requested = -inf
        self._gaps: deque[float] = deque((0.0,), maxlen=4)
        """Seconds between requests: a node learns what the inverter gets no sooner."""
        self._failing_since: float | None = None
        self._status: dict[str, bytes] = {}
        self._status_since: dict[str, float] = {}
        self._inherited: set[str] = set()
        self._broker_up = True
        self._stands_at = -inf
        self._meter_gone_since: float | None = None
        self._lines: deque[float] = deque()
        self._pings: deque[float] = deque()
        self._newest: dict[tuple[int, int], float] = {}
        """When the newest data that was answered was measured, by range."""
        self._published: dict[tuple[bytes, bytes], tuple[int, float]] = {}
        """Of the newest block that a run of the publisher has published: its clock, and when it was measured."""
        self._faults_begun: deque[float] = deque([world.now])
        self._reported: set[tuple[int, str]] = set()
        line.stations.append(self)

    # What the world says.

    def fault_begins(self, name: str, *, hides: bool = False) -> None:
        """`hides`: the broker must notice it by itself before any status can be right."""
        self._active.add(name)
        self._faults_begun.append(self.world.now)
        self._settled_at = self.world.now
        if hides:
            self._noticing_until = inf

    def fault_ends(self, name: str) -> None:
        self._active.discard(name)
        self._settled_at = self.world.now
        if self._noticing_until == inf and not self._active:
            self._noticing_until = self.world.now + STATUS_NOTICED_WITHIN

    def node_starts(self) -> None:
        """A node that starts knows of no refusal before."""
        self._refused_at, self._gets_data = -inf, True

    def guest_paused(self, *, node: bool = True) -> None:
        """One old answer is allowed. `node`: it is the node's guest, so an answer may be late, too."""
        self._pardon_until = inf
        self._asked_in_pause = 0
        self._node_paused = node

    def guest_goes_on(self, at: float, *, lasted: float = 0.0, hidden: bool = False) -> None:
        """`hidden`: nothing on the node's host shows how old values are: its port kept nothing, or it was another's."""
        if hidden or self._asked_in_pause < TELLING:
            until = at + self.limits["live"] + DATED_LATE + min(lasted, HELD_BACK)
            self._unseen_until = max(self._unseen_until, until)
        self._resumed_at = at
        self._pardon_until = at + PARDON_FOR
        self._echo_until = at + NEXT_ECHO
        self._gap_after = -inf

    @property
    def pause_is_unseen(self) -> bool:
        """Whether old answers are pardoned, as nothing shows a guest pause."""
        return self.world.now < self._unseen_until

    def live_reached(self, registers: tuple[int, ...]) -> None:
        """The node holds a live block of a dated session: one of after a guest pause shows it, one of meanwhile not."""
        if any(truth.judge(0, registers).measured > self._resumed_at for truth in self.truths):
            self._unseen_until = -inf

    def broker(self, *, up: bool) -> None:
        """While it is down nobody can be told a status."""
        self._broker_up = up
        now = self.world.now
        if up:  # what it still holds it gives out as it starts
            self._status.clear()
            self._inherited.clear()
        self._noticing_until = max(self._noticing_until, now + STATUS_NOTICED_WITHIN)

    def broker_stands(self) -> None:
        """The broker's process or host stands still: nobody reads a status there now."""
        self._noticing_until = max(self._noticing_until, self.world.now + STATUS_NOTICED_WITHIN)
        self._stands_at = self.world.now

    def meter(self, *, is_live: bool) -> None:
        """Whether the meter can be reached in any way, and measures."""
        self._meter_gone_since = None if is_live else self.world.now

    def status(self, topic: str, payload: bytes, *, inherited: bool = False) -> None:
        """A status that the broker holds from now on; `inherited`: it had it as it started.

        Nobody can correct an inherited one while its owner finds no way to the broker.
        """
        self._inherited.discard(topic)
        if inherited:
            self._inherited.add(topic)
        if self._status.get(topic) != payload:
            self._status[topic] = payload
            self._status_since[topic] = self.world.now
        if payload not in (b"online", b"offline"):
            self._break(7, f"{topic} is {payload!r}")

    def published(self, payload: bytes) -> None:
        """A publisher's block has come to the broker: it must not be older than one that the same run published before.

        Only what was made with the house's key: all else is judged by what the node serves.
        """
        found = _STAMPS.search(payload)
        if found is None:
            return
        key, boot, age = (found[1], found[2]), int(found[3]), int(found[4])
        before = self._published.get(key, (-1, -inf))
        if boot > before[0]:
            self._published[key] = boot, boot - age
            older = before[1] - (boot - age)
            if older > ROUNDING_MS:
                self._break(2, f"{found[1].decode()}: published {older:.0f} ms older than before")

    def log_line(self, _text: str) -> None:
        """One line of a log of ours."""
        allowed = LINES_A_MINUTE + LINES_A_FAULT * self._faults_lately()
        if self._lately(self._lines) > allowed:
            self._break(9, f"more than {allowed} log lines within a minute")

    def pings_seldom(self) -> None:
        """Pings were in vain for a while: the next one may come as late as one does when all is well."""
        self._seldom_until = self.world.now + PINGED_WITHIN

    def ping(self) -> None:
        """A node pings."""
        allowed = PINGS_A_MINUTE + PINGS_A_FAULT * self._faults_lately()
        if self._lately(self._pings) > allowed:
            self._break(9, f"more than {allowed} pings within a minute")

    def _lately(self, moments: deque[float]) -> int:
        """Note one more, and count those of the last minute."""
        moments.append(self.world.now)
        while moments[0] < self.world.now - 60:
            moments.popleft()
        return len(moments)

    def _faults_lately(self) -> int:
        faults = self._faults_begun
        while faults and faults[0] < self.world.now - 60:
            faults.popleft()
        return max(len(faults), len(self._active))

    def size(self, what: str, size: int, limit: int) -> None:
        """How much of something is kept."""
        if size > limit:
            self._break(10, f"{what}: {size} are kept, {limit} are allowed")

    # What the line says.

    def begins(self, sent: Transmission) -> None:
        if sent.sender == US:
            self._judge(sent, sent.written)
        elif sent.sender == "inverter":
            self._settle()
        else:
            self._others.append(sent)

    def ends(self, sent: Transmission) -> None:
        if sent.sender != "inverter":
            return
        self._others.clear()
        frame = bytes(sent.data)
        self._requested = None
        if sent.damaged or not has_valid_crc(frame):
            self.counts["damaged"] += 1
        elif frame[0] == self._unit and len(frame) == 8:
            if self._last_requested > -inf:
                self._gaps.append(min(sent.end - self._last_requested, STILL_REQUESTS))
            self._last_requested = sent.end
            start, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
            self._requested = _Requested(frame, sent.end, start, count)
            self._asked_in_pause += 1

    def tick(self) -> None:
        """Look at the statuses; to be called twice a second or more."""
        now = self.world.now
        if not self._broker_up:
            return
        late = STATUS_WITHIN if now > self._noticing_until else STATUS_NOTICED_WITHIN
        wrong_since = self._failing_since
        if now - self._last_requested > STILL_REQUESTS:
            # What it would get cannot be told: for 5 s after its last request it counts as asking.
            silent_since = self._last_requested + REQUESTED_WITHIN
            wrong_since = silent_since if -inf < silent_since < now else None
        for topic, payload in self._status.items():
            since = wrong_since if "/rtu/" in topic else self._meter_gone_since
            since_known = max(self._status_since[topic], self._stands_at)
            held = topic in self._inherited and self._quiet_for(now) < STATUS_NOTICED_WITHIN
            if payload == b"online" and since is not None and not held:
                # The publisher may say "online" for as long as its last cycle is young enough.
                known = since + (0.0 if "/rtu/" in topic else self.limits["live"] + self.slack)
                seldom = max(self._gaps) if "/rtu/" in topic else 0.0
                if now - max(known, since_known) > late + seldom:
                    self._break(7, f"{topic} is online, and no data flows since {since:.2f}")
            quiet = self._quiet_for(now) > STATUS_NOTICED_WITHIN + self._stay
            if payload == b"offline" and since is None and quiet and now - self._last_data < 1.0:
                self._break(7, f"{topic} is offline, and data flows")

    def _quiet_for(self, now: float) -> float:
        """Seconds without any fault."""
        return -inf if self._active else now - max(self._settled_at, self._seldom_until)

    def _settle(self) -> None:
        """The inverter asks anew: what became of its last request is known."""
        requested, self._requested = self._requested, None
        if requested is None:
            return
        if requested.data:
            self._failing_since = None
            return
        if not requested.answered:
            self.counts["silent"] += 1
        live = requested.start < LIVE.stop
        if live and self._failing_since is None:
            self._failing_since = requested.end
        quiet = self._quiet_for(requested.end)
        if quiet > (BACK_WITHIN if live else OTHERS_BACK_WITHIN) + self._stay:
            if live and self._is_dated_anew(requested.end):
                return
            what = "refused" if requested.answered else "not answered"
            self._break(5, f"{requested.start}, {requested.count} registers: {what} {quiet:.1f} s after the last fault")

    def _is_dated_anew(self, now: float) -> bool:
        """Whether this may be the one gap that the echo after a guest pause makes."""
        if now > self._echo_until or now - self._last_data > DATED_ANEW:
            return False
        if self._gap_after not in (-inf, self._last_data):
            return False
        self._gap_after = self._last_data
        return True

    def _judge(self, sent: Transmission, frame: bytes) -> None:
        requested = self._requested
        if not self._fits_in_time(sent, requested):
            return
        assert requested is not None
        requested.answered = True
        if len(frame) < 5 or not has_valid_crc(frame):
            self._break(4, f"a broken frame: {frame.hex(' ')}")
        elif frame[0] != self._unit:
            self._break(4, f"unit {frame[0]} answers")
        elif frame[1] == requested.frame[1] | 0x80 and len(frame) == 5 and frame[2] in _REFUSALS:
            self.counts["refused"] += 1
            if frame[2] == _STALE and requested.start < LIVE.stop and self._gets_data:
                self._refused_at, self._gets_data = sent.decided, False
        elif frame[1] != requested.frame[1] or frame[2] != 2 * requested.count or len(frame) != 5 + frame[2]:
            self._break(4, f"{frame[:3].hex(' ')}... answers {requested.frame.hex(' ')}")
        else:
            registers = tuple(int.from_bytes(frame[at : at + 2], "big") for at in range(3, len(frame) - 2, 2))
            self._judge_words(sent.start, requested, registers)

    def _fits_in_time(self, sent: Transmission, requested: _Requested | None) -> bool:
        known = [one for one in self._others if one.seen <= sent.decided]
        if sum(len(one.data) for one in known) > GLITCH:
            return self._break(4, f"an answer follows characters of {known[-1].sender}")
        if requested is None:
            return self._break(4, f"no whole request to us is what this answers: {sent.data.hex(' ')}")
        if requested.answered:
            return self._break(4, "a second answer to one request")
        in_time = self._silence - 1e-6, STALL + self._grain + DATED_LATE
        silent_since = max([requested.end, *(one.end for one in known)])
        if sent.start - silent_since < in_time[0]:
            return self._break(4, f"begun {1e3 * (sent.start - silent_since):.3f} ms after the last character")
        if sent.start - requested.end > in_time[1]:
            if self._node_paused and self._pardoned():
                requested.answered = True
                return False
            return self._break(4, f"begun {1e3 * (sent.start - requested.end):.1f} ms after its request")
        return True

    def _judge_words(self, now: float, requested: _Requested, registers: tuple[int, ...]) -> None:
        judged = [truth.judge(requested.start, registers) for truth in self.truths]
        best = next((one for one in judged if one.kind == "good"), judged[0])
        where = f"{requested.start}, {requested.count} registers"
        requested.data = True  # what is wrong with it is told by itself
        self._gets_data = True
        if now - self._refused_at < self._stay:
            self._break(5, f"{where}: data {now - self._refused_at:.3f} s after a refusal, {self._stay:.3f} are kept")
        if best.kind == "torn":
            self._break(3, f"{where}: {best.why}")
        elif best.kind != "good":
            self._break(2, f"{where}: {best.why}")
        elif now - best.measured > self.limits[_block(requested.start)] + self.slack + self.way:
            if not self._pardoned():
                self._break(1, f"{where}: {now - best.measured:.3f} s old")
        elif (
            best.measured < self._newest.get((requested.start, requested.count), -inf) - BACKWARDS
            and not self._pardoned()
        ):
            self._break(2, f"{where}: older than the answer before, {now - best.measured:.3f} s old")
        else:
            self.counts["data"] += 1
            if best.measured < inf:
                self._newest[requested.start, requested.count] = best.measured
            if requested.start < LIVE.stop:
                self._last_data = now
                self._failing_since = None
                if best.measured < inf:
                    self.ages.append(now - best.measured)

    def _pardoned(self) -> bool:
        """Whether this is the one answer that is allowed after a guest pause; only once, or while nothing shows it."""
        if self.pause_is_unseen:
            return True
        pardoned = self._pardon_until > self.world.now
        self._pardon_until = -inf
        return pardoned

    def _break(self, promise: int, text: str) -> bool:
        """Note it, each kind of text once in a run's first violations; returns False."""
        kind = "".join(letter for letter in text if not letter.isdigit())
        if len(self.violations) < MOST_VIOLATIONS and (promise, kind) not in self._reported:
            self._reported.add((promise, kind))
            self.violations.append(Violation(self.world.now, promise, text))
            self.world.trace("ORACLE", f"promise {promise} is broken: {text}")
        return False


def _block(start: int) -> str:
    for name, block in (("live", LIVE), ("energy", ENERGY), ("sunspec", SUNSPEC), ("device", DEVICE)):
        if block.start <= start < block.stop:
            return name
    return "device"
