"""The publisher put together: a service for each meter, a listener for each port [shell]."""

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ksem_publisher.meter import MeterService
from ksem_publisher.push_listener import PushListener
from ksem_publisher.settings import PublisherSettings
from service_runtime import systemd
from service_runtime.clock import boottime, until_tick
from service_runtime.command import on_user_signal
from service_runtime.systemd import HealthFile
from service_runtime.threads import all_work
from service_runtime.version import VERSION

RESTART = 1.0
"""Seconds until a part that failed unexpectedly is started again."""
_TICK = 1.0
"""Seconds between two reports to the service manager."""

log = logging.getLogger("ksem_publisher")


class Publisher:
    """The parts of the service."""

    def __init__(self, settings: PublisherSettings, meters: list[MeterService], listeners: list[PushListener]) -> None:
        self.settings = settings
        self.meters = meters
        self.listeners = listeners
        self._thread_failed = False

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set; then every meter's status is offline. The exit code: 1 where a thread failed."""
        tasks: list[asyncio.Task[None]] = []
        for meter in self.meters:
            meter.link.start()
            tasks.append(_start(f"{meter.id}: polling", meter.poll.run))
            tasks.append(_start(f"{meter.id}: supervision", meter.watch))
        tasks += [_start("the push listener", listener.run) for listener in self.listeners]
        tasks.append(_start("the service manager's news", partial(self._report_to_manager, stop)))
        sys.setswitchinterval(0.0005)  # a meter that pushes waits at most this long for another thread's Python code
        gc.freeze()  # what is loaded now lives as long as the process: no collection looks at it again
        try:
            await stop.wait()
        finally:
            systemd.notify("STOPPING=1")
            await end_all(tasks)
            with ThreadPoolExecutor(len(self.meters)) as threads:
                list(threads.map(MeterService.stop, self.meters))
        return 1 if self._thread_failed else 0

    def _threads_work(self, now: float) -> bool:
        """Whether all threads work. A thread that answers pushes is not started again: it holds the port."""
        for thread in [listener.thread for listener in self.listeners]:
            fault = thread.fault(now) if thread is not None else ""
            if fault.startswith("hangs"):
                log.error("thread %s %s: the process ends", thread.name if thread else "", fault)
                return False
        return all_work([meter.link.thread for meter in self.meters], now, log)

    async def _report_to_manager(self, stop: asyncio.Event) -> None:
        """Report to systemd and a container's health check, and watch the threads."""
        systemd.notify("READY=1")
        interval = systemd.watchdog_interval()
        file, reported = HealthFile(), ""
        while True:
            missing, now = "; ".join(self._missing()), boottime()
            if not self._threads_work(now):
                self._thread_failed = True
                stop.set()
                return
            if (status := missing or "live data flows") != reported:
                reported = status
                systemd.notify(f"STATUS={status}")
            if interval is not None:
                systemd.notify("WATCHDOG=1")
            file.write(not missing, missing, now)
            await asyncio.sleep(until_tick(min(interval or _TICK, _TICK), now))

    def _missing(self) -> list[str]:
        return [why for meter in self.meters if (why := meter.why_not_served())]


def build(
    settings: PublisherSettings,
    *,
    meter_service: Callable[..., MeterService] = MeterService,
    listener: Callable[..., PushListener] = PushListener,
) -> Publisher:
    """The service from its settings, inside the event loop; nothing connects or listens yet."""
    meters = {meter.id: meter_service(meter, settings, VERSION) for meter in settings.meter}
    listeners = []
    if settings.push.enabled:
        ports = sorted({meter.push_port or settings.push.port for meter in settings.meter})
        for port in ports:
            served = [meter for meter in settings.meter if (meter.push_port or settings.push.port) == port]
            takers = {meter.id: meters[meter.id].push for meter in served}
            push_listener = listener(settings.push.listen, port, served, takers)
            listeners.append(push_listener)
            for meter in served:
                meters[meter.id].listen_with(push_listener)
    return Publisher(settings, list(meters.values()), listeners)


async def serve(settings: PublisherSettings, stop: asyncio.Event) -> int:
    """Run the service; its exit code."""
    publisher = build(settings)
    for meter in publisher.meters:
        on_user_signal(meter.write_flight_file)
    return await publisher.run(stop)


async def end_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: Python 3.11's wait_for can swallow a cancellation (python/cpython#86296)."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.05)


def _start(name: str, part: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    return asyncio.create_task(_supervise(name, part), name=name)


async def _supervise(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part; if it fails, log that once and start it again: no part takes another one down."""
    last_error = ""
    while True:
        try:
            await part()
        except asyncio.CancelledError:
            return
        except Exception as error:
            if repr(error) != last_error:
                last_error = repr(error)
                log.exception("%s failed unexpectedly; it is started again", name)
            await asyncio.sleep(RESTART)
        else:
            return
