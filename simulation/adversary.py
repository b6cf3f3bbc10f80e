"""Simulates an attacker at the broker: keeps genuine messages and publishes what a publisher never would."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.mac import KEYLESS, MessageKeys
from ksem_contract.message_fields import InvalidMessage

from .broker import Message

KEPT: Final = 300
OTHER: Final = MessageKeys((b"another key than the house's",))
_TAIL: Final = 42
"""Bytes of a message's end that hold its code."""


class Adversary:
    """Knows all that was published, and has no key."""

    def __init__(self) -> None:
        self._blocks: deque[Message] = deque(maxlen=KEPT)
        self._pings: deque[Message] = deque(maxlen=8)
        self._pongs: deque[Message] = deque(maxlen=2)
        self._strikes = False

    def see(self, message: Message) -> None:
        """Keep a message that passes, unless it is one of its own."""
        if self._strikes:
            return
        if "/block/" in message.topic and message.payload.startswith(b'{"v":1,'):
            self._blocks.append(message)
        elif "/ping/" in message.topic:
            self._pings.append(message)
        elif "/pong/" in message.topic:
            self._pongs.append(message)

    def newest_with_pong(self) -> tuple[Message, ...]:
        """Return the newest genuine pongs and, to be dated by them, the newest live block."""
        live = [block for block in self._blocks if block.topic.endswith("/live")]
        return (*self._pongs, *live[-1:])

    def strike(self, random: Random) -> Iterator[Message]:
        """Forged, damaged, moved and replayed messages, made of what was seen. Each is published as it is taken."""
        if not self._blocks:
            return
        self._strikes = True
        newest = self._blocks[-1]
        for genuine in random.sample(self._blocks, min(3, len(self._blocks))):
            yield genuine
            yield genuine._replace(topic=genuine.topic.rpartition("/")[0] + random.choice(("/live", "/energy")))
            yield _damaged(genuine, random)
        for message in _forged(newest, random):
            yield message._replace(retain=random.random() < 0.5)
        for ping in self._pings:
            yield from _pongs(ping, newest, random)
        self._strikes = False


def _damaged(genuine: Message, random: Random) -> Message:
    payload = bytearray(genuine.payload)
    payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
    return genuine._replace(payload=bytes(payload))


def _forged(genuine: Message, random: Random) -> Iterator[Message]:
    """Right session and topic, higher number, other registers."""
    try:
        block = BlockMessage.decode(genuine.payload)
    except InvalidMessage:
        return
    registers = tuple(None if word is None else word ^ random.randrange(1, 99) for word in block.registers)
    false = replace(block, registers=registers, seq=block.seq + 1000, boot_ms=block.boot_ms + 50)
    made = false.encode()
    for payload in (made, false.encode(OTHER), made[:-_TAIL] + genuine.payload[-_TAIL:], made[:-_TAIL] + b"}"):
        yield genuine._replace(payload=payload)


def _pongs(ping: Message, newest: Message, random: Random) -> Iterator[Message]:
    """Answers to the node's own pings by which old blocks would be young."""
    try:
        nonce, block = Ping.decode(ping.payload).nonce, BlockMessage.decode(newest.payload)
    except InvalidMessage:
        return
    node = ping.topic.rpartition("/")[2]
    past = max(0, block.boot_ms - random.randrange(100, 100_000))
    pong = Pong(block.meter, node, nonce, block.session, past)
    for keys in (KEYLESS, OTHER):
        yield Message(ping.topic.replace("/ping/", "/pong/"), pong.encode(keys))
