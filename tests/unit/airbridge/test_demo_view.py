import io

import pytest
from rich.console import Console

from airbridge.demo.events import Event
from airbridge.demo.picture import BridgeState
from airbridge.demo.view import screen

from .pictures import BROKER, CAN_PULL, TOPICS, flowing

_NOW = 5000.0
_SIZES = [(80, 24), (100, 30), (140, 45), (200, 60)]


def _lines(state: BridgeState, width: int, height: int, can_pull: dict[str, bool] | None = None) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    drawn = screen(
        state,
        _NOW,
        width=width,
        height=height,
        broker=BROKER,
        can_pull=CAN_PULL if can_pull is None else can_pull,
        left=None,
    )
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), _SIZES)
@pytest.mark.parametrize("moment", ["start", "flowing", "refused"])
def test_the_screen_fits_the_terminal_and_its_last_line_has_the_keys(width: int, height: int, moment: str) -> None:
    state = BridgeState(TOPICS, _NOW) if moment == "start" else flowing(_NOW)
    if moment == "refused":
        state.pulled = {"push", "broker", "plug", "meter"}
        state.inverter = {**state.inverter, "outcomes": {"good": 123456, "exception-4": 99999, "timeout": 99999}}
        for _ in range(100):
            state.on_event(state.events[0])
    lines = _lines(state, width, height)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    assert lines[-1].startswith(" q  quit   pull:  p ")


@pytest.mark.parametrize(("width", "height"), _SIZES)
def test_everything_that_matters_stands_there_at_any_size(width: int, height: int) -> None:
    text = "\n".join(_lines(flowing(_NOW), width, height))
    for shown in (
        "mosquitto",
        "rtu-server",
        "Plenticore",
        "-140.7 W",
        "good 114",
        "p50 2.0",
        "p99 4.3",
        "p50 101",
        "0-27, 40-145",
        "5.0/s",
        "push is up",
        " quit",
    ):
        assert shown in text, shown


def test_the_end_of_a_long_message_is_shown_below_for_it_is_the_remedy() -> None:
    state = flowing(_NOW)
    state.on_event(Event("10:00:01", "rtu-server", "no such port: " + "so it is; " * 10 + "look at the plug"))
    lines = _lines(state, 80, 24)
    assert len(lines) == 24
    assert "look at the plug" in " ".join(line.strip() for line in lines if line.startswith(" " * 20))


def test_what_is_pulled_can_be_put_back() -> None:
    state = flowing(_NOW)
    state.pulled = {"plug"}
    assert "put RS485 plug back" in _lines(state, 100, 30)[-1]


def test_a_real_end_has_no_key() -> None:
    keys = _lines(flowing(_NOW), 100, 30, {"push": False, "broker": True, "plug": True, "meter": False})[-1]
    assert "meter" not in keys
    assert "broker" in keys
