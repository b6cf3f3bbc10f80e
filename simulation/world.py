"""Runs virtual time: events, hosts with clocks of their own, processes that stall, stop, crash and start again.

One thread runs everything. Nothing here reads a real clock, and every random number comes from a seed, so a run is
repeated exactly by its seed.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Final

Call = Callable[[], None]

WALL_START: Final = 1_790_000_000.0
"""Seconds since 1970 at which the hosts' wall clocks begin, about."""
MOST_AT_ONCE: Final = 100_000
"""Events of one moment: more are a mistake in the simulation."""
TRACE_LINES: Final = 4000


class Event:
    """Something that will happen; `cancel` it while it has not."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call

    def cancel(self) -> None:
        self.call = None


class World:
    """The event queue. `now` is true time in seconds, which no host knows."""

    def __init__(self, seed: str, *, trace: bool = False) -> None:
        self.now = 0.0
        self.seed = seed
        self.events = 0
        self.tracing = trace
        self.timeline: deque[tuple[float, str, str]] = deque(maxlen=TRACE_LINES)
        self._queue: list[tuple[float, int, Event]] = []
        self._number = 0

    def random(self, part: str) -> Random:
        """Return the random numbers of one part: what other parts draw does not change them."""
        return Random(f"{self.seed}/{part}")

    def at(self, when: float, call: Call) -> Event:
        """Do `call` at `when`, or now if that has passed. Events of one moment run in the order of these calls."""
        event = Event(call)
        self._number += 1
        heappush(self._queue, (max(when, self.now), self._number, event))
        return event

    def after(self, delay: float, call: Call) -> Event:
        """Do `call` after `delay` seconds of true time."""
        return self.at(self.now + delay, call)

    def run(self, until: float) -> None:
        """Let time pass until then."""
        queue = self._queue
        moment = self.events
        while queue and queue[0][0] <= until:
            when, _, event = heappop(queue)
            call = event.call
            if call is None:
                continue
            if when > self.now:
                self.now = when
                moment = self.events
            elif self.events - moment > MOST_AT_ONCE:
                raise RuntimeError(f"time stands still at {when}: {call}")
            self.events += 1
            call()
        self.now = max(self.now, until)

    def trace(self, who: str, text: str) -> None:
        """Note a line of the timeline; callers look at `tracing` first where the text costs something."""
        if self.tracing:
            self.timeline.append((self.now, who, text))


class Host:
    """A machine: its clocks, and whether it runs at all."""

    def __init__(self, world: World, name: str, *, booted: float = 100.0, ppm: float = 0.0) -> None:
        """`booted`: seconds since its start when the simulation begins. `ppm`: by how much its oscillator is fast."""
        self.world = world
        self.name = name
        self.asleep_until = -inf
        self._rate = 1 + ppm / 1e6
        self._raw, self._at = booted, world.now
        self._slept = 0.0
        self._slewed, self._slew_ppm = 0.0, 0.0
        self._wall = WALL_START

    @property
    def asleep(self) -> bool:
        return self.world.now < self.asleep_until

    def raw(self) -> float:
        """CLOCK_MONOTONIC_RAW: the oscillator, without what the host slept."""
        awake = self.world.now - self._at
        return self._raw + awake * self._rate if awake > 0 else self._raw

    def oscillator(self) -> float:
        """What `service_runtime.clock.boottime` gives: the oscillator and what the host slept, never slewed."""
        return self.raw() + self._slept

    def gettime_ns(self, clock: int) -> int:
        """Stand in for `time.clock_gettime_ns`: BOOTTIME, MONOTONIC, MONOTONIC_RAW or REALTIME."""
        if clock == time.CLOCK_MONOTONIC_RAW:
            return round(self.raw() * 1e9)
        monotonic = self.raw() + self._slew_sum()
        if clock == time.CLOCK_MONOTONIC:
            return round(monotonic * 1e9)
        boottime = monotonic + self._slept
        return round((boottime + self._wall if clock == time.CLOCK_REALTIME else boottime) * 1e9)

    def slew(self, ppm: float) -> None:
        """A time service makes all clocks but MONOTONIC_RAW faster by `ppm`, until it is called again."""
        self._slewed = self._slew_sum()
        self._raw, self._at = self.raw(), max(self._at, self.world.now)
        self._slew_ppm = ppm

    def step_wall(self, seconds: float) -> None:
        """The wall clock jumps."""
        self._wall += seconds

    def drift(self, ppm: float) -> None:
        """The oscillator changes its pace, as it does with temperature."""
        self.slew(self._slew_ppm)
        self._rate = 1 + ppm / 1e6

    def suspend(self, seconds: float) -> None:
        """Nothing runs; BOOTTIME counts the time, the oscillator's clock and MONOTONIC do not."""
        self._slept += self._halt(seconds) * self._rate

    def pause(self, seconds: float) -> None:
        """The guest is paused by its hypervisor: nothing runs, and no clock of it knows."""
        self._halt(seconds)

    def _halt(self, seconds: float) -> float:
        """Return by how much longer it stands still than it would have."""
        self.slew(self._slew_ppm)
        begin = max(self.asleep_until, self.world.now)
        self.asleep_until = max(begin, self.world.now + seconds)
        self._at = self.asleep_until
        return self.asleep_until - begin

    def _slew_sum(self) -> float:
        return self._slewed + max(0.0, self.world.now - self._at) * self._slew_ppm / 1e6


class Process:
    """A program on a host. What is scheduled by it waits while it or its host stands still, and dies with it."""

    def __init__(self, host: Host, name: str, start: Call | None = None) -> None:
        """`start` (the attribute `begin`) is what it does first, at each start."""
        self.host = host
        self.world = host.world
        self.name = name
        self.alive = False
        self.stopped_until = -inf
        self.steps = 0
        """Events that this process has run: a crash may be set to one of them."""
        self.crash_at_step: int | None = None
        self.on_death: list[Callable[[bool], None]] = []
        """Called with whether its host's kernel lives on: what it held is closed then."""
        self.begin = start
        self.life = 0
        """Changes with each start and each end."""

    @property
    def is_stopped(self) -> bool:
        """Whether it gets no processor, whatever its host does."""
        return self.world.now < self.stopped_until

    @property
    def stands(self) -> bool:
        """Whether it can do nothing now, and could not disconnect cleanly."""
        return self.world.now < max(self.stopped_until, self.host.asleep_until)

    def start(self) -> None:
        """Begin, if it does not run."""
        if not self.alive:
            self.alive = True
            self.life += 1
            self.world.trace(self.name, "starts")
            if self.begin is not None:
                self.after(0.0, self.begin)

    def at(self, when: float, call: Call) -> Event:
        """Do `call` at that true time, or as soon after as the process runs."""
        event = Event(call)
        self.world.at(when, partial(self._fire, event, self.life))
        return event

    def after(self, delay: float, call: Call) -> Event:
        return self.at(self.world.now + delay, call)

    def stall(self, seconds: float) -> None:
        """The scheduler gives it no processor, or somebody stops it (SIGSTOP); its kernel goes on."""
        self.stopped_until = max(self.stopped_until, self.world.now + seconds)

    def crash(self, *, kernel_lives: bool = True) -> None:
        """It ends here. With the kernel alive its connections are reset, else they are half open."""
        if self.alive:
            self.alive = False
            self.life += 1
            self.crash_at_step = None
            self.stopped_until = -inf
            self.world.trace(self.name, "crashes" if kernel_lives else "loses power")
            held, self.on_death = self.on_death, []
            for close in held:
                close(kernel_lives)

    def _fire(self, event: Event, life: int) -> None:
        call = event.call
        if call is None or life != self.life:
            return
        free = max(self.stopped_until, self.host.asleep_until)
        if free > self.world.now:
            self.world.at(free, partial(self._fire, event, life))
            return
        event.call = None
        self.steps += 1
        if self.steps == self.crash_at_step:
            self.crash()
            return
        call()
