"""Starts the chain's processes in order, unplugs and reconnects them, and ends them by their ids [shell]."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from airbridge.demo.options import Address, Options
from airbridge.demo.processes import LOOPBACK, Child, accepts, clean_environ, free_port, log_tail, own_broker
from airbridge.demo.settings_files import inverter_reader_toml, mqtt_settings, publisher_toml, rtu_server_toml
from ksem_simulators.process import CommandRefused
from ksem_simulators.recording import Recording
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle, Simulator, SimulatorFailed
from service_runtime.clock import boottime

PUSH_PORT: Final = 5020
PREFIX: Final = "ksem"
FOREIGN_PREFIX: Final = "ksem-demo"
"""On a broker that is not the demo's own: a bridge that runs there for real shall not be disturbed."""
REPLAY_IN: Final = 0.5
BROKER_WITHIN: Final = 10.0


class ChainBroken(Exception):
    """A process did not start or ended by itself; the text has the end of its log."""


class Chain:
    """All processes of one demo. Which ends are real stands in the options."""

    def __init__(self, options: Options, folder: Path, print_line: Callable[[str], None]) -> None:
        """OSError or ValueError where the recording to replay can't be read."""
        self._options = options
        self._folder = folder
        self._print_line = print_line
        self._ending = ExitStack()
        self._environ = clean_environ()
        self.broker_name = ""
        self.broker_address = options.broker or Address(LOOPBACK, free_port())
        # A real meter pushes from the network; a simulated one from this host.
        self.push_address = (
            Address("0.0.0.0", options.push_port or PUSH_PORT)  # noqa: S104
            if options.meter
            else Address(LOOPBACK, options.push_port or free_port())
        )
        self.mqtt = mqtt_settings(
            self.broker_address,
            prefix=FOREIGN_PREFIX if options.broker else PREFIX,
            username=options.username,
            password_file=options.password_file,
        )
        self.broker: Child | None = None
        self.ksem: KsemHandle | None = None
        self.line: LineHandle | None = None
        self.inverter: PlenticoreHandle | None = None
        self.services: list[Child] = []
        self.recording = Recording.load(options.replay) if options.replay else None
        self.replay_ends: float | None = None
        """CLOCK_BOOTTIME; None: nothing is replayed."""

    def start(self) -> None:
        """Start everything. ChainBroken or NoBroker where that fails; what was started is ended by leaving `with`."""
        if self._options.broker is None:
            self._start_broker()
        else:
            self.broker_name = f"the broker at {self.broker_address}"
        self._print_line(f"broker: {self.broker_name}, {self.broker_address}, topics {self.mqtt.prefix}/#")
        if self._options.meter is None:
            replayed = self._replayed(bool(self.recording and self.recording.registers))
            push = (self.push_address.host, self.push_address.port)
            self.ksem = KsemHandle(self._folder, push=push, options=replayed)
            self._begin(self.ksem)
            meter = Address(LOOPBACK, self.ksem.port)
            what = "replays a recording" if replayed else f"pushes to {self.push_address} every 200 ms"
            self._print_line(f"meter: a simulated KSEM, {meter}, {what}")
        else:
            meter = self._options.meter
            self._print_line(f"meter: {meter}; let it push to this computer, port {self.push_address.port}")
        if self._options.serial is None:
            self.line = LineHandle(self._folder)
            self._begin(self.line)
            port = str(self.line.server)
            self._print_line("RS485: a simulated line at true speed, 38400 8N2")
        else:
            port = self._options.serial
            self._print_line(f"RS485: {port}, with whatever inverter sends requests there")
        publisher = self._write("publisher.toml", publisher_toml(meter, self.push_address, self.mqtt))
        rtu_server = self._write("rtu-server.toml", rtu_server_toml(port, self.mqtt, low_latency=self.line is None))
        self._serve("publisher", "ksem_publisher", publisher)
        self._serve("rtu-server", "rtu_server", rtu_server)
        if self.line is not None:
            truth = self.ksem.truth if self.ksem and self.recording is None else None
            replayed = self._replayed(bool(self.recording and self.recording.requests))
            options = (*replayed, "--modbus-port", "0")
            self.inverter = PlenticoreHandle(self._folder, line=self.line, truth=truth, options=options)
            self._begin(self.inverter)
            place = Address(LOOPBACK, self.inverter.modbus_port)
            reader = self._write("inverter-reader.toml", inverter_reader_toml(place, self.mqtt))
            self._serve("inverter-reader", "inverter_reader", reader)
            what = "what was recorded" if replayed else "for 8244, then for 0-27 and 40-145 every 160 ms"
            self._print_line(f"inverter: a simulated Plenticore, requests {what}")
        if self.recording is not None:
            self._replay(self.recording)

    def _replayed(self, there: bool) -> tuple[str, ...]:
        return ("--replay", str(self._options.replay), "--replay-waits") if there else ()

    def _replay(self, recording: Recording) -> None:
        """Both ends begin at the same moment."""
        at = boottime() + REPLAY_IN
        self.replay_ends = at + recording.duration
        if self.ksem and recording.registers:
            self.request(self.ksem, "replay", at=at)
        if self.inverter and recording.requests:
            self.request(self.inverter, "replay", at=at)

    def check(self) -> None:
        """Raises ChainBroken if a process has ended by itself."""
        for child in self.services + ([self.broker] if self.broker else []):
            if text := child.died:
                raise ChainBroken(text)

    def status(self, simulator: Simulator | None) -> dict[str, Any]:
        """A simulator's status; empty where there is none. ChainBroken when it is gone."""
        return self.request(simulator, "status") if simulator else {}

    def count_anew(self) -> dict[str, Any]:
        """Let the inverter count from zero; returns its counts until now."""
        return self.request(self.inverter, "reset") if self.inverter else {}

    def request(self, simulator: Simulator | None, do: str, **parameters: Any) -> dict[str, Any]:
        """A command to a simulator. ChainBroken when it is gone."""
        assert simulator is not None, f"{do}: there is no simulator for it"
        try:
            return simulator.command(do, **parameters)
        except (OSError, ValueError, CommandRefused) as error:
            log = self._folder / f"{simulator.name}.log"
            text = f"the simulated {simulator.name} does not answer ({error}). The end of its log:\n{log_tail(log)}"
            raise ChainBroken(text) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Every process gets its signal before this waits for any, the services before what they depend on.
        for service in self.services:
            service.terminate()
        self._ending.close()

    def _start_broker(self) -> None:
        program = own_broker(self._folder, self.broker_address)
        self.broker_name = program.name
        self.broker = self._child("broker", program.argv)
        deadline = boottime() + BROKER_WITHIN
        while not accepts(self.broker_address):
            self.check()
            if boottime() > deadline:
                raise ChainBroken(f"{program.name} does not accept connections:\n{log_tail(self.broker.log)}")
            time.sleep(0.02)

    def _serve(self, name: str, module: str, settings: Path) -> None:
        self.services.append(self._child(name, (sys.executable, "-P", "-m", module, "--config", str(settings))))
        self._print_line(f"{name}: started with {settings}")

    def _child(self, name: str, argv: tuple[str, ...]) -> Child:
        child = Child(name, argv, self._folder / f"{name}.log", self._environ)
        self._ending.callback(child.stop)
        try:
            return child.start()
        except OSError as error:
            raise ChainBroken(f"{name} can't be started: {error}") from error

    def _begin(self, simulator: Simulator) -> None:
        self._ending.callback(simulator.stop)
        try:
            simulator.start()
        except SimulatorFailed as error:
            raise ChainBroken(str(error)) from error

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        return path


class Unplug:
    """What is pulled, of what can be."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.pulled: set[str] = set()

    @property
    def possible(self) -> dict[str, bool]:
        """What can be pulled here: a real end is pulled by hand."""
        return {
            "push": self._chain.ksem is not None,
            "broker": self._chain.broker is not None,
            "plug": self._chain.line is not None,
            "meter": self._chain.ksem is not None,
        }

    def toggle(self, what: str) -> bool:
        """Pull `what`, or put it back. Returns whether it is pulled now."""
        chain = self._chain
        self.pulled ^= {what}
        is_pulled = what in self.pulled
        if what == "broker" and chain.broker is not None:
            if is_pulled:
                chain.broker.stop()
            else:
                chain.broker.start()
        elif what == "plug":
            chain.request(chain.line, "unplug" if is_pulled else "plug", end="server")
        else:
            meter_is_there = "meter" not in self.pulled
            chain.request(chain.ksem, "push", enabled=meter_is_there and "push" not in self.pulled)
            if what == "meter":
                chain.request(chain.ksem, "poll", open=meter_is_there)
                if not meter_is_there:
                    chain.request(chain.ksem, "drop-connections")
        return is_pulled
