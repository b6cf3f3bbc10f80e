"""Random scripts for a broker, as data, so that model and mosquitto run the very same ones."""

from random import Random
from typing import NamedTuple

from simulation.broker import Message, Subscription

CLIENTS = ("a", "b", "c")
USERS = ("free", "starved", "mute")
"""Everything is allowed; nothing below `.../secret` is delivered; nothing below `.../secret` may be published."""
TOPICS = ("status", "block/live", "block/energy", "secret/x", "ping/n")
PATTERNS = (*TOPICS, "#", "+", "block/+", "block/#", "+/live", "secret/+", "status/#")
WAIT = "wait"


class Step(NamedTuple):
    """`who` does `what`."""

    what: str
    who: str = ""
    user: str = ""
    message: Message | None = None
    subscription: Subscription | None = None
    keepalive: int = 0


class Script(NamedTuple):
    """Steps below a prefix of their own. `waits`: it holds a step of some seconds."""

    name: str
    steps: tuple[Step, ...]
    restarts: bool
    persistence: bool
    waits: bool


def make(number: int) -> Script:
    """The script with this number, always the same."""
    random = Random(f"broker script {number}")
    restarts, waits = number % 5 == 0, number % 5 == 1
    persistence = number % 10 == 0
    name = f"s{number}"
    count = random.randint(10, 26)
    steps = [_connect(random, name, who, waits) for who in CLIENTS[: random.randint(1, 3)]]
    while len(steps) < count:
        steps.append(_step(random, name, waits))
    if restarts:
        for at in sorted(random.sample(range(4, count), random.randint(1, 2)), reverse=True):
            steps.insert(at, Step("restart" if random.random() < 0.7 else "kill"))
    if waits:
        steps.insert(random.randint(count // 2, count), Step(WAIT))
    # Whoever comes last sees what is left.
    steps += [Step("connect", "z", "free"), Step("subscribe", "z", subscription=Subscription(f"{name}/#", 1))]
    return Script(name, tuple(steps), restarts, persistence, waits)


def _connect(random: Random, name: str, who: str, waits: bool) -> Step:
    will = _message(random, name, waits=False) if random.random() < 0.6 else None
    keepalive = 1 if waits and random.random() < 0.3 else 0
    return Step("connect", who, random.choice(USERS), message=will, keepalive=keepalive)


def _step(random: Random, name: str, waits: bool) -> Step:
    who = random.choice(CLIENTS)
    drawn = random.random()
    if drawn < 0.42:
        return Step("publish", who, message=_message(random, name, waits))
    if drawn < 0.68:
        pattern = f"{name}/{random.choice(PATTERNS)}"
        return Step("subscribe", who, subscription=Subscription(pattern, random.randint(0, 1), random.random() < 0.25))
    if drawn < 0.84:  # also a takeover, where it is connected already
        return _connect(random, name, who, waits)
    return Step("disconnect" if drawn < 0.91 else "drop", who)


def _message(random: Random, name: str, waits: bool) -> Message:
    payload = b"" if random.random() < 0.1 else f"{random.randrange(10_000)}".encode()
    retain = random.random() < 0.55
    expiry = random.choice((1, 60)) if waits and random.random() < 0.5 else None
    return Message(f"{name}/{random.choice(TOPICS)}", payload, random.randint(0, 1), retain, expiry)
