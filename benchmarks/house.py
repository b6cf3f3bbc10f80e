"""Starts one house for the bench: broker, meter, publisher, RTU server, each a real process [shell]."""

import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from benchmarks.cache_probe import RECORD
from ksem_simulators.simulator import KsemHandle
from tests.bridge.broker import Broker, free_port
from tests.bridge.service import Service

PUSHING_WITHIN = 15.0


class House:
    """The chain up to the port that `wires` name. `meters` stand behind one publisher, the first one is served."""

    def __init__(
        self,
        folder: Path,
        ports: Sequence[Path],
        *,
        meters: int = 1,
        probe: bool = False,
        realtime: int = 0,
        broker: Broker | None = None,
        prefix: str = "ksem",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._prefix = prefix
        self._meters = meters
        self._push_port, self._meter_port = free_port(), free_port()
        self.broker = broker or Broker(folder / "broker")
        self._has_own_broker = broker is None
        self.truth = folder / "ksem.truth"
        self.meter = self._make_meter(())
        self._probe_file = folder / "served-from"
        self._probed = 0
        module = "benchmarks.cache_probe" if probe else "rtu_server"
        environ = {"BENCH_PROBE": str(self._probe_file)}
        self.publisher = Service("ksem_publisher", self._publisher_settings(), folder)
        self.server = Service(module, self._server_settings(ports, realtime), folder, environ=environ)
        self._stack = ExitStack()

    @property
    def pids(self) -> tuple[int, int]:
        """Publisher and RTU server."""
        return self.publisher.pid, self.server.pid

    @property
    def push_port(self) -> int:
        """Where the publisher takes pushes."""
        return self._push_port

    def __enter__(self) -> Self:
        if self._has_own_broker:
            self._stack.enter_context(self.broker)
        self.meter.start()
        self._stack.callback(self._stop_meter)
        self._stack.enter_context(self.publisher)
        self._stack.enter_context(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stop_meter(self) -> None:
        self.meter.stop()

    def change_meter(self, options: Sequence[str]) -> None:
        """The meter restarts with these options: its counters begin anew, its truth goes on."""
        self.meter.stop()
        self.meter = self._make_meter(options)
        self.meter.start()

    def await_pushes(self, count: int = 5) -> None:
        """Wait until so many blocks in a row were pushed and served. Needs the probe."""
        self.served_from()
        deadline = time.monotonic() + PUSHING_WITHIN
        in_a_row = 0
        while in_a_row < count:
            for _, _, pushed in self.served_from():
                in_a_row = in_a_row + 1 if pushed else 0
            assert time.monotonic() < deadline, f"no pushes are served:\n{self.server.log_text()[-2000:]}"
            time.sleep(0.05)

    def served_from(self) -> list[tuple[float, float, bool]]:
        """New since the last call: from when a live block was served, when it was published, whether it was pushed."""
        if not self._probe_file.exists():
            return []
        data = self._probe_file.read_bytes()[self._probed :]
        self._probed += len(data)
        return [(at, boot_ms / 1000, bool(pushed)) for at, boot_ms, pushed in struct.iter_unpack(RECORD.format, data)]

    def _make_meter(self, options: Sequence[str]) -> KsemHandle:
        count = ("--count", str(self._meters)) if self._meters > 1 else ()
        push = ("127.0.0.1", self._push_port)
        first = "127.0.0.1" if self._meters == 1 else "127.0.1.1"
        return KsemHandle(self.folder, push=push, host=first, port=self._meter_port, options=(*count, *options))

    def _publisher_settings(self) -> str:
        hosts = ["127.0.0.1"] if self._meters == 1 else [f"127.0.1.{number + 1}" for number in range(self._meters)]
        names = ["main", *(f"m{number}" for number in range(2, self._meters + 1))]
        tables = [
            f'[[meter]]\nid = "{name}"\nhost = "{host}"\nport = {self._meter_port}\ntimeout = 0.5\n'
            for name, host in zip(names, hosts, strict=True)
        ]
        push = f'[push]\nlisten = "127.0.0.1"\nport = {self._push_port}\n'
        return self._mqtt_settings() + push + "".join(tables)

    def _server_settings(self, ports: Sequence[Path], realtime: int) -> str:
        lines = [
            f'[[line]]\nname = "line{number}"\nport = "{port}"\nrealtime = {realtime}\n'
            for number, port in enumerate(ports, 1)
        ]
        return f'[node]\nname = "{self.folder.name[:20].lower()}"\n' + self._mqtt_settings() + "".join(lines)

    def _mqtt_settings(self) -> str:
        return f'[mqtt]\nhost = "{self.broker.host}"\nport = {self.broker.port}\nprefix = "{self._prefix}"\n'
