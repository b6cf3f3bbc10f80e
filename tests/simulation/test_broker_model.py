"""The simulated broker against mosquitto: the same scripts, the same outcome."""

import time
from collections.abc import Generator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from simulation.broker import Broker, Client, Message
from tests.bridge.broker import Broker as Mosquitto
from tests.simulation.broker_scripts import WAIT, Script, Step, make
from tests.simulation.wire_client import WireClient

SCRIPTS = 240
PAUSE = 9.0
"""Seconds of a `wait`: more than an expiry of 1 s, and than a keepalive of 1 s with mosquitto's looks 6 s apart."""
ACL = """\
user free
topic readwrite #
user starved
topic readwrite +/status
topic readwrite +/block/#
topic readwrite +/ping/#
topic write +/secret/#
user mute
topic readwrite +/status
topic readwrite +/block/#
topic readwrite +/ping/#
topic read +/secret/#
"""


def allowed(user: str, action: str, topic: str) -> bool:
    return "/secret/" not in topic or user == "free" or (user, action) in {("starved", "write"), ("mute", "read")}


class Connection(NamedTuple):
    """What one connection received: groups of messages, one a step; in a group of retained ones the order is free."""

    name: str
    groups: list[list[Message]]


Run = Generator[None, None, list[Connection]]


class ModelRun:
    """A script on the model."""

    def __init__(self, script: Script) -> None:
        self.now = 0.0
        self.script = script
        self.broker = Broker(lambda: self.now, allowed=allowed, persistence=script.persistence)
        self.there: dict[str, Client] = {}
        self.inboxes: list[tuple[str, list[Message]]] = []
        self.outcome: list[Connection] = []

    def run(self) -> list[Connection]:
        for step in self.script.steps:
            self.do(step)
            for (_, inbox), connection in zip(self.inboxes, self.outcome, strict=True):
                connection.groups.append(ordered(inbox))
                inbox.clear()
        return self.outcome

    def do(self, step: Step) -> None:
        if step.what == "connect":
            inbox: list[Message] = []
            client = Client(step.who, inbox.append, lambda _: None, step.user, step.message, step.keepalive)
            self.inboxes.append((step.who, inbox))
            self.outcome.append(Connection(step.who, []))
            self.broker.connect(client)
            self.there[step.who] = client
        elif step.what in {"restart", "kill"}:
            self.broker.restart(clean=step.what == "restart")
            self.there.clear()
        elif step.what == WAIT:
            self.now += PAUSE
            silent = [client for client in self.there.values() if client.keepalive]
            for client in self.there.values():
                if client not in silent:
                    self.broker.packet(client)
            self.broker.tick()
            for client in silent:
                del self.there[client.id]
        elif (known := self.there.get(step.who)) is not None:
            self.act(known, step)

    def act(self, client: Client, step: Step) -> None:
        if step.what == "publish" and step.message is not None:
            self.broker.publish(client, step.message)
        elif step.what == "subscribe" and step.subscription is not None:
            self.broker.subscribe(client, step.subscription)
        elif step.what == "disconnect":
            self.broker.disconnect(self.there.pop(client.id))
        elif step.what == "drop":
            self.broker.lost(self.there.pop(client.id))


class RealRun:
    """A script on mosquitto."""

    def __init__(self, script: Script, mosquitto: Mosquitto) -> None:
        self.script = script
        self.mosquitto = mosquitto
        self.there: dict[str, WireClient] = {}
        self.silent: set[str] = set()
        self.clients: list[WireClient] = []
        self.outcome: list[Connection] = []

    def run(self) -> Run:
        """Stops at each `wait`, to be gone on with after `PAUSE`."""
        for step in self.script.steps:
            if step.what == WAIT:
                yield
                self.wake()
            else:
                self.do(step)
            self.collect()
        for client in self.there.values():
            client.disconnect()
        return self.outcome

    def name_of(self, who: str) -> str:
        return f"{self.script.name}-{who}"

    def do(self, step: Step) -> None:
        if step.what == "connect":
            old = self.there.get(step.who)
            client = WireClient(self.mosquitto.port, self.name_of(step.who), step.user, step.message, step.keepalive)
            if old is not None:
                assert old.is_closed()
            self.there[step.who] = client
            self.silent.discard(step.who)
            if step.keepalive:
                self.silent.add(step.who)
            self.clients.append(client)
            self.outcome.append(Connection(step.who, []))
        elif step.what in {"restart", "kill"}:
            self.mosquitto.stop() if step.what == "restart" else self.mosquitto.kill()
            for client in self.there.values():
                assert client.is_closed()
            self.there.clear()
            self.mosquitto.start()
        elif (known := self.there.get(step.who)) is not None:
            self.act(known, step)

    def act(self, client: WireClient, step: Step) -> None:
        if step.what == "publish" and step.message is not None:
            client.publish(step.message)
        elif step.what == "subscribe" and step.subscription is not None:
            client.subscribe(step.subscription)
        elif step.what == "disconnect":
            self.there.pop(step.who).disconnect()
        elif step.what == "drop":
            self.there.pop(step.who).drop()
            self.see_end()

    def see_end(self) -> None:
        """The broker looks at sockets in turn: what it reads of a connection opened now comes after the end."""
        for _ in range(2):
            probe = WireClient(self.mosquitto.port, f"{self.script.name}-probe", "free", None, 0)
            probe.settle()
            probe.disconnect()

    def wake(self) -> None:
        for who in [who for who in self.there if who in self.silent]:
            assert self.there.pop(who).is_closed()

    def collect(self) -> None:
        for client in self.there.values():
            client.settle()
        for client, connection in zip(self.clients, self.outcome, strict=True):
            connection.groups.append(ordered(client.received))
            client.received = []


def ordered(messages: list[Message]) -> list[Message]:
    """What one step brought, with two freedoms of a broker taken out.

    Retained messages of one subscription come in any order (MQTT 5, section 3.3.1.3), and so do the copies of one
    message that several subscriptions of a client cover.
    """
    retained = sorted(message for message in messages if message.retain)
    plain = [retained.pop(0) if message.retain else message for message in messages]
    result: list[Message] = []
    for _, copies in groupby(plain, key=lambda message: (message.topic, message.payload, message.retain)):
        result += sorted(copies)
    return result


def real_outcomes(scripts: list[Script], folder: Path) -> dict[str, list[Connection]]:
    """Scripts that wait do so together; those that restart the broker run one after the other."""
    outcomes: dict[str, list[Connection]] = {}
    with Mosquitto(folder / "shared", acl=ACL) as shared:
        waiting: list[tuple[str, Run]] = []
        for script in scripts:
            if not script.restarts:
                run = RealRun(script, shared).run()
                if not finished(run, script.name, outcomes):
                    waiting.append((script.name, run))
        time.sleep(PAUSE)
        for name, run in waiting:
            assert finished(run, name, outcomes)
    for persistence in (True, False):
        own = folder / f"restarted-{persistence}"
        with Mosquitto(own, acl=ACL, persistence=persistence) as mosquitto:
            for script in scripts:
                if script.restarts and script.persistence == persistence:
                    assert finished(RealRun(script, mosquitto).run(), script.name, outcomes)
    return outcomes


def finished(run: Run, name: str, outcomes: dict[str, list[Connection]]) -> bool:
    try:
        next(run)
    except StopIteration as end:
        outcomes[name] = end.value
        return True
    return False


def test_the_model_and_mosquitto_give_the_same_outcome_for_the_same_scripts(tmp_path: Path) -> None:
    scripts = [make(number) for number in range(SCRIPTS)]
    real = real_outcomes(scripts, tmp_path)
    different = [script.name for script in scripts if ModelRun(script).run() != real[script.name]]
    assert not different, first_difference(scripts, different[0], real)


def first_difference(scripts: list[Script], name: str, real: dict[str, list[Connection]]) -> str:
    script = next(script for script in scripts if script.name == name)
    model = ModelRun(script).run()
    lines = [f"script {name}, persistence {script.persistence}:"]
    for at, step in enumerate(script.steps):
        lines.append(f"{at:3} {step}")
        for mine, its in zip(model, real[name], strict=True):
            back = len(script.steps) - at
            left, right = mine.groups[-back:][:1], its.groups[-back:][:1]
            if len(mine.groups) >= back and left != right:
                lines += [f"      {mine.name} model     {left}", f"      {mine.name} mosquitto {right}"]
    return "\n".join(lines)
