"""What a service checks of itself before it starts."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import attrs
import pytest

from service_runtime import logs
from service_runtime.clock import boottime
from service_runtime.command import Command, run, why_unfit


def test_this_host_is_fit() -> None:
    assert why_unfit(boottime) == ""


def _backwards() -> Callable[[], float]:
    times: Iterator[int] = count()
    return lambda: float(-(next(times) // 50))


def test_a_clock_that_goes_backwards_or_stands_still_is_named() -> None:
    assert "goes backwards" in why_unfit(_backwards())
    assert "stands still" in why_unfit(lambda: 5.0)


@pytest.mark.parametrize(
    ("name", "false", "words"),
    [
        ("crc16", lambda _: 0, "the CRC"),
        ("append_crc", lambda data: data + b"\0\0", "the CRC"),
        ("decode_request", lambda _: None, "the Modbus codec"),
        ("decode_reply", lambda *_: None, "the Modbus codec"),
    ],
)
def test_a_part_that_gives_something_else_than_its_example_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, false: object, words: str
) -> None:
    monkeypatch.setattr(f"service_runtime.command.{name}", false)
    assert words in why_unfit(boottime)


def test_a_block_that_is_read_or_sealed_in_another_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksem_contract.mac._code", lambda *_: b"0" * 32)
    assert "the block" in why_unfit(boottime)


@attrs.frozen(kw_only=True)
class _NoSettings:
    pass


def test_a_service_that_is_unfit_does_not_start_and_logs_why(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_runtime.command._watch_signals", lambda _: None)
    command = Command(
        name="some-service",
        summary="",
        settings_class=_NoSettings,
        default_path=Path("/nowhere"),
        why_unfit=lambda: "the answers are wrong",
    )
    started = []
    assert run(command, lambda *_: started.append(1), argv=[]) == 1
    assert started == []
    written, until = "", time.monotonic() + 10
    while "some-service does not start: the answers are wrong" not in written:
        assert time.monotonic() < until, written
        logs.drain()
        written += "".join(capfd.readouterr())
