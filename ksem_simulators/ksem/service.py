"""Runs the meter as a process [shell]: puts meter, server and pusher together, keeps the cycle, takes commands."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from ksem_simulators.ksem.meter import FIRMWARE_WORDS, Meter
from ksem_simulators.ksem.pusher import Pusher, stopped
from ksem_simulators.ksem.server import MeterServer, PollFault
from ksem_simulators.process import cpu_seconds
from service_runtime.clock import boottime


class KsemService:
    """One meter with its server and its pushers."""

    def __init__(self, meter: Meter, server: MeterServer, pushers: Sequence[Pusher], *, later: float = 0.0) -> None:
        """`later`: seconds until the first measuring cycle, so that several meters do not keep step."""
        self.meter = meter
        self.server = server
        self.pushers = tuple(pushers)
        self._later = later
        self._commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "push": self._push,
            "fault": self._fault,
            "clear": self._clear,
            "poll": self._poll,
            "reboot": self._reboot,
            "freeze": self._freeze,
            "counters-back": self._counters_back,
            "firmware": self._firmware,
            "kettle": self._kettle,
            "drop-connections": self._drop_connections,
        }
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        tasks = [asyncio.create_task(pusher.run()) for pusher in self.pushers]
        tasks.append(asyncio.create_task(self._measure()))
        await stop.wait()
        for task in (*tasks, *self._tasks):
            await stopped(task)
        for pusher in self.pushers:
            pusher.drop_connections()
        await self.server.close()

    async def _measure(self) -> None:
        """Measuring cycles on an absolute schedule; after a stall the lost ones are left out."""
        due = boottime() + self._later
        period = self.meter.settings.cycle_ms / 1000.0
        while True:
            due = max(due + period, boottime())
            await asyncio.sleep(due - boottime())
            self.meter.measure(boottime())
            for pusher in self.pushers:
                pusher.measured()

    async def command(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command. ValueError names what is wrong with it."""
        handler = self._commands.get(do)
        if handler is None:
            raise ValueError(f"command {do!r}: {', '.join(self._commands)}")
        return await handler(**parameters)

    async def _status(self) -> dict[str, Any]:
        reading, powers = self.meter.reading, self.meter.reading.powers
        return {
            "cycle": reading.cycle,
            "time_of_day": round(self.meter.time_of_day, 1),
            "power_w": reading.measurement.total.active / 10.0,
            "load_w": round(powers.load, 1),
            "pv_w": round(powers.pv, 1),
            "battery_w": round(powers.battery, 1),
            "state_of_charge": round(powers.state_of_charge, 4),
            "frozen": self.meter.frozen,
            "booting": self.meter.booting,
            "server": {"port": self.server.port, "open": self.server.is_open, "fault": self.server.fault.name}
            | asdict(self.server.counters),
            "push": [pusher.counters.as_dict() | asdict(pusher.settings) for pusher in self.pushers],
            "cpu_s": cpu_seconds(),
        }

    async def _push(self, **changes: Any) -> dict[str, Any]:
        if not self.pushers:
            raise ValueError("this meter was started without --push")
        settings = [pusher.settings.changed(changes) for pusher in self.pushers]
        for pusher, changed in zip(self.pushers, settings, strict=True):
            pusher.change(changed)
        return {"writes": [str(write) for write in settings[0].writes()]}

    async def _fault(self, name: str, **parameters: Any) -> dict[str, Any]:
        self.server.fault = PollFault.of(name, parameters)
        return {}

    async def _poll(self, *, open: bool) -> dict[str, Any]:  # noqa: A002 - the word of the command
        await (self.server.open() if open else self.server.close())
        return {}

    async def _reboot(self, gone: float = 2.0, zero: float = 3.0) -> dict[str, Any]:
        """Off for `gone` seconds, then up but measuring nothing (0 Hz) for `zero` seconds."""
        task = asyncio.create_task(self._go_through_reboot(float(gone), float(zero)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {}

    async def _go_through_reboot(self, gone: float, zero: float) -> None:
        for pusher in self.pushers:
            pusher.absent = True
            pusher.drop_connections()
        await self.server.close()
        await asyncio.sleep(gone)
        self.meter.booting = True
        self.meter.measure(boottime())
        for pusher in self.pushers:
            pusher.absent = False
        await self.server.open()
        await asyncio.sleep(zero)
        self.meter.booting = False

    async def _freeze(self, *, on: bool = True) -> dict[str, Any]:
        self.meter.frozen = on
        return {}

    async def _counters_back(self, counts: int = 10_000) -> dict[str, Any]:
        self.meter.energies.rewind(counts)
        return {}

    async def _firmware(self, version: str) -> dict[str, Any]:
        for known in FIRMWARE_WORDS:
            if version == known:
                self.meter.change_firmware(known)
                return {}
        raise ValueError(f"version {version!r}: {', '.join(FIRMWARE_WORDS)}")

    async def _kettle(self, seconds: float = 60.0) -> dict[str, Any]:
        self.meter.household.boil(seconds)
        return {}

    async def _drop_connections(self) -> dict[str, Any]:
        self.server.drop_connections()
        for pusher in self.pushers:
            pusher.drop_connections()
        return {}

    async def _clear(self) -> dict[str, Any]:
        """Ends all faults of polling and measuring; push settings stay as they are."""
        self.server.fault = PollFault()
        self.meter.frozen = False
        await self.server.open()
        return {}
