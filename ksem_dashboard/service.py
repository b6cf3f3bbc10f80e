"""Puts the service together: the broker's link, the bridge's state, the web server."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Iterator
from datetime import datetime

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from ksem_dashboard.archive import Archive
from ksem_dashboard.notifications import Notifications
from ksem_dashboard.outages import OutageWatch, conditions
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.report import health_verdict
from ksem_dashboard.settings import DashboardSettings, KsemDashboardSettings
from ksem_dashboard.web import Stream, make_app
from service_runtime.clock import boottime
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming
from service_runtime.systemd import HealthFile, notify, watchdog_interval
from service_runtime.threads import all_work

TICK = 0.5
_TCP_USER_TIMEOUT_MS = 20_000
"""A page on a phone that went to sleep is let go after this."""

log = logging.getLogger(__name__)


class Dashboard:
    """The service. `run` returns after `stopping` is set."""

    def __init__(self, settings: KsemDashboardSettings) -> None:
        own = settings.dashboard
        self._settings = own
        self._state = BridgeState(
            Topics(settings.mqtt.prefix), meters=own.meters, nodes=own.nodes, old_after=own.old_after
        )
        self._stream = Stream(self._state, boottime)
        self._watch = OutageWatch()
        self._notifications = Notifications(settings.notify.receivers(), settings.notify.rules)
        self._archive = Archive(settings.history)
        self._health_file = HealthFile()
        self._reported = ""
        self._watchdog = watchdog_interval()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link = MqttLink(
            settings.mqtt,
            # Several pages may run: a random end keeps them from taking the link from one another.
            client_id=f"{settings.mqtt.prefix.replace('/', '-')}-dashboard-{secrets.token_hex(4)}",
            will=None,
            subscriptions=self._state.subscriptions,
            on_message=lambda message: self._in_loop(self._on_message, message),
            on_link=lambda up, reasons: self._in_loop(self._on_link, up, reasons),
            log=log,
        )

    async def run(self, stopping: asyncio.Event) -> int:
        """Serve until `stopping` is set."""
        self._loop = asyncio.get_running_loop()
        try:
            listener = _listen(self._settings)
        except _CanNotListenError as error:
            log.error("%s", error)  # noqa: TRY400  (the trace would add nothing)
            return 1
        own = self._settings
        server = _Server(
            _web_settings(make_app(self._state, self._stream, boottime, own.hosts, own.proxy, archive=self._archive))
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        self._link.start()
        self._resume(boottime(), datetime.now().astimezone())
        self._notifications.start()
        log.info("the page is at http://%s", _address(listener))
        notify("READY=1")
        try:
            while not stopping.is_set() and not serving.done():
                if not self._tick(boottime()):
                    return 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await stopping.wait()
        finally:
            notify("STOPPING=1")
            self._stream.end()
            server.should_exit = True
            await asyncio.gather(
                asyncio.to_thread(self._link.stop),
                serving,
                self._archive.stop(self._state, boottime(), datetime.now().astimezone()),
            )
        return 0

    def _in_loop(self, function: object, *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        self._state.on_link(up, reasons, boottime())
        self._stream.changed()

    def _on_message(self, message: Incoming) -> None:
        before = self._state.unreadable
        self._state.on_message(
            message.topic,
            message.payload,
            retained=message.retained,
            now=message.received,
            local=datetime.now().astimezone(),
        )
        if self._state.unreadable == before + 1 == 1 and self._state.last_unreadable:
            last = self._state.last_unreadable
            log.warning("a message on %s can't be read: %s; further ones are only counted", last.topic, last.why)
        self._stream.changed()

    def _tick(self, now: float) -> bool:
        """Do what is due; False where the process must end."""
        self._follow_outages(now)
        ok, why = health_verdict(self._state, now)
        self._health_file.write(ok, why, now)
        if why != self._reported:
            self._reported = why
            notify(f"STATUS={why}")
        if not all_work([self._notifications.delivery.thread], now, log):
            return False
        if self._watchdog is not None:
            notify("WATCHDOG=1")
        return True

    def _resume(self, now: float, local: datetime) -> None:
        """Go on where the service before this one ended."""
        wall = local.timestamp()
        self._notifications.remember(self._archive.resume(self._watch, now, wall), now, wall)

    def _follow_outages(self, now: float) -> None:
        local = datetime.now().astimezone()
        finished = self._watch.step(conditions(self._state, now), now, local.timestamp())
        current = self._watch.current()
        self._notifications.step(current, finished, now, local)
        self._archive.step(self._state, current, finished, now, local)
        if self._notifications.is_changed:
            self._notifications.is_changed = False
            self._archive.remember(self._notifications.memory(now, local.timestamp()))
        reasons = self._notifications.reasons() + self._archive.reasons()
        if reasons != self._state.own_reasons:
            self._state.own_reasons = reasons
            self._state.changes += 1
            self._stream.changed()


REQUEST_WITHIN = 5.0
"""Seconds within which a connection sends its next request; it is closed after twice that at the latest."""


class _CanNotListenError(Exception):
    """The address is none of this host, or the port is taken."""


class _Server(uvicorn.Server):
    """Leaves signals to the service's own command line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """Closes a connection that sends no whole request: enough of them would lock everybody out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(REQUEST_WITHIN, self._look, None)

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is before:
            self.transport.close()
            return
        self.loop.call_later(REQUEST_WITHIN, self._look, self.cycle)


def _web_settings(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=128,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )


def _listen(settings: DashboardSettings) -> socket.socket:
    """The listening socket."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.listen, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        listener.bind(address)
    except OSError as error:
        # The address may come up later, the port may become free: worth a restart, so no SettingsError.
        raise _CanNotListenError(
            f"can't listen on {settings.listen} port {settings.port} ([dashboard] listen, port): {error.strerror}"
        ) from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
