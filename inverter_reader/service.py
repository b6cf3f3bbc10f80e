"""Puts the reader together: for each inverter a link to the broker, a thread that reads, and a report [shell]."""

import logging
import threading
from typing import Final

from inverter_reader.inverter import Condition, Inverter
from inverter_reader.poller import Poller
from inverter_reader.reporter import InverterReporter
from inverter_reader.settings import InverterReaderSettings, InverterSettings
from ksem_contract.home_assistant import Discovery, inverter_device
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import Topics
from ksem_contract.values_message import ValuesMessage
from service_runtime.announcer import Announcer
from service_runtime.clock import boottime, until_tick, wall_time
from service_runtime.mqtt_link import MqttLink, client_id_of
from service_runtime.mqtt_session import Incoming
from service_runtime.news import LinkState
from service_runtime.systemd import HealthFile, notify, watchdog_interval
from service_runtime.threads import all_work
from service_runtime.version import VERSION

TICK: Final = 1.0
"""Seconds between two checks of what is to be published."""
STOP_WITHIN: Final = 0.3
"""Seconds that a thread may take to end; one that waits for an answer ends with the process."""

log = logging.getLogger(__name__)


class InverterService:
    """One inverter."""

    def __init__(self, settings: InverterSettings, whole: InverterReaderSettings) -> None:
        now = boottime()
        self.settings = settings
        self._whole = whole
        self._topics = Topics(whole.mqtt.prefix)
        self._values_topic = self._topics.meter_values(settings.meter)
        self._status_topic = self._topics.inverter_status(settings.id)
        self._lock = threading.Lock()
        self._inverter = Inverter(settings.meter, settings.order, f"{settings.host}:{settings.port}")
        self._broker = LinkState(Reason.of("broker-not-connected"), now, wall_time())
        self._announcer = Announcer(whole.homeassistant, self._devices)
        self.link = MqttLink(
            whole.mqtt,
            client_id=client_id_of(whole.mqtt, "inverter", settings.id),
            will=(self._status_topic, b"offline"),
            subscriptions=[self._values_topic, self._status_topic, *self._announcer.subscriptions],
            on_message=self._on_message,
            on_link=self._on_link,
            log=log,
        )
        self._reporter = InverterReporter(self._topics, settings.id, self.link, now)
        self.poller = Poller(settings, self._inverter, self._lock, self._publish_values)

    def start(self) -> None:
        """Start both threads."""
        self.link.start()
        self.poller.thread.start()

    def stop(self) -> None:
        """End both threads; the status is offline then."""
        self.poller.stop()
        self.poller.thread.join(STOP_WITHIN)
        self.link.stop([(self._status_topic, b"offline", 1, True)])

    def tick(self, now: float) -> Condition:
        """Publish what is due; return how the inverter is."""
        with self._lock:
            condition = self._inverter.condition(now)
            self._reporter.publish(self._inverter, condition, self._broker.health, now)
        self._announcer.tick(self.link)
        return condition

    def works(self, now: float) -> bool:
        """Restart a thread that ended or hangs, once. False where it failed again: the process must end."""
        return all_work([self.link.thread, self.poller.thread], now, log)

    def _devices(self) -> list[Discovery]:
        prefix, own = self._whole.homeassistant.prefix, self.settings
        return [inverter_device(self._topics, prefix, own.id, own.meter, version=VERSION)]

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        self._broker.update("up" if up else "down", reasons, boottime(), wall_time())
        if up:
            self._reporter.on_link_up()
            self._announcer.again()

    def _on_message(self, message: Incoming) -> None:
        if message.topic == self._status_topic:
            self._reporter.on_own_status(message.payload)
        elif message.topic != self._values_topic:
            self._announcer.on_message(message)
        elif not message.retained:
            self._on_measured(message)

    def _on_measured(self, message: Incoming) -> None:
        try:
            values = ValuesMessage.decode(message.payload)
        except InvalidMessage as error:
            log.debug("%s: %s", message.topic, error)
            return
        with self._lock:
            self._inverter.on_measured(values.values, message.received - values.age_ms / 1000)

    def _publish_values(self) -> None:
        with self._lock:
            values, believed = self._inverter.values(), self._inverter.believed
        if believed is None:
            return
        age_ms = max(0, round(1000 * (boottime() - believed.sent)))
        payload = ValuesMessage(wall_time(), age_ms, values).encode()
        self.link.publish(self._topics.inverter_values(self.settings.id), payload)


class InverterReader:
    """The service. `run` returns after `stopping` is set."""

    def __init__(self, settings: InverterReaderSettings) -> None:
        self._inverters = [InverterService(one, settings) for one in settings.inverter]
        self._health_file = HealthFile()
        self._status = ""
        self._watchdog = watchdog_interval()

    def run(self, stopping: threading.Event) -> int:
        """Serve until `stopping` is set; return the exit code: 1 where a thread failed again."""
        for one in self._inverters:
            one.start()
        notify("READY=1")
        try:
            while not stopping.wait(until_tick(min(TICK, self._watchdog or TICK), boottime())):
                if not all(one.works(boottime()) for one in self._inverters):
                    break
                self._tick(boottime())
        finally:
            notify("STOPPING=1")
            for one in self._inverters:
                one.stop()
        return 0 if stopping.is_set() else 1

    def _tick(self, now: float) -> None:
        conditions = [one.tick(now) for one in self._inverters]
        text = "; ".join(
            f"{one.settings.id}: {sentence(condition.reasons)}"
            for one, condition in zip(self._inverters, conditions, strict=True)
        )
        self._health_file.write(all(one.state != "down" for one in conditions), text, now)
        if text != self._status:
            self._status = text
            notify(f"STATUS={text}")
        if self._watchdog is not None:
            notify("WATCHDOG=1")
