"""Records what a real house publishes, and plays it for many houses at true rate, each with a phase of its own."""

import asyncio
import random
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import CallbackAPIVersion

from service_runtime.clock import boottime
from tests.chain import Chain

RECORDED: Final = 20.0
"""Seconds of a real house that are played again and again: two health messages are in it."""


MARK: Final = b"|"
"""Between a message and the moment at which its house published it (CLOCK_BOOTTIME)."""


Recorded = tuple[float, str, bytes, bool]


def record(folder: Path) -> list[Recorded]:
    """What publisher and RTU server of a real house publish in RECORDED seconds."""
    recorded: list[Recorded] = []
    with Chain(folder) as chain:
        chain.start()
        chain.await_good(20)
        client = PahoClient(CallbackAPIVersion.VERSION2, client_id="recorder")
        begun = boottime()
        client.on_message = lambda _c, _u, m: recorded.append((boottime() - begun, m.topic, bytes(m.payload), m.retain))
        client.on_connect = lambda c, _u, _f, _r, _p: c.subscribe("ksem/#")
        client.connect(chain.broker.host, chain.broker.port)
        client.loop_start()
        time.sleep(RECORDED)
        client.loop_stop()
    # What was retained comes at once; it is played at the beginning.
    retained = {topic for _, topic, _, kept in recorded if kept}
    blocks = {topic for _, topic, _, _ in recorded if "/block/" in topic}
    return [(at, topic, load, topic in retained | blocks) for at, topic, load, _ in recorded if _goes_out(topic)]


def _goes_out(topic: str) -> bool:
    return "/ping/" not in topic and "/pong/" not in topic and "/value/" not in topic


def _packet(head: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    length.append(left)
    return bytes((head,)) + bytes(length) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2) + data


async def _play_house(port: int, house: str, recorded: Sequence[Recorded]) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text("player")))
    begun = boottime() + random.random() * RECORDED - RECORDED
    while True:
        for at, topic, payload, retain in recorded:
            if (wait := begun + at - boottime()) > 0:
                await asyncio.sleep(wait)
            elif wait < -1:
                continue  # the phase: a house begins in the middle
            name = _text(topic.replace("ksem/", f"site/{house}/ksem/", 1))
            writer.write(_packet(0x31 if retain else 0x30, name + payload + MARK + f"{boottime():.4f}".encode()))
        begun += RECORDED
        await writer.drain()


def play(ports: dict[str, int], recorded: Sequence[Recorded], stop: Event) -> None:
    """Publish for every house, in a process of its own, until `stop` is set."""

    async def run() -> None:
        tasks = [asyncio.create_task(_play_house(port, house, recorded)) for house, port in ports.items()]
        while not stop.is_set():  # noqa: ASYNC110  (an event of another process)
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()

    asyncio.run(run())
