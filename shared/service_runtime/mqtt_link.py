"""The link to the broker: connects, subscribes, heals, reports [shell].

One thread per link connects, reads and heals; `publish()` writes to the socket from the caller's own thread.
"""

import contextlib
import logging
import os
import random
import secrets
import select
import threading
from collections.abc import Callable, Collection, Sequence

import attrs

from ksem_contract.reasons import Reason
from service_runtime import mqtt_reasons
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_connection import (
    CONNECT_TIMEOUT,
    TURN,
    WOKEN,
    AttemptFailedError,
    Connection,
    Publication,
    TlsContexts,
)
from service_runtime.mqtt_session import MQTT_3_1_1, MQTT_5, Backoff, FinalMessage, Incoming, Overlap, VersionChoice
from service_runtime.news import QuietLog
from service_runtime.threads import WatchedThread

STOP_TIMEOUT = 1.5
TURN_WITHIN = 60.0
"""Seconds without a turn after which the link's thread counts as hanging: a name server may take half a minute."""
_FINAL_TIMEOUT = 1.0
# Lines a minute about changes of the link's state; a link that flaps faster is summarised.
_CHANGES_LOGGED = 6


def client_id_of(settings: MqttSettings, *names: str) -> str:
    """Return a client id for this process, as `ksem-pub-main-5f1c9a2e5f1c9a2e`: other clients can't guess it."""
    return "-".join([settings.prefix.replace("/", "-"), *names, secrets.token_hex(8)])


class _SilentError(AttemptFailedError):
    """The broker does not answer: that is no refusal of a version."""


class MqttLink:
    """A connection to the broker that heals by itself.

    `on_message` and `on_link` run in the link's own thread, one at a time, without any lock held: they may call
    `publish()`, they may not call `stop()`, and they should return soon. `on_link(True, why)` comes once all
    subscriptions are acknowledged and before the first message: publish the retained set and the first ping there.
    `on_link(False, why)` comes when the link is lost, when the first attempt fails, and when the reason changes; `why`
    is a sentence for people. After `stop()` it calls nothing any more.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will: tuple[str, bytes] | None,
        subscriptions: Sequence[str],
        on_message: Callable[[Incoming], None],
        on_link: Callable[[bool, tuple[Reason, ...]], None],
        log: logging.Logger,
        not_own: Collection[str] = (),
        on_acknowledged: Callable[[str, bool], None] | None = None,
    ) -> None:
        """`will` is published retained, QoS 1, by the broker when the link dies. Subscriptions have QoS 0.

        `client_id` of a service ends at random (`client_id_of`): a client that guesses it can take the connection over.

        `not_own`: those of them for which the broker need not send back what this link published itself; with MQTT
        3.1.1, and brokers that do not support it, it does all the same. `on_acknowledged` gets the topic of each
        QoS 1 message that was acknowledged, and whether the broker took it; MQTT 3.1.1 knows no refusal.
        """
        self._settings = settings
        self._choice = VersionChoice(settings.version)
        # Made once: the settings' rules look at files, which may be gone later.
        self._by_version = {number: attrs.evolve(settings, version=number) for number in (MQTT_5, MQTT_3_1_1)}
        self._client_id = client_id
        self._will = will
        self._subscriptions = list(subscriptions)
        self._overlap = Overlap(self._subscriptions)
        self._not_own = frozenset(not_own)
        self._on_message = on_message
        self._on_link = on_link
        self._on_acknowledged = on_acknowledged
        self._unacknowledged: dict[int, str] = {}
        self._log = log
        self._quiet = QuietLog()
        self._backoff = Backoff()
        self._tls = TlsContexts(settings)
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._up = False
        self._down_because: Reason | None = None
        self._stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.thread = WatchedThread(f"mqtt {client_id}"[:15], self._run, TURN_WITHIN)

    @property
    def connected(self) -> bool:
        """True from the moment all subscriptions are acknowledged until the link is lost."""
        return self._up

    @property
    def version(self) -> int:
        """The MQTT version of the connection, or of the next one: 5 or 3 (3.1.1)."""
        return self._choice.version

    def start(self) -> None:
        """Start the thread; returns at once."""
        self.thread.start()

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool:
        """Hand one message to the socket, from any thread, without ever waiting for the broker.

        False: dropped, because the link is down or older bytes are still unsent. Nothing is kept for later.
        `expiry` in seconds (MQTT 5; ignored with 3.1.1).
        """
        with self._lock:
            if not self._up or self._stopping or self._connection is None:
                return False
            return self._hand_over(self._connection, (topic, payload, qos, retain), expiry) is not None

    def publish_together(self, messages: Sequence[tuple[str, bytes, bool, int | None]]) -> bool:
        """Hand messages of QoS 0 to the socket, all or none; else as `publish`."""
        with self._lock:
            connection = self._connection
            if not self._up or self._stopping or connection is None or not connection.takes_live_data():
                return False
            sent = [connection.publish((topic, body, 0, retain), age) for topic, body, retain, age in messages]
            self._look_after(connection)
            return None not in sent

    def stop(self, final_messages: Sequence[FinalMessage] = ()) -> None:
        """Publish `final_messages`, wait for their acknowledgements, disconnect cleanly; 1.5 s at most in all."""
        deadline = boottime() + STOP_TIMEOUT
        waiting = []
        connection = None
        if self._lock.acquire(timeout=STOP_TIMEOUT / 2):
            try:
                if self._up and not self._stopping and (connection := self._connection) is not None:
                    infos = [self._hand_over(connection, one, None) for one in final_messages]
                    waiting = [
                        info for info, one in zip(infos, final_messages, strict=True) if info is not None and one[2]
                    ]
                self._stopping = True
            finally:
                self._lock.release()
        self._stopping = True
        give_up = min(deadline - 0.3, boottime() + _FINAL_TIMEOUT)
        for info in waiting:
            try:
                info.wait_for_publish(max(0.0, give_up - boottime()))
            except (ValueError, RuntimeError):  # the link broke meanwhile: the broker publishes the will
                break
        if self._lock.acquire(timeout=max(0.0, deadline - boottime())):
            try:
                if connection is not None:
                    connection.disconnect()
                self._wake()
            finally:
                self._lock.release()
        if self.thread.is_started and not self.thread.is_own:
            self.thread.join(max(0.0, deadline - boottime()))  # it may sit in connect(); it is a daemon

    def _hand_over(self, connection: Connection, message: FinalMessage, expiry: int | None) -> Publication | None:
        """Give one message to paho, under the lock; None where it was dropped."""
        topic, _payload, qos, _retain = message
        info = None
        if qos > 0 or connection.takes_live_data():
            info = connection.publish(message, expiry)
        if info is not None and qos > 0 and self._on_acknowledged is not None:
            self._unacknowledged[info.mid] = topic
        self._look_after(connection)
        return info

    def _look_after(self, connection: Connection) -> None:
        """After a message was handed over: the link's thread sends the rest, or reports the loss."""
        if connection.unsent or connection.ended is not None:
            self._wake()

    def _wake(self) -> None:
        """Wake the link's thread; under the lock, so that the descriptor is still ours."""
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        while self._goes_on():
            try:
                if self._one_connection():
                    continue
            except Exception:  # noqa: BLE001  (whatever it is, the link must heal; it is logged with its trace)
                self._complain("link", "an unforeseen error in the link to the broker; trying again")
            # Always as short: a client that makes the broker close our connections must not be able to keep us away.
            self._pause(self._backoff.delay(random.random()))  # noqa: S311  (a spread, no secret)
        if self.thread.is_own:
            with self._lock:
                os.close(self._wake_fd)
                self._wake_fd = -1

    def _goes_on(self) -> bool:
        return self.thread.turned() and not self._stopping

    def _one_connection(self) -> bool:
        """Connect, serve until the link is lost, report why; True where another MQTT version is to be tried at once."""
        connection = Connection(self._by_version[self._choice.version], self._client_id, self._will)
        if self._on_acknowledged is not None:
            self._unacknowledged.clear()
            connection.want_acknowledgements()
        up = opened = False
        try:
            connection.open(self._tls)
            opened = True
            if not self._stopping:
                self._subscribe(connection)
                up = True
                while connection.ended is None and self._goes_on():
                    self._step(connection, TURN)
                    self._hand_out(connection)
            if up:
                self._drain(connection)
        except _SilentError as silent:
            connection.ended, opened = silent.reason, False
        except AttemptFailedError as failed:
            connection.ended = connection.ended or failed.reason
        finally:
            with self._lock:
                self._up, self._connection = False, None
                connection.close()
        if self._stopping:
            return False
        if self._is_other_version_next(connection, opened=opened):
            return True
        self._report_down(connection.ended or mqtt_reasons.lost(self._settings))
        return False

    def _is_other_version_next(self, connection: Connection, *, opened: bool) -> bool:
        """Report to the choice of version how a connection ended. `opened`: the broker's host took it and closed it."""
        if connection.accepted:
            self._choice.lost()
        elif opened:
            return self._choice.closed(connection.refusal_code)
        return False

    def _subscribe(self, connection: Connection) -> None:
        """See the connection through CONNACK and SUBACK."""
        self._wait_for(connection, lambda: connection.accepted, mqtt_reasons.no_answer(self._settings))
        if self._choice.accepted():
            self._log_fall_back()
        if self._subscriptions:
            self._overlap.begin_anew()
            with self._lock:
                connection.subscribe(self._subscriptions, self._not_own)
            answered = lambda: connection.refused is not None  # noqa: E731
            self._wait_for(connection, answered, mqtt_reasons.no_suback(self._settings))
        refused = [self._subscriptions[index] for index in connection.refused or ()]
        reasons = [Reason.of("broker-connected", address=mqtt_reasons.address(self._settings))]
        if refused:
            reasons.append(Reason.of("broker-refuses-topics", topics=", ".join(refused)))
        reasons += [Reason.of("broker-lacks", what=limit) for limit in connection.limits]
        with self._lock:
            self._connection, self._up = connection, True
        self._down_because = None
        self._quiet.settle("down")
        text = f"{reasons[0]} as {self._client_id}" + "".join(f"; {reason}" for reason in reasons[1:])
        line = self._quiet.line("up", text, boottime(), at_once=_CHANGES_LOGGED)
        if line is not None:
            self._log.log(logging.WARNING if reasons[1:] else logging.INFO, "broker: %s", line)
        self._call("on_link", self._on_link, True, tuple(reasons))
        self._hand_out(connection)

    def _log_fall_back(self) -> None:
        where = mqtt_reasons.address(self._settings)
        self._log.info("broker: %s refuses MQTT 5, so MQTT 3.1.1 is used (mqtt.version)", where)

    def _wait_for(self, connection: Connection, answered: Callable[[], bool], what: Reason) -> None:
        deadline = boottime() + CONNECT_TIMEOUT
        while not answered():
            left = deadline - boottime()
            if connection.ended is None and left > 0 and not self._stopping:
                self._step(connection, left)
            else:
                raise AttemptFailedError(connection.ended) if connection.ended else _SilentError(what)

    def _step(self, connection: Connection, patience: float) -> None:
        """Wait until there is something to do for the connection, and do it."""
        ready = connection.wait(patience, self._wake_fd)
        if ready & WOKEN:
            self._clear_wake()
        with self._lock:
            connection.work(ready)

    def _hand_out(self, connection: Connection) -> None:
        messages, connection.inbox = connection.inbox, []
        for message in messages:
            if not self._overlap.is_copy(
                message.topic, message.payload, retained=message.retained, received=message.received
            ):
                self._call("on_message", self._on_message, message)
        acknowledged, connection.acknowledged = connection.acknowledged, []
        for mid, taken in acknowledged:
            topic = self._unacknowledged.pop(mid, None)
            if topic is not None and self._on_acknowledged is not None:
                self._call("on_acknowledged", self._on_acknowledged, topic, taken)

    def _drain(self, connection: Connection) -> None:
        """While `stop()` waits for acknowledgements: read them, until it disconnects or the link is lost."""
        deadline = boottime() + _FINAL_TIMEOUT + 0.2
        while connection.ended is None and boottime() < deadline:
            self._step(connection, deadline - boottime())

    def _call(self, name: str, callback: Callable[..., None], *arguments: object) -> None:
        if self._stopping:
            return
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001  (a service's mistake over one message must not end the link)
            self._complain(f"{name} {type(error).__name__}", f"{name} failed with {type(error).__name__}: {error}")

    def _complain(self, kind: str, text: str) -> None:
        line = self._quiet.line(kind, text, boottime())
        if line is not None:
            self._log.exception("broker: %s", line)

    def _report_down(self, why: Reason) -> None:
        changed = why != self._down_because
        self._down_because = why
        line = self._quiet.line("down", str(why), boottime(), at_once=_CHANGES_LOGGED if changed else 0)
        if line is not None:
            self._log.warning("broker: %s", line)
        if changed:
            self._call("on_link", self._on_link, False, (why,))

    def _pause(self, seconds: float) -> None:
        until = boottime() + seconds
        while not self._stopping and (left := until - boottime()) > 0:
            select.select([self._wake_fd], [], [], left)
            self._clear_wake()

    def _clear_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
