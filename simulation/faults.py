"""Draws faults from a seed, puts them into a scene, and removes some where a seed fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random
from typing import Final, NamedTuple

from .broker import everything
from .meter import SHAPES, Poll, PollPlan, PushPlan
from .network import Path
from .scene import Scene
from .world import Host, Process

Undo = Callable[[], None]
Do = Callable[[Scene, Random, float], Undo | None]
"""Puts a fault into a scene for some seconds; what it returns takes it out again."""

FIRST_AT: Final = 20.0
"""Seconds until the first fault: everything has started by then."""


NO_BLOCKS: Final = 3.0
"""Seconds for which an ACL may keep blocks away, too, before it allows all again."""


class Kind(NamedTuple):
    """A kind of fault."""

    name: str
    weight: float
    shortest: float
    longest: float
    do: Do
    hides: bool = False
    """Connections die unnoticed: the broker and both services must find out by themselves."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a run. `number` is its place in what the seed draws."""

    number: int
    kind: Kind
    at: float
    lasts: float
    seed: str

    def __str__(self) -> str:
        return f"#{self.number} {self.at:.2f} s: {self.kind.name}, {self.lasts:.3g} s"

    def plan(self, scene: Scene) -> None:
        """Put it into the scene's future."""
        scene.world.at(self.at, lambda: self._begin(scene))

    def _begin(self, scene: Scene) -> None:
        name = str(self)
        scene.world.trace("FAULT", name)
        scene.oracle.fault_begins(name, hides=self.kind.hides)
        undo = self.kind.do(scene, Random(self.seed), self.lasts)
        note_meter(scene)

        def end() -> None:
            scene.world.trace("FAULT", f"#{self.number} ends")
            if undo is not None:
                undo()
            note_meter(scene)
            scene.truth.look_anew(scene.world.now)
            scene.oracle.fault_ends(name)

        scene.world.after(self.lasts, end)


def note_meter(scene: Scene) -> None:
    """Report to the oracle whether the meter's data can flow at all."""
    meter = scene.meter
    pushes = not meter.silent and bool(SHAPES[meter.push.shape])
    bad = meter.poll.share == 1.0 and meter.poll.how not in {"good", "doubled"}
    polls = ("cabinet", 502) in scene.network.listening and not bad
    reached = scene.network.path("cabinet", "here").up and meter.process.alive and not meter.foreign
    is_live = reached and (pushes or polls)
    if is_live != scene.meter_is_live:
        scene.meter_is_live = is_live
        scene.oracle.meter(is_live=is_live)


def draw(seed: str, seconds: float) -> list[Fault]:
    """Return the faults of a seed up to then; a shorter time has the first of them."""
    random = Random(f"{seed}/faults")
    faults: list[Fault] = []
    busy: dict[str, float] = {}
    at, number = FIRST_AT, 0
    while at < seconds:
        kind = random.choices(KINDS, [kind.weight for kind in KINDS])[0]
        lasts = kind.shortest * (kind.longest / kind.shortest) ** random.random()
        fault = Fault(number, kind, at, lasts, f"{seed}/fault/{number}")
        # Several faults at once, and now and then a time in which all must be well again.
        at += random.expovariate(1 / 1.2) if random.random() < 0.75 else random.uniform(6.0, 14.0)
        number += 1
        if busy.get(kind.name, 0.0) < fault.at:
            busy[kind.name] = fault.at + lasts
            faults.append(fault)
    return faults


def shrink(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], most: int = 200) -> list[Fault]:
    """Return fewer faults that still fail.

    Mostly the last ones do it. Of those, halves, quarters, ... are left out while that goes on failing.
    """
    left = list(faults)
    tries, last = 0, 0
    while last < len(left):
        tries += 1
        if fails(left[len(left) - last :]):
            left = left[len(left) - last :]
            break
        last = max(1, 2 * last)
    size = max(1, len(left) // 2)
    while left and tries < most:
        for begin in range(0, len(left), size):
            fewer = left[:begin] + left[begin + size :]
            tries += 1
            if fails(fewer):
                left = fewer
                break
        else:
            if size == 1:
                break
            size //= 2
            continue
        size = max(1, min(size, len(left)))
    return left


# Processes and hosts.


def _stall(process: Callable[[Scene], Process]) -> Do:
    return lambda scene, _random, seconds: process(scene).stall(seconds)


def _suspend(host: Callable[[Scene], Host]) -> Do:
    return lambda scene, _random, seconds: host(scene).suspend(seconds)


def _pause(host: Callable[[Scene], Host]) -> Do:
    def do(scene: Scene, _random: Random, seconds: float) -> Undo:
        paused, node = host(scene), scene.node_process
        stands, opened = node.stands, scene.adapter.opened
        paused.pause(seconds)
        scene.oracle.guest_paused(node=paused is scene.node_host)

        def goes_on() -> None:
            kept = scene.adapter.is_open and scene.adapter.opened == opened and not stands and not node.is_stopped
            hidden = paused is not scene.node_host or not kept
            scene.oracle.guest_goes_on(max(scene.world.now, paused.asleep_until), lasted=seconds, hidden=hidden)

        return goes_on

    return do


def _replay_after_pause(scene: Scene, random: Random, seconds: float) -> Undo:
    """The node's guest is paused; later somebody sends it once more what it had received just before."""
    again = scene.adversary.newest_with_pong()
    paused = random.uniform(0.5, 0.8) * (seconds - 1.0)
    ends = _pause(_node_host)(scene, random, paused)
    if ends is not None:
        scene.world.after(paused, ends)

    def replay() -> None:
        if scene.broker_host.process.alive:
            scene.publish(again)

    scene.world.after(random.uniform(paused + 0.1, seconds), replay)
    return lambda: None


def _crash(process: Callable[[Scene], Process], *, kernel_lives: bool) -> Do:
    def do(scene: Scene, _random: Random, _seconds: float) -> Undo:
        process(scene).crash(kernel_lives=kernel_lives)
        return process(scene).start

    return do


def _crash_at_event(process: Callable[[Scene], Process]) -> Do:
    """It dies at one of its next events, and is started again some time later."""

    def do(scene: Scene, random: Random, _seconds: float) -> Undo:
        one = process(scene)
        one.crash_at_step = one.steps + random.randint(1, 30)

        def start() -> None:
            one.crash_at_step = None
            one.start()

        return start

    return do


def _stop_publisher(scene: Scene, _random: Random, _seconds: float) -> Undo:
    if scene.publisher_process.alive and scene.publisher.begun:
        scene.publisher.stop()
    return partial(_start_again, scene.publisher_process)


def _stop_node(scene: Scene, _random: Random, _seconds: float) -> Undo:
    if scene.node_process.alive and scene.node.begun:
        scene.node.stop()
    return partial(_start_again, scene.node_process)


def _start_again(process: Process) -> None:
    """As systemd does: once it has ended, however long that takes."""
    if process.alive:
        process.world.after(0.1, partial(_start_again, process))
    else:
        process.start()


def _restart_broker(*, clean: bool) -> Do:
    def do(scene: Scene, _random: Random, _seconds: float) -> Undo:
        scene.broker_stops(clean=clean)
        return scene.broker_host.process.start

    return do


def _step_wall(scene: Scene, random: Random, _seconds: float) -> None:
    random.choice((scene.publisher_host, scene.node_host)).step_wall(random.uniform(-1e6, 1e6))


def _slew(scene: Scene, random: Random, _seconds: float) -> Undo:
    host = random.choice((scene.publisher_host, scene.node_host))
    host.slew(random.uniform(-83_333, 83_333))
    return lambda: host.slew(0.0)


def _drift(scene: Scene, random: Random, _seconds: float) -> None:
    random.choice((scene.publisher_host, scene.node_host)).drift(random.uniform(-500, 500))


# The network.


def _paths(scene: Scene, random: Random) -> Path:
    return scene.network.path(*random.choice((("cabinet", "here"), ("here", "there"))))


def _path_down(scene: Scene, random: Random, _seconds: float) -> Undo:
    path = _paths(scene, random)
    path.up = False

    def up() -> None:
        path.up = True

    return up


def _path_slow(scene: Scene, random: Random, _seconds: float) -> Undo:
    path = _paths(scene, random)
    from_meter = path is scene.network.path("cabinet", "here")
    before = path.delay, path.jitter
    path.delay = 0.02 * (5 if from_meter else 60) ** random.random()
    path.jitter = path.delay * random.random()
    if from_meter:
        scene.oracle.way = path.delay + path.jitter

    def known_again() -> None:
        scene.oracle.way = 0.0

    def restore() -> None:
        path.delay, path.jitter = before
        if from_meter:
            scene.world.after(3.0, known_again)

    return restore


def _small_segments(scene: Scene, random: Random, _seconds: float) -> Undo:
    path = _paths(scene, random)
    before, path.segment = path.segment, random.choice((4, 30, 100))

    def restore() -> None:
        path.segment = before

    return restore


def _cut(scene: Scene, random: Random, _seconds: float) -> None:
    for connection in scene.network.connections:
        if random.random() < 0.5:
            connection.cut()


def _replay(scene: Scene, _random: Random, _seconds: float) -> None:
    scene.broker.replay("#")


def _starve(scene: Scene, random: Random, seconds: float) -> Undo:
    """An ACL, changed for a while, keeps one kind of message from all who subscribe; at its end maybe blocks, too.

    Blocks that come again are a reason to ping at once, whatever was in vain before.
    """
    kind = random.choice(("/ping/", "/pong/", "/block/"))
    blocks_from = scene.world.now + (seconds - NO_BLOCKS if random.random() < 0.5 and seconds > NO_BLOCKS else inf)

    def allowed(user: str, action: str, topic: str) -> bool:
        withheld = kind in topic or (scene.world.now >= blocks_from and "/block/" in topic)
        return action == "write" or user == "watcher" or not withheld

    scene.broker.allowed = allowed

    def all_allowed() -> None:
        scene.broker.allowed = everything
        if blocks_from == inf and kind != "/block/":
            scene.oracle.pings_seldom()

    return all_allowed


def _garbage(scene: Scene, random: Random, _seconds: float) -> None:
    scene.publish_garbage(random)


# The meter.


def _push_away(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.meter.silent = True

    def back() -> None:
        scene.meter.silent = False

    return back


def _other_shape(scene: Scene, random: Random, _seconds: float) -> None:
    before = scene.meter.push
    shape = random.choice(list(SHAPES))
    gap = random.choice((0.0, 0.001, 0.01, 0.04))
    scene.meter.push = PushPlan(shape, before.lag, gap, before.connections, before.queueing)


def _polls_refused(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.meter.refuse()

    def again() -> None:
        if scene.meter.process.alive:
            scene.meter.listen()

    return again


def _polls_bad(scene: Scene, random: Random, _seconds: float) -> Undo:
    how: Poll = random.choice(("exception", "short", "doubled", "other function", "silent"))
    share = random.choice((0.1, 0.3, 1.0))
    scene.meter.poll = PollPlan(how, random.choice((1, 2, 4, 5, 6, 11)), 0.004, share)
    return _good_polls(scene)


def _polls_slow(scene: Scene, random: Random, _seconds: float) -> Undo:
    scene.meter.poll = PollPlan(delay=random.uniform(0.03, 0.4))
    return _good_polls(scene)


def _good_polls(scene: Scene) -> Undo:
    return scene.usual_polls


def _reboot(scene: Scene, _random: Random, seconds: float) -> None:
    scene.meter.reboot(max(0.1, seconds - 1.0))


def _replace(scene: Scene, _random: Random, _seconds: float) -> None:
    scene.meter.replace()


def _freeze(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.meter.frozen = True

    def thaw() -> None:
        scene.meter.frozen = False

    return thaw


def _foreign(scene: Scene, random: Random, _seconds: float) -> Undo:
    scene.meter.foreign = True
    scene.meter.nameless = random.random() < 0.5
    _connect_anew(scene)

    def back() -> None:
        scene.meter.foreign = False
        _connect_anew(scene)

    return back


def _connect_anew(scene: Scene) -> None:
    """No connection outlives a change of the device behind an address."""
    if ("cabinet", 502) in scene.network.listening:
        scene.meter.refuse()
        scene.meter.listen()


# The line.


def _noise(scene: Scene, random: Random, seconds: float) -> None:
    until = scene.world.now + seconds

    def burst() -> None:
        if scene.world.now < until:
            scene.line.send("noise", random.randbytes(random.choice((1, 1, 2, 5, 40, 300))))
            scene.world.after(random.expovariate(1 / 0.15), burst)

    burst()


def _damage(scene: Scene, random: Random, _seconds: float) -> Undo:
    scene.inverter.damage_next = random.randint(1, 6)

    def enough() -> None:
        scene.inverter.damage_next = 0

    return enough


def _glitches(scene: Scene, random: Random, _seconds: float) -> Undo:
    scene.inverter.glitch_next = random.randint(1, 20)

    def enough() -> None:
        scene.inverter.glitch_next = 0

    return enough


def _stuck(scene: Scene, _random: Random, _seconds: float) -> Undo:
    """With a program that stands still, which can take nothing back, it is the adapter that is reset."""
    scene.adapter.stuck = True

    def unstick() -> None:
        if scene.node_process.stands:
            scene.adapter.drop_output()
        scene.adapter.unstick()

    return unstick


def _unplug(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.adapter.unplug()
    return scene.adapter.plug


def _unplug_in_reply(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.adapter.unplug()
    scene.adapter.on_opened = scene.inverter.other_goes_on
    return scene.adapter.plug


def _stall_in_reply(scene: Scene, random: Random, seconds: float) -> None:
    scene.node_process.stall(seconds)
    scene.world.after(seconds - random.uniform(0.0, 0.01), scene.inverter.other_goes_on)


def _inverter_silent(scene: Scene, _random: Random, _seconds: float) -> Undo:
    scene.inverter.paused = True

    def again() -> None:
        scene.inverter.paused = False

    return again


def _node(scene: Scene) -> Process:
    return scene.node_process


def _publisher(scene: Scene) -> Process:
    return scene.publisher_process


def _broker(scene: Scene) -> Process:
    return scene.broker_host.process


def _node_host(scene: Scene) -> Host:
    return scene.node_host


def _publisher_host(scene: Scene) -> Host:
    return scene.publisher_host


KINDS: Final = (
    Kind("the node stalls", 3, 0.001, 2.0, _stall(_node)),
    Kind("the publisher stalls", 3, 0.001, 2.0, _stall(_publisher)),
    Kind("the node is stopped", 1, 1.0, 15.0, _stall(_node), hides=True),
    Kind("the publisher is stopped", 1, 1.0, 15.0, _stall(_publisher), hides=True),
    Kind("the broker is stopped", 1, 0.2, 15.0, _stall(_broker), hides=True),
    Kind("the node's host is suspended", 0.5, 1.0, 60.0, _suspend(_node_host), hides=True),
    Kind("the publisher's host is suspended", 0.5, 1.0, 60.0, _suspend(_publisher_host), hides=True),
    Kind("the node's guest is paused", 0.7, 0.05, 15.0, _pause(_node_host), hides=True),
    Kind("the publisher's guest is paused", 0.7, 0.05, 15.0, _pause(_publisher_host), hides=True),
    Kind("what came before a pause comes again", 0.7, 3.0, 15.0, _replay_after_pause, hides=True),
    Kind("the node crashes", 1, 0.05, 5.0, _crash(_node, kernel_lives=True)),
    Kind("the publisher crashes", 1, 0.05, 5.0, _crash(_publisher, kernel_lives=True)),
    Kind("the node crashes at an event", 1, 1.0, 5.0, _crash_at_event(_node)),
    Kind("the publisher crashes at an event", 1, 1.0, 5.0, _crash_at_event(_publisher)),
    Kind("the node loses power", 0.7, 1.0, 10.0, _crash(_node, kernel_lives=False), hides=True),
    Kind("the publisher loses power", 0.7, 1.0, 10.0, _crash(_publisher, kernel_lives=False), hides=True),
    Kind("the publisher is restarted", 1, 0.2, 3.0, _stop_publisher),
    Kind("the node is restarted", 1, 0.2, 3.0, _stop_node),
    Kind("the broker is restarted", 1, 0.1, 5.0, _restart_broker(clean=True), hides=True),
    Kind("the broker is killed", 1, 0.1, 5.0, _restart_broker(clean=False), hides=True),
    Kind("a wall clock steps", 0.5, 0.01, 0.02, _step_wall),
    Kind("a clock is slewed", 0.5, 1.0, 30.0, _slew),
    Kind("an oscillator drifts", 0.5, 0.01, 0.02, _drift),
    Kind("a path is down", 3, 0.05, 15.0, _path_down, hides=True),
    Kind("a path is slow", 2, 0.5, 10.0, _path_slow, hides=True),
    Kind("segments are small", 1, 0.5, 5.0, _small_segments),
    Kind("connections are cut", 2, 0.01, 0.02, _cut),
    Kind("a bridge replays", 1, 0.01, 0.02, _replay),
    Kind("an ACL starves", 1, 1.0, 90.0, _starve),
    Kind("garbage on the topics", 1, 0.01, 0.02, _garbage),
    Kind("the push stays away", 2, 0.2, 20.0, _push_away),
    Kind("the push has another shape", 1, 0.01, 0.02, _other_shape),
    Kind("polls are refused", 1, 0.5, 20.0, _polls_refused),
    Kind("polls are answered badly", 2, 0.5, 20.0, _polls_bad),
    Kind("polls are answered slowly", 1, 0.5, 20.0, _polls_slow),
    Kind("the meter boots", 1, 2.0, 10.0, _reboot),
    Kind("the meter is replaced", 0.3, 4.5, 5.0, _replace),
    Kind("the meter is frozen", 1, 1.0, 25.0, _freeze),
    Kind("another device has the meter's address", 0.7, 1.0, 20.0, _foreign),
    Kind("noise on the line", 2, 0.05, 5.0, _noise),
    Kind("requests are damaged", 1, 0.5, 1.0, _damage),
    Kind("glitches behind requests", 1, 0.5, 3.0, _glitches),
    Kind("the output is stuck", 1, 0.2, 15.0, _stuck),
    Kind("the port is gone", 1, 0.05, 10.0, _unplug),
    Kind("a reply goes on as the port opens", 0.7, 0.5, 1.5, _unplug_in_reply),
    Kind("a reply goes on as the node goes on", 0.7, 0.12, 1.0, _stall_in_reply),
    Kind("the inverter is silent", 0.7, 1.0, 20.0, _inverter_silent),
)
