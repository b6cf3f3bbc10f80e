"""Finds in one unit's requests and answers the times in which its inverter got no data [core].

Between two answers with data lies a pause. A pause is cut where the inverter slept; what is left of it counts as a
whole, from its begin to its end, if it is longer than `SERVED_WITHIN` (1 s), and in it

- a request got no data, or
- the port was not listened to (gone, or this process stood still or did not run), or
- the inverter was silent for longer than it usually is: its requests were lost on the way, or its cable was off.

An inverter sleeps if the port is listened to for over `AWAKE_FOR` (60 s) and no request comes: at night it does so for
hours. A cable that is cut looks the same; the unit's state in health names it. A time in which the port is not listened
to belongs to a sleep that lies on both sides of it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, Self

from ksem_contract.reasons import Reason
from rtu_server.counters import AWAKE_FOR, Gap, LineCounters, Silence
from rtu_server.health import SERVED_WITHIN

MAX_DEAF: Final = 64
"""Times without an open port that are kept: many more than there are within one sleep."""
UNNAMED: Final = Reason.of("inverter-unserved").code
"""The reason where nothing else was seen: the data came back before anybody looked."""
STOPPED: Final = Reason.of("node-stopped").code
SILENT: Final = "inverter-stopped"
UNREADABLE: Final = "inverter-unreadable"

Fate = Literal["awake", "asleep", "open"]
"""What a time without a request is; `open`: the next request, or its absence, shows it."""


class DataFlow(NamedTuple):
    """What is known at one moment about the data that one unit's inverter gets. Times in seconds of CLOCK_BOOTTIME."""

    gaps: Iterable[Gap]
    """The last pauses between two answers with data, older ones too."""
    silences: Iterable[Silence]
    """The last times without a request, older ones too."""
    last_data: float | None
    last_request: float | None
    is_refused: bool
    """A request since `last_data` got no data."""
    listening_since: float
    port_up: bool
    noise: int
    """Bytes that were no frame, since the start."""

    @classmethod
    def of(cls, line: LineCounters, unit: int, *, port_up: bool) -> Self:
        """Take it from a line's counters."""
        own = line.units[unit]
        return cls(
            gaps=own.gaps,
            silences=own.silences,
            last_data=own.last_data,
            last_request=own.last_request,
            is_refused=own.is_refused,
            listening_since=line.listening_since,
            port_up=port_up,
            noise=line.noise,
        )


class Span(NamedTuple):
    """A stretch of time in seconds of CLOCK_BOOTTIME."""

    since: float
    until: float

    def overlaps(self, other: "Span") -> bool:
        """Whether both have a time in common."""
        return self.since < other.until and other.since < self.until


class Missing(NamedTuple):
    """A time in which the inverter got no data."""

    span: Span
    code: str
    """The reason where no other was seen."""


class _Piece(NamedTuple):
    """A part of a time without a request: either the port was listened to, or it was not."""

    span: Span
    deaf: bool
    fate: Fate


class _Pause(NamedTuple):
    """A time between two answers with data, or before the first."""

    span: Span
    is_refused: bool
    is_first: bool
    """Nobody listened when it began."""
    is_open: bool
    """It goes on."""


class UnitTimeline:
    """One unit's time, up to the moment until which it is known whether data was missing."""

    def __init__(self, begun: float, *, asleep: bool = False) -> None:
        """`begun`: since when nobody has listened. `asleep`: the inverter slept then."""
        self._begun = self._listened_until = self.known_until = begun
        self._begun_asleep = self.is_asleep = asleep
        self._deaf: deque[Span] = deque(maxlen=MAX_DEAF)
        self._noise, self._noise_at = 0, begun

    def look(self, flow: DataFlow, now: float) -> list[Missing]:
        """Return what has become known since the last call. Call it about once a second."""
        deaf = self._follow(flow, now)
        known = self.known_until
        found = [
            missing
            for pause in self._pauses(flow, now)
            if pause.span.until > known or pause.is_open
            for missing in self._missing_in(pause, flow, deaf)
        ]
        return [
            missing._replace(span=Span(max(missing.span.since, known), missing.span.until))
            for missing in found
            if missing.span.until > known
        ]

    def _pauses(self, flow: DataFlow, now: float) -> Iterator[_Pause]:
        for gap in flow.gaps:
            span = Span(max(gap.since, self._begun), gap.until)
            yield _Pause(span, gap.is_refused, is_first=gap.since < self._begun, is_open=False)
        last = self._begun if flow.last_data is None else flow.last_data
        yield _Pause(Span(last, max(last, now)), flow.is_refused, is_first=flow.last_data is None, is_open=True)

    def _follow(self, flow: DataFlow, now: float) -> list[Span]:
        """Note when the port was not listened to; return all such times, the present one too."""
        if flow.noise != self._noise:
            self._noise, self._noise_at = flow.noise, now
        begin = self._listened_until
        if flow.last_request is not None and (flow.last_request <= flow.listening_since or not flow.port_up):
            begin = max(begin, flow.last_request)
        if not flow.port_up:
            return [*self._deaf, Span(begin, max(begin, now))]
        if flow.listening_since - begin > SERVED_WITHIN:
            self._deaf.append(Span(begin, flow.listening_since))
        self._listened_until = now
        return list(self._deaf)

    def _missing_in(self, pause: _Pause, flow: DataFlow, deaf: list[Span]) -> Iterator[Missing]:
        """Return the parts of a pause that count; with the open one, note until when everything is known."""
        pieces = list(self._pieces(pause, flow, deaf))
        begin, end = pause.span.since, next((one.span.since for one in pieces if one.fate == "open"), pause.span.until)
        for part in list(without(Span(begin, end), [one.span for one in pieces if one.fate == "asleep"])):
            code = self._why_missing(part, pause, flow, pieces)
            if code and part.until - part.since > SERVED_WITHIN:
                yield Missing(part, code)
            elif part.until == end:
                end = part.since
        if pause.is_open:
            self.known_until = max(self.known_until, end)
            self.is_asleep = _sleeps(pieces)

    def _pieces(self, pause: _Pause, flow: DataFlow, deaf: list[Span]) -> Iterator[_Piece]:
        """The times without a request in this pause, cut by those in which the port was not listened to."""
        for silence in flow.silences:
            span = Span(max(silence.since, self._begun), silence.until)
            if span.overlaps(pause.span):
                yield from _judged(span, deaf, is_open=False, begun_asleep=self._sleeps_at(span.since))
        if pause.is_open:
            last = self._begun if flow.last_request is None else flow.last_request
            span = Span(last, max(last, pause.span.until))
            yield from _judged(span, deaf, is_open=True, begun_asleep=self._sleeps_at(last))

    def _sleeps_at(self, since: float) -> bool:
        return self._begun_asleep and since == self._begun

    def _why_missing(self, part: Span, pause: _Pause, flow: DataFlow, pieces: list[_Piece]) -> str:
        """Return the reason why data is missing in this part, or nothing: then it is the inverter's own pause."""
        if pause.is_first and part.since == pause.span.since:
            return STOPPED
        if any(piece.deaf and piece.span.overlaps(part) for piece in pieces):
            return STOPPED
        if pause.is_refused:
            return UNNAMED
        unusual = any(not one.is_usual and Span(one.since, one.until).overlaps(part) for one in flow.silences)
        if not unusual:
            return ""
        return UNREADABLE if self._noise_at >= part.since else SILENT

    def has_noise_since(self, since: float) -> bool:
        """Whether bytes that were no frame came after this moment."""
        return self._noise_at >= since


def _judged(span: Span, deaf: list[Span], *, is_open: bool, begun_asleep: bool) -> Iterator[_Piece]:
    """Cut a time without a request into pieces: listened to, not, listened to ... It begins and ends with the first."""
    cuts = [Span(max(one.since, span.since), min(one.until, span.until)) for one in deaf if one.overlaps(span)]
    begins = [span.since, *(cut.until for cut in cuts)]
    ends = [*(cut.since for cut in cuts), span.until]
    listened = [Span(begin, max(begin, end)) for begin, end in zip(begins, ends, strict=True)]
    fates: list[Fate] = ["asleep" if one.until - one.since > AWAKE_FOR else "awake" for one in listened]
    if is_open and fates[-1] == "awake":
        fates[-1] = "open"
    if begun_asleep:
        fates[0] = "asleep"
    for place, one in enumerate(listened):
        if place:
            fate = "awake" if fates[place - 1] == "awake" else fates[place]
            yield _Piece(cuts[place - 1], True, fate)
        yield _Piece(one, False, fates[place])


def without(span: Span, holes: list[Span]) -> Iterator[Span]:
    """Return what holes in order leave of a span: where the last one ends with it, an empty rest, too."""
    at = span.since
    for hole in holes:
        if at < hole.since:
            yield Span(at, hole.since)
        at = max(at, hole.until)
    if at <= span.until:
        yield Span(at, span.until)


def _sleeps(pieces: list[_Piece]) -> bool:
    return pieces[-1].fate == "asleep" or any(piece.deaf and piece.fate == "open" for piece in pieces)
