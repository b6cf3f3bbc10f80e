"""Puts the inverter's side together: the broker's link, a feed for each meter, a thread for each line."""

import gc
import logging
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from ksem_contract.health import Transit, UnitHealth
from ksem_contract.home_assistant import Discovery, node_device
from ksem_contract.topics import Topics
from service_runtime.announcer import Announcer
from service_runtime.clock import boottime, until_beat, wall_time
from service_runtime.health_file import HealthFile
from service_runtime.link_state import LinkState
from service_runtime.mqtt_connection import Incoming
from service_runtime.mqtt_link import MqttLink, client_id_of
from service_runtime.quiet_log import QuietLog
from service_runtime.recorder.recorder import Recorder
from service_runtime.systemd import notify, watchdog_interval
from service_runtime.version import VERSION

from .block_feed import BlockFeed
from .door_book import DoorBook
from .drill import Drill, WithheldBook
from .line_counters import UnitCounters
from .node_report import UnitReport, door_health, overall
from .node_reporter import NodeReporter, Surroundings
from .recording import node_wires
from .register_cache import FreshnessLimits
from .responder import Responder, Unit
from .serial_line import SerialLine
from .settings import DoorSettings, FreshnessSettings, LineSettings, RtuServerSettings, UnitSettings
from .tcp_door import TcpDoor
from .unit_state import UnitView, judge

TICK: Final = 1.0
"""Seconds between looks at what should be told: a status is right within 3 s, a ping that was lost goes out anew."""
_SOON: Final = 0.005
TOPICS_IN_MIND: Final = 64
"""Topics that are taken apart once: a meter has a dozen, and they come again with each of its cycles."""

STOP_WITHIN: Final = 1.0
"""Seconds that all lines and doors together may take to end."""
PORT_LINES: Final = 12
"""Lines a minute about one port that comes and goes; the others are counted in one line."""

log = logging.getLogger(__name__)


def limits_of(settings: FreshnessSettings) -> FreshnessLimits:
    """Return the age limits by block name."""
    by_block = {name: getattr(settings, name) for name in ("live", "energy", "sunspec", "device")}
    return FreshnessLimits(MappingProxyType(by_block), settings.vital)


class RtuServer:
    """The service. `run` returns after `stopping` is set, with the node's status published as offline."""

    def __init__(self, settings: RtuServerSettings) -> None:
        self._settings = settings
        self._node = settings.node.name
        self._topics = Topics(settings.mqtt.prefix)
        self._parse = lru_cache(TOPICS_IN_MIND)(self._topics.parse)
        self._since = wall_time()
        self._broker = LinkState("not connected yet", boottime(), self._since)
        self.drill = Drill()
        limits = limits_of(settings.freshness)
        units = [*(line.unit for line in settings.line), *(door.unit for door in settings.tcp)]
        meters = sorted({unit.meter for some in units for unit in some})
        self._feeds = {meter: BlockFeed(meter, self._node, self._topics, limits, self._send) for meter in meters}
        wires = node_wires(self._node, self._topics, settings.line)
        self._recorder = Recorder(wires, self._send, settings.recorder, log)
        self._port_lock = threading.Lock()
        self._ports = {line.name: LinkState("not opened yet", boottime(), self._since) for line in settings.line}
        self._lines = {line.name: self._build_line(line) for line in settings.line}
        self._ports |= {door.name: LinkState("not opened yet", boottime(), self._since) for door in settings.tcp}
        self._doors = {door.name: self._build_door(door) for door in settings.tcp}
        self._parts: dict[str, SerialLine | TcpDoor] = {**self._lines, **self._doors}
        self._threads = {part.thread: name for name, part in self._parts.items()}
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

    def run(self, stopping: threading.Event) -> int:
        """Serve until `stopping` is set; return the exit code: 1 where a thread failed again."""
        sys.setswitchinterval(0.0001)  # a line's thread waits at most this long for another one's Python code
        gc.freeze()  # what is loaded now lives as long as the process: no collection looks at it again
        self._link.start()
        for part in self._parts.values():
            part.start()
        notify("READY=1")
        try:
            while not stopping.wait(self._rest(boottime())) and self._threads_work(boottime()):
                self._tick(boottime())
        finally:
            notify("STOPPING=1")
            self._stop_parts()
            self._link.stop([(self._topics.node_status(self._node), b"offline", 1, True)])
        return 0 if stopping.is_set() else 1

    def _stop_parts(self) -> None:
        """End lines and doors together, so that one that hangs costs no other its end."""
        for part in self._parts.values():
            part.begin_stop()
        until = boottime() + STOP_WITHIN
        for part in self._parts.values():
            part.thread.join(max(0.0, until - boottime()))

    def _threads_work(self, now: float) -> bool:
        """Start a thread that ended or hangs anew, once. False where one failed again: the process must end."""
        if not self._link.is_alive:
            log.error("the thread of the broker's link has ended: the process ends")
            return False
        for thread, port in self._threads.items():
            fault = thread.fault(now)
            if fault and thread.restarts:
                log.error("thread %s %s again: the process ends", thread.name, fault)
                return False
            if fault:
                log.error("thread %s %s: started anew", thread.name, fault)
                self._ports[port].update("down", f"its thread {fault}: started anew", now, wall_time())
                thread.restart()
        return True

    def _rest(self, now: float) -> float:
        """Seconds until the next look: at once at what expires, soon at what is new, with the next beat else."""
        expire = [
            feed.state.vital_expires + _SOON - now for feed in self._feeds.values() if feed.fresh_since is not None
        ]
        beat = TICK if self._reporter.has_logged else TICK / 2
        return max(_SOON, min(until_beat(beat, now), self._recorder.rest, *expire))

    def _build_line(self, line: LineSettings) -> SerialLine:
        units = {unit.id: self._build_unit(unit) for unit in line.unit}
        return SerialLine(line, Responder(units), lambda up, why: self._on_port(line, up, why), self._recorder.tape)

    def _build_unit(self, unit: UnitSettings) -> Unit:
        book = WithheldBook(self._feeds[unit.meter].book, self.drill)
        return Unit(unit.id, unit.meter, book, unit.on_stale, unit.enabled)

    def _build_door(self, door: DoorSettings) -> TcpDoor:
        books = {meter: DoorBook(feed.book) for meter, feed in self._feeds.items()}
        units = {
            unit.id: Unit(unit.id, unit.meter, books[unit.meter], unit.on_stale, unit.enabled) for unit in door.unit
        }
        return TcpDoor(door, Responder(units), lambda up, why: self._on_door(door, up, why))

    def _subscriptions(self) -> Sequence[str]:
        feeds = [topic for feed in self._feeds.values() for topic in feed.subscriptions(self._node)]
        own = (self._topics.node_status(self._node), self._topics.node_capture_ask(self._node))
        return [*feeds, *own, *self._announcer.subscriptions]

    def _devices(self) -> list[Discovery]:
        prefix, meter = self._settings.homeassistant.prefix, self._settings.line[0].unit[0].meter
        return [node_device(self._topics, prefix, self._node, meter, version=VERSION)]

    def _send(self, topic: str, payload: bytes) -> bool:
        return self._link.publish(topic, payload)

    def _on_port(self, line: LineSettings, up: bool, why: str) -> None:
        text = f"{line.port} is open" + (f" ({why})" if why else "") if up else why
        self._on_change("line", line.name, up, text)

    def _on_door(self, door: DoorSettings, up: bool, why: str) -> None:
        text = f"readers are served on {door.listen}:{door.port}" if up else why
        self._on_change("door", door.name, up, text)

    def _on_change(self, what: str, name: str, up: bool, text: str) -> None:
        """Note a port's change, in the thread that serves it: nothing is answered there now, and no log blocks."""
        if up and self._parts[name].thread.restarts:
            text += " (its thread was started anew once, see the log)"
        now = boottime()
        with self._port_lock:
            if self._ports[name].update("up" if up else "down", text, now, wall_time()):
                self._recorder.tape.note(now, "port", f"{name}: {text}")
                self._log_port(logging.INFO if up else logging.WARNING, f"{what} {name}", text, now)

    def _log_counted_changes(self, now: float) -> None:
        with self._port_lock:
            for line in self._quiet.due(now):
                log.warning("%s", line)

    def _log_port(self, level: int, kind: str, text: str, now: float) -> None:
        line = self._quiet.say(kind, f"{kind}: {text}", now, at_once=PORT_LINES)
        if line is not None:
            log.log(level, "%s", line)

    def _on_link(self, up: bool, why: str) -> None:
        self._recorder.tape.note(boottime(), "broker", why)
        self._broker.update("up" if up else "down", why, boottime(), wall_time())
        if up:
            for feed in self._feeds.values():
                feed.on_link_up()
            self._reporter.on_link_up()
            self._announcer.again()

    def _on_message(self, message: Incoming) -> None:
        topic = self._parse(message.topic)
        if topic is None:
            self._announcer.hear(message)
            return
        if topic.kind == "node_status":
            self._reporter.on_own_status(message.payload, message.received, retained=message.retained)
        elif topic.kind == "node_capture_ask":
            self._recorder.on_ask(message.payload)
        elif topic.meter in self._feeds:
            self._feeds[topic.meter].on_message(topic, message)

    def _tick(self, now: float) -> None:
        for feed in self._feeds.values():
            feed.tick()
        self._log_counted_changes(now)
        for part in self._parts.values():
            part.settle()
        reports = [self._report(line, unit) for line in self._settings.line for unit in line.unit]
        verdicts = [judge(report.view, now) for report in reports]
        node = overall([*verdicts, *self._reporter.other_instance(now)])
        enabled = [verdict for verdict, report in zip(verdicts, reports, strict=True) if report.view.enabled]
        served = bool(enabled) and all(verdict.is_served for verdict in enabled)
        self._reporter.tell(served, node, reports, self._surroundings, now)
        self._announcer.tick(self._link)
        self._recorder.tick(now, "" if node.state == "ok" else f"{node.state}: {node.why}")
        why = node.why or "the inverter asks and gets data"
        self._health_file.tell(served, why, now)
        self._tell_systemd(why, now)

    def _tell_systemd(self, status: str, now: float) -> None:
        if status != self._systemd_status:
            self._systemd_status = status
            notify(f"STATUS={status}")
        if self._watchdog is not None and now >= self._watchdog_due:
            self._watchdog_due = now + self._watchdog
            notify("WATCHDOG=1")

    def _report(self, line: LineSettings, unit: UnitSettings) -> UnitReport:
        feed = self._feeds[unit.meter]
        counters = self._lines[line.name].counters
        own: UnitCounters = counters.units[unit.id]
        port = self._ports[line.name].health
        broker = self._broker.health
        view = UnitView(
            line=line.name,
            unit=unit.id,
            meter=unit.meter,
            topic=f"{self._topics.prefix}/{unit.meter}",
            enabled=unit.enabled,
            port_up=port.state == "up",
            port_why=port.why,
            broker_up=broker.state == "up",
            broker_why=broker.why,
            meter_online=feed.online,
            fresh_since=feed.fresh_since,
            last_heard=feed.last_heard,
            last_block=feed.last_block,
            undated=feed.undated,
            last_request=own.last_request,
            last_data=own.last_data,
            foreign_or_noise=counters.foreign + counters.noise,
            listening_since=counters.listening_since,
            port=line.port,
            unsent_since=counters.unsent_since,
            withheld=self.drill.is_on(boottime()),
        )
        return UnitReport(view, counters, port)

    def _surroundings(self, now: float) -> Surroundings:
        return Surroundings(self._door_reports(now), self._broker.health, self._transit())

    def _door_reports(self, now: float) -> list[UnitHealth]:
        return [
            door_health(
                door.name,
                unit,
                self._doors[door.name].counters,
                self._ports[door.name].health,
                self._feeds[unit.meter].fresh_since,
                now,
            )
            for door in self._settings.tcp
            for unit in door.unit
        ]

    def _transit(self) -> dict[str, Transit]:
        return {meter: Transit(feed.round_trip_ms, feed.state.session) for meter, feed in self._feeds.items()}
