"""The inverter's side put together: the broker's link, a feed for each meter, a thread for each line [shell]."""

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ksem_contract.health import Transit, UnitHealth
from ksem_contract.home_assistant import Discovery, node_device
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import Topics
from rtu_server.block_feed import BlockFeed
from rtu_server.counters import UnitCounters
from rtu_server.data_flow import DataFlow
from rtu_server.drill import Drill, WithheldReplies
from rtu_server.health import WORST, UnitReport, UnitView, Verdict, judge, overall, tcp_health, why_refused
from rtu_server.health_publisher import NodeReporter, Surroundings
from rtu_server.outage_file import OutageFile, local_time
from rtu_server.outages import Outages
from rtu_server.register_cache import FreshnessLimits
from rtu_server.responder import ReplySource, Responder, Unit
from rtu_server.serial_line import SerialLine, character_time
from rtu_server.settings import FreshnessSettings, LineSettings, RtuServerSettings, TcpSettings, UnitSettings
from rtu_server.tcp_server import TcpServer
from rtu_server.tcp_session import TcpReplyCache
from service_runtime.announcer import Announcer
from service_runtime.clock import boottime, until_tick, wall_time
from service_runtime.key_file import KeyFile
from service_runtime.mqtt_link import MqttLink, client_id_of
from service_runtime.mqtt_session import Incoming
from service_runtime.news import LinkState, QuietLog
from service_runtime.recorder.recorder import Recorder, RecordingSource
from service_runtime.recorder.wire_events import CLOCK, WireEvent
from service_runtime.systemd import HealthFile, notify, state_directory, watchdog_interval
from service_runtime.threads import all_work
from service_runtime.version import VERSION

if TYPE_CHECKING:
    from service_runtime.recorder.flight_file import Decoder


TICK: Final = 1.0
"""Seconds between checks of what to publish: a status is right within 3 s, a lost ping is sent again."""
_SOON: Final = 0.005
TOPICS_IN_MIND: Final = 64
"""Topics whose parts are remembered: a meter has a dozen, and each cycle brings them again."""

STOP_WITHIN: Final = 1.0
"""Seconds that all lines and TCP servers together may take to end."""
PORT_LINES: Final = 12
"""Lines a minute about one port that comes and goes; the others are counted in one line."""

log = logging.getLogger(__name__)


def limits_of(settings: FreshnessSettings) -> FreshnessLimits:
    """Return the age limits by block name."""
    by_block = {name: getattr(settings, name) for name in ("live", "energy", "sunspec", "device")}
    return FreshnessLimits(MappingProxyType(by_block), settings.vital)


def unit_of(settings: UnitSettings, cache: ReplySource) -> Unit:
    """Return the unit of these settings, answered from `cache`."""
    return Unit(
        id=settings.id,
        meter=settings.meter,
        cache=cache,
        on_stale=settings.on_stale,
        enabled=settings.enabled,
        stay=settings.stay,
        earliest=settings.earliest,
    )


class RtuServer:
    """The service. `run` returns after `stopping` is set, with the node's status published as offline."""

    def __init__(self, settings: RtuServerSettings) -> None:
        self._settings = settings
        self._node = settings.node.name
        self._topics = Topics(settings.mqtt.prefix)
        self._parse = lru_cache(TOPICS_IN_MIND)(self._topics.parse)
        self._since = wall_time()
        self._broker = LinkState(Reason.of("broker-not-connected"), boottime(), self._since)
        self.drill = Drill()
        limits = self._limits = limits_of(settings.freshness)
        units = [*(line.unit for line in settings.line), *(tcp.unit for tcp in settings.tcp)]
        meters = sorted({unit.meter for some in units for unit in some})
        self._key_file = KeyFile(settings.integrity, log)
        self._feeds = {
            meter: BlockFeed(meter, self._node, self._topics, limits, self._send, self._key_file.keys)
            for meter in meters
        }
        self._recorder = Recorder(node_source(self._node, settings.line, self._clocks), settings.recorder, log)
        self._port_lock = threading.Lock()
        names = [*(line.name for line in settings.line), *(tcp.name for tcp in settings.tcp)]
        self._ports = {name: LinkState(Reason.of("port-not-opened"), boottime(), self._since) for name in names}
        self._responders: dict[str, Responder] = {}
        self._lines = {line.name: self._build_line(line) for line in settings.line}
        self._tcp_servers = {tcp.name: self._build_tcp(tcp) for tcp in settings.tcp}
        self._parts: dict[str, SerialLine | TcpServer] = {**self._lines, **self._tcp_servers}
        for name, part in self._parts.items():
            part.thread.on_restart = partial(self._on_restart, name)
        self._quiet = QuietLog()
        self._announcer = Announcer(settings.homeassistant, self._devices)
        self._link = MqttLink(
            settings.mqtt,
            client_id=client_id_of(settings.mqtt, "rtu", self._node),
            will=(self._topics.node_status(self._node), b"offline"),
            subscriptions=self._subscriptions(),
            on_message=self._on_message,
            on_link=self._on_link,
            log=log,
        )
        self._watchdog = watchdog_interval()
        self._watchdog_due = 0.0
        self._systemd_status = ""
        self._health_file = HealthFile()
        self._reporter = NodeReporter(self._topics, self._node, self._link)
        self._outages = Outages(boottime())
        self._outage_file = OutageFile(state_directory(), self._outages, boottime())

    def run(self, stopping: threading.Event) -> int:
        """Serve until `stopping` is set; return the exit code: 1 where a thread failed again."""
        sys.setswitchinterval(0.0001)  # a line's thread waits at most this long for another one's Python code
        gc.freeze()  # what is loaded now lives as long as the process: no collection looks at it again
        self._link.start()
        for part in self._parts.values():
            part.start()
        notify("READY=1")
        try:
            threads = [self._link.thread, *(part.thread for part in self._parts.values())]
            while not stopping.wait(self._rest(boottime())) and all_work(threads, boottime(), log):
                self._tick(boottime())
        finally:
            notify("STOPPING=1")
            self._stop_parts()
            for part in self._parts.values():
                part.count_answers()
            self._count_outages(self._reports(), boottime())
            self._outage_file.write(boottime(), ended=True)
            self._link.stop([(self._topics.node_status(self._node), b"offline", 1, True)])
        return 0 if stopping.is_set() else 1

    def write_flight_file(self) -> None:
        """Write what went over the lines in the last minutes to a file, soon; from any thread."""
        self._recorder.request_file()

    def _clocks(self) -> Iterator[WireEvent]:
        for meter, feed in self._feeds.items():
            clock = feed.publisher_clock
            if clock is not None:
                text = "{} {:.6f} {:.6f}".format(*clock)
                yield WireEvent(boottime(), CLOCK, meter, text.encode())

    def _stop_parts(self) -> None:
        """End lines and TCP servers together, so that one that hangs does not delay the others."""
        for part in self._parts.values():
            part.begin_stop()
        until = boottime() + STOP_WITHIN
        for part in self._parts.values():
            part.thread.join(max(0.0, until - boottime()))

    def _on_restart(self, port: str, fault: str) -> None:
        self._ports[port].update("down", (Reason.of("thread-failed", error=fault),), boottime(), wall_time())

    def _rest(self, now: float) -> float:
        """Seconds until the next check: at once at an expiry, soon after news, else with the next tick."""
        expire = [
            feed.state.vital_expires + _SOON - now for feed in self._feeds.values() if feed.fresh_since is not None
        ]
        tick = TICK if self._reporter.has_logged else TICK / 2
        return max(_SOON, min([until_tick(tick, now), *expire]))

    def _build_line(self, line: LineSettings) -> SerialLine:
        units = {unit.id: self._build_unit(unit) for unit in line.unit}
        responder = self._responders[line.name] = Responder(units)
        on_port = partial(self._on_change, "line", line.name)
        return SerialLine(line, responder, on_port, self._recorder.event_queue, self._limits.of)

    def _build_unit(self, unit: UnitSettings) -> Unit:
        return unit_of(unit, WithheldReplies(self._feeds[unit.meter].cache, self.drill))

    def _build_tcp(self, tcp: TcpSettings) -> TcpServer:
        caches = {meter: TcpReplyCache(feed.cache) for meter, feed in self._feeds.items()}
        units = {unit.id: unit_of(unit, caches[unit.meter]) for unit in tcp.unit}
        responder = self._responders[tcp.name] = Responder(units)
        return TcpServer(tcp, responder, partial(self._on_change, "TCP server", tcp.name), self._limits.of)

    def _subscriptions(self) -> Sequence[str]:
        feeds = [topic for feed in self._feeds.values() for topic in feed.subscriptions(self._node)]
        return [*feeds, self._topics.node_status(self._node), *self._announcer.subscriptions]

    def _devices(self) -> list[Discovery]:
        prefix, meter = self._settings.homeassistant.prefix, self._settings.line[0].unit[0].meter
        return [node_device(self._topics, prefix, self._node, meter, version=VERSION)]

    def _send(self, topic: str, payload: bytes) -> bool:
        return self._link.publish(topic, payload)

    def _on_change(self, what: str, name: str, up: bool, reasons: tuple[Reason, ...]) -> None:
        """Note a port's change, in the thread that serves it: it answers nothing now, and the log can't block it."""
        if up and self._parts[name].thread.restarts:
            reasons = (*reasons, Reason.of("thread-restarted"))
        now, text = boottime(), sentence(reasons)
        with self._port_lock:
            if self._ports[name].update("up" if up else "down", reasons, now, wall_time()):
                self._recorder.event_queue.note(now, "port", f"{name}: {text}")
                self._log_port(logging.INFO if up else logging.WARNING, f"{what} {name}", text, now)

    def _log_counted_changes(self, now: float) -> None:
        with self._port_lock:
            for line in self._quiet.due(now):
                log.warning("%s", line)

    def _log_port(self, level: int, kind: str, text: str, now: float) -> None:
        line = self._quiet.line(kind, f"{kind}: {text}", now, at_once=PORT_LINES)
        if line is not None:
            log.log(level, "%s", line)

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        self._recorder.event_queue.note(boottime(), "broker", sentence(reasons))
        self._broker.update("up" if up else "down", reasons, boottime(), wall_time())
        if up:
            for feed in self._feeds.values():
                feed.on_link_up()
            self._reporter.on_link_up(boottime())
            self._announcer.again()
        else:
            self._reporter.on_link_down()

    def _on_message(self, message: Incoming) -> None:
        topic = self._parse(message.topic)
        if topic is None:
            self._announcer.on_message(message)
            return
        if topic.kind == "node_status":
            self._reporter.on_own_status(message.payload, message.received, retained=message.retained)
        elif topic.meter in self._feeds:
            self._feeds[topic.meter].on_message(topic, message)

    def _tick(self, now: float) -> None:
        self._key_file.look()
        for feed in self._feeds.values():
            feed.tick()
        self._log_counted_changes(now)
        for part in self._parts.values():
            part.count_answers()
        reports = self._reports()
        verdicts = [judge(report.view, now) for report in reports]
        node = overall([*verdicts, *self._reporter.other_instance(now), *self._integrity_verdicts(now)])
        enabled = [verdict for verdict, report in zip(verdicts, reports, strict=True) if report.view.enabled]
        served = bool(enabled) and all(verdict.is_served for verdict in enabled)
        self._count_outages(reports, now)
        self._outage_file.tick(now)
        self._reporter.publish(served, node, reports, self._surroundings, now)
        self._announcer.tick(self._link)
        self._recorder.tick(now, "" if node.state == "ok" else f"{node.state}: {node.why}")
        self._health_file.write(served, node.why, now)
        self._notify_systemd(node.why, now)

    def _count_outages(self, reports: list[UnitReport], now: float) -> None:
        """Count for how long an inverter gets no data, and why."""
        enabled = [report for report in reports if report.view.enabled]
        lacking = [verdict for report in enabled if not (verdict := judge(report.view, now)).is_served]
        worst = max(lacking, key=lambda verdict: WORST.index(verdict.state), default=None)
        reason = "" if worst is None else worst.reasons[0].code
        flows = [DataFlow.of(report.counters, report.view.unit, port_up=report.view.port_up) for report in enabled]
        self._outages.look(flows, reason, now, local_time())

    def _integrity_verdicts(self, now: float) -> list[Verdict]:
        """Faults of keys and codes while data flows; where no data flows, the unit's own verdict names them."""
        problem = self._key_file.problem
        broken = [Verdict("degraded", (Reason.of("key-file", error=problem),))] if problem else []
        return broken + [
            Verdict("degraded", (why_refused(meter, fault, has_key=self._key_file.keys().is_secret),))
            for meter, feed in self._feeds.items()
            if feed.fresh_since is not None and (fault := feed.bad_mac(now)) is not None
        ]

    def _notify_systemd(self, status: str, now: float) -> None:
        if status != self._systemd_status:
            self._systemd_status = status
            notify(f"STATUS={status}")
        if self._watchdog is not None and now >= self._watchdog_due:
            self._watchdog_due = now + self._watchdog
            notify("WATCHDOG=1")

    def _reports(self) -> list[UnitReport]:
        return [self._report(line, unit) for line in self._settings.line for unit in line.unit]

    def _report(self, line: LineSettings, unit: UnitSettings) -> UnitReport:
        drilled = self.drill.is_on(boottime())
        return self._report_of(line.name, unit, port_name=line.port, withheld=drilled)

    def _report_of(self, name: str, unit: UnitSettings, *, port_name: str = "", withheld: bool = False) -> UnitReport:
        """Return what is known of a unit of the line or Modbus TCP server `name`."""
        feed = self._feeds[unit.meter]
        counters = self._parts[name].counters
        own: UnitCounters = counters.units[unit.id]
        port = self._ports[name].health
        broker = self._broker.health
        view = UnitView(
            line=name,
            unit=unit.id,
            meter=unit.meter,
            topic=f"{self._topics.prefix}/{unit.meter}",
            enabled=unit.enabled,
            port_up=port.state == "up",
            port_reasons=port.reasons,
            broker_up=broker.state == "up",
            broker_reasons=broker.reasons,
            meter_online=feed.online,
            fresh_since=feed.fresh_since,
            last_received=feed.last_received,
            last_block=feed.last_block,
            undated=feed.undated,
            last_request=own.last_request,
            last_data=own.last_data,
            foreign_or_noise=counters.foreign + counters.noise,
            listening_since=counters.listening_since,
            port=port_name,
            unsent_since=counters.unsent_since,
            bad_mac=feed.bad_mac(boottime()),
            has_key=self._key_file.keys().is_secret,
            stay=unit.stay,
            refuses_until=self._responders[name].refuses_until(unit.id),
            silenced=self._responders[name].why_silenced(unit.id),
            withheld=withheld,
        )
        return UnitReport(view, counters, port)

    def _surroundings(self, now: float) -> Surroundings:
        no_data = self._outages.totals(local_time().date())
        return Surroundings(self._tcp_reports(now), self._broker.health, self._transit(), no_data)

    def _tcp_reports(self, now: float) -> list[UnitHealth]:
        return [tcp_health(self._report_of(tcp.name, unit), now) for tcp in self._settings.tcp for unit in tcp.unit]

    def _transit(self) -> dict[str, Transit]:
        return {
            meter: Transit(feed.round_trip_ms, feed.state.session, feed.bad_macs) for meter, feed in self._feeds.items()
        }


def node_source(node: str, lines: Sequence[LineSettings], held: Callable[[], Iterable[WireEvent]]) -> RecordingSource:
    """Return the recording source of a node: its lines."""
    about = {line.name: f"{1e6 * character_time(line.baudrate, line.stopbits, line.parity):.2f}" for line in lines}

    def decoder() -> "Decoder":
        from service_runtime.recorder.decode import NodeDecoder  # noqa: PLC0415  (needed after a fault)

        return NodeDecoder(node, about, serial_number=False)

    return RecordingSource(name=node, decoder=decoder, held=held)
