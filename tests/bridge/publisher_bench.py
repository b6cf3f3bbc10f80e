"""A broker, a simulated meter, ksem-publisher as a process, and an audience that judges what it publishes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from ksem_simulators.simulator import KsemHandle

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .service import Service


class Start(Protocol):
    """Starts meter, publisher and audience; see `bench`."""

    def __call__(
        self, *, push: bool = True, options: tuple[str, ...] = (), settings: str = "", meter: str = ""
    ) -> "Bench": ...


class Bench:
    """The parts of a test."""

    def __init__(self, broker: Broker, ksem: KsemHandle, publisher: Service, audience: MeterAudience) -> None:
        self.broker, self.ksem, self.publisher, self.audience = broker, ksem, publisher, audience


def publisher_settings(broker: Broker, ksem_port: int, push_port: int, meter: str = "", more: str = "") -> str:
    return f"""
[mqtt]
host = "127.0.0.1"
port = {broker.port}
[push]
listen = "127.0.0.1"
port = {push_port}
[[meter]]
host = "127.0.0.1"
port = {ksem_port}
timeout = 0.5
{meter}
{more}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def starter(*, push: bool = True, options: tuple[str, ...] = (), settings: str = "", meter: str = "") -> Bench:
            broker = stack.enter_context(Broker(tmp_path / "broker"))
            push_port = free_port()
            ksem = stack.enter_context(
                KsemHandle(tmp_path, push=("127.0.0.1", push_port) if push else None, options=options)
            )
            audience = stack.enter_context(MeterAudience(broker.port, ksem.truth))
            text = publisher_settings(broker, ksem.port, push_port, meter, settings)
            publisher = stack.enter_context(Service("ksem_publisher", text, tmp_path))
            return Bench(broker, ksem, publisher, audience)

        yield starter
