"""A client with a role's login that does whatever the broker lets it."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ksem_contract.block_message import Ping
from ksem_contract.health import MAX_ENTRIES, RequestEntry, RequestsMessage
from service_runtime.clock import boottime

PAYLOAD: Final = 100_000
"""Bytes: near the limit of the shipped broker's packets."""


class Intruder:
    """One role, any number of connections."""

    def __init__(self, port: int, role: str, password: str, chance: random.Random) -> None:
        self.port, self.chance = port, chance
        self._role, self._password = role, password
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.disconnect()
            client.loop_stop()

    def connect(self, client_id: str = "", password: str = "") -> Client:
        """One more connection; the broker may refuse or end it."""
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.username_pw_set(self._role, password or self._password)
        self._clients.append(client)
        with contextlib.suppress(OSError):
            client.connect("127.0.0.1", self.port)
            client.loop_start()
        return client


def fills_the_broker(intruder: Intruder, until: float) -> None:
    """Retained messages on ever new topics."""
    client = intruder.connect()
    while boottime() < until:
        name = f"{intruder.chance.getrandbits(40):x}"
        client.publish(f"ksem/rtu/{name}/health", bytes(PAYLOAD), retain=True)
        time.sleep(0.005)
        if not client.is_connected():  # thrown out
            time.sleep(0.2)
            client = intruder.connect()
            time.sleep(0.2)


def takes_client_ids(intruder: Intruder, until: float) -> None:
    """Connects again and again with ids that services might have."""
    while boottime() < until:
        for client_id in ("ksem-rtu-attic", "ksem-pub-main"):
            intruder.connect(client_id)
        time.sleep(0.2)


def subscribes(intruder: Intruder, until: float) -> None:
    """Thousands of deep filters."""
    client = intruder.connect()
    while boottime() < until:
        root = f"{intruder.chance.getrandbits(40):x}"
        client.subscribe([("/".join([root, str(number), *"l" * 77]), 0) for number in range(400)])
        time.sleep(0.1)


def connects(intruder: Intruder, until: float) -> None:
    """Silent connections, and logins with a wrong password."""
    silent = []
    with contextlib.suppress(OSError):
        silent = [socket.create_connection(("127.0.0.1", intruder.port), 2) for _ in range(80)]
    while boottime() < until:
        intruder.connect(password="wrong")
        time.sleep(0.2)
    for one in silent:
        one.close()


def wants_ranges(intruder: Intruder, until: float) -> None:
    """Nodes that never were, each with hundreds of ranges, and pings in their names."""
    client = intruder.connect()
    while boottime() < until:
        node = f"n{intruder.chance.randrange(40)}"
        first = intruder.chance.randrange(30_000)
        wants = tuple(
            RequestEntry("rs485", 1, "main", 3, start, 1, 9.0, "data", 1, demanded=True)
            for start in range(first, first + 2 * MAX_ENTRIES, 2)
        )
        client.publish(f"ksem/rtu/{node}/requests", RequestsMessage(wants).encode(), retain=True)
        client.publish(f"ksem/rtu/{node}/status", intruder.chance.choice((b"online", b"offline")), retain=True)
        for _ in range(20):
            ping = Ping(f"{intruder.chance.getrandbits(32):08x}")
            client.publish(f"ksem/main/ping/{node}", ping.encode())
        time.sleep(0.05)


def reports_wrong_things(intruder: Intruder, until: float) -> None:
    """Status and health of the real node, garbage and lies."""
    client = intruder.connect()
    while boottime() < until:
        client.publish("ksem/rtu/attic/status", intruder.chance.choice((b"offline", b"online", b"x")), retain=True)
        client.publish("ksem/rtu/attic/health", intruder.chance.randbytes(2000), retain=True)
        time.sleep(0.5)


@dataclass(frozen=True)
class Deed:
    """What an intruder does, and as whom."""

    name: str
    does: Callable[[Intruder, float], None]
    roles: tuple[str, ...]


DEEDS: Final = (
    Deed("fills the broker", fills_the_broker, ("rtu",)),
    Deed("takes client ids", takes_client_ids, ("rtu", "reader")),
    Deed("subscribes without end", subscribes, ("rtu", "reader")),
    Deed("connects without end", connects, ("rtu", "reader")),
    Deed("wants ranges in the name of many nodes", wants_ranges, ("rtu",)),
    Deed("reports wrong things", reports_wrong_things, ("rtu",)),
)
