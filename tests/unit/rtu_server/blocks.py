"""Blocks as a publisher would send them."""

from ksem_contract.block_message import BlockMessage, Pong
from ksem_contract.blocks import DEVICE, ENERGY, LIVE
from rtu_server.register_cache import RegisterCache

RANGES = {"live": LIVE, "energy": ENERGY, "device": DEVICE}
TIME = "2026-11-22T10:00:00.000Z"


def block(
    name: str = "live",
    *,
    fill: int = 1,
    at: float = 100.0,
    seq: int = 1,
    session: str = "aaaa",
    age_ms: int = 0,
    holes: range = range(0),
    cycle_ms: int | None = 200,
    start: int | None = None,
    count: int = 1,
) -> BlockMessage:
    """A block whose registers hold `fill`, stamped with the publisher's clock `at` (seconds)."""
    known = RANGES.get(name)
    first, size = (known.start, known.count) if known else (start or 0, count)
    words = tuple(None if address in holes else fill for address in range(first, first + size))
    return BlockMessage(
        meter="main",
        block=name,
        start=first,
        registers=words,
        session=session,
        seq=seq,
        boot_ms=int(at * 1000),
        age_ms=age_ms,
        cycle_ms=cycle_ms,
        source="push",
        time=TIME,
    )


def echo(
    cache: RegisterCache, *, session: str = "aaaa", at: float, clock: float | None = None, rtt: float = 0.0
) -> None:
    """Let the cache hear a pong of `session` at `at`, whose publisher's clock shows `clock` (the same as ours)."""
    boot_ms = int(1000 * (at - rtt if clock is None else clock))
    cache.on_pong(
        Pong(meter="main", node="attic", nonce="n", session=session, boot_ms=boot_ms), sent=at - rtt, received=at
    )
