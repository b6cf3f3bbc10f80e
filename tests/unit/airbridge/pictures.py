"""Pictures of the demo at moments that tests look at."""

from typing import Any

from airbridge.demo.events import Event
from airbridge.demo.picture import BridgeState
from ksem_contract.block_message import BlockMessage, Source
from ksem_contract.health import (
    LinkHealth,
    MeterHealth,
    NodeHealth,
    Percentiles,
    PollHealth,
    PushHealth,
    RequestEntry,
    RequestsMessage,
    Transit,
    UnitHealth,
)
from ksem_contract.topics import Topics

TIME = "2026-11-22T10:00:00.000Z"
TOPICS = Topics("ksem")
UP = LinkHealth("up", TIME, "all is well", 1)
BROKER = "mosquitto 2.0.11"
CAN_PULL = {"push": True, "broker": True, "plug": True, "meter": True}


def block(name: str, start: int, count: int, now: float, *, seq: int = 1, source: Source = "push") -> bytes:
    """A block published at `now`, 3 ms old; of register n the word is n, but power is -140.7 W."""
    registers = [start + offset for offset in range(count)]
    if start == 0:
        registers[0:4] = [0, 0, 0, 1407]
    message = BlockMessage(
        meter="main",
        block=name,
        start=start,
        registers=tuple(registers),
        session="5f1c9a2e",
        seq=seq,
        boot_ms=int(1000 * now),
        age_ms=3,
        cycle_ms=200,
        source=source,
        time=TIME,
    )
    return message.encode()


def inverter_status(requests: int, **outcomes: int) -> dict[str, Any]:
    """What the simulated inverter tells."""
    named = {name.replace("_", "-"): count for name, count in outcomes.items()}
    times = {"count": 9, "p50": 2.04, "p90": 3.0, "p99": 4.31, "max": 9.9}
    part = {"requests": requests // 2, "outcomes": named}
    return {
        "requests": requests,
        "outcomes": named,
        "late_frames": 0,
        "turnaround_ms": times,
        "age_ms": times | {"p50": 101.4, "p99": 189.2, "max": 203.7},
        "ranges": {"8244-8244": {"requests": 1, "outcomes": {"good": 1}}, "0-27": part, "40-145": part},
    }


def node_health(state: str = "ok") -> NodeHealth:
    """An RTU server's health."""
    unit = UnitHealth(
        line="rs485",
        unit=1,
        meter="main",
        port=UP,
        state="ok",
        requests=100,
        data=97,
        refused={"stale": 3},
        foreign=0,
        noise=0,
        turnaround_ms=Percentiles(2.1, 3.4, 9.0),
        age_ms=Percentiles(110.0, 260.0, 310.0),
        last_request_ago_ms=80,
    )
    return NodeHealth(
        version="0.1.0",
        since=TIME,
        state=state,  # type: ignore[arg-type]
        why="",
        broker=UP,
        units=(unit,),
        transit={"main": Transit(1.9, "5f1c9a2e")},
    )


def requests() -> RequestsMessage:
    """What the inverter asks."""
    return RequestsMessage(
        tuple(
            RequestEntry("rs485", 1, "main", 3, start, count, 6.2, "data", 80, demanded=False)
            for start, count in ((40, 106), (0, 28))
        )
    )


def flowing(now: float, source: Source = "push") -> BridgeState:
    """All is well since 10 s."""
    state = BridgeState(TOPICS, now - 12)
    state.on_link(True, ())
    state.on_message("ksem/main/status", b"online", now - 10)
    state.on_message("ksem/rtu/demo/status", b"online", now - 10)
    state.on_message("ksem/rtu/demo/health", node_health().encode(), now - 10)
    state.on_message("ksem/rtu/demo/requests", requests().encode(), now - 10)
    health = MeterHealth(
        version="0.1.0",
        session="5f1c9a2e",
        since=TIME,
        state="ok",
        why="pushed",
        push=PushHealth(UP, "127.0.0.1", 200, (), 100),
        poll=PollHealth(UP, 10, 0, 0),
        blocks={},
    )
    state.on_message("ksem/main/health", health.encode(), now - 10)
    for index in range(51):
        at = now - 10 + 0.2 * index
        payload = block("live", 0, 148, at, seq=1 + index, source=source)
        state.on_message("ksem/main/block/live", payload, at)
    for name, start, count in (("energy", 512, 280), ("device", 8192, 58), ("sunspec", 40000, 179)):
        state.on_message(f"ksem/main/block/{name}", block(name, start, count, now - 9, source="poll"), now - 9)
    for index in range(20):
        total = 12 * index // 2
        status = {"power_w": -140.7, "server": {"requests": index}}
        state.on_statuses(status, {}, inverter_status(total, good=total), now - 10 + 0.5 * index)
    state.lately = "data"
    state.ready_at = now - 10
    state.on_event(Event("10:00:00", "publisher", "push is up: a whole cycle every 200 ms"))
    return state
