"""The link to the broker: the only door to paho [shell].

QoS 0 messages go past paho, straight to its socket, and are taken apart without it (`mqtt_publish` says why): while a
part of one could not be sent, nothing else is.

One thread per link connects, reads and heals; `publish()` writes to the socket from the caller's own thread.

What is asked of paho, and why (2.1.0 and 2.2.0 read): its own thread is not used and no `on_socket_register_write`
is set, since only then does `Client.publish()` write at once instead of waking a thread; all calls are made under one
lock, so that packets can't interleave; its callbacks only note what came, since writes made inside of a paho callback
wait for the next turn; each connection has a new Client, since a Client replays QoS 1 messages after a reconnect.
"""

import contextlib
import logging
import os
import random
import select
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs

from service_runtime import mqtt_reasons
from service_runtime.backoff import Backoff, QuickEnds
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_publish import is_plain, publish_packet, read_publish
from service_runtime.mqtt_tls import TlsContexts
from service_runtime.quiet_log import QuietLog
from service_runtime.spared_imports import stand_in

with stand_in("urllib.request", getproxies=dict, proxy_bypass=lambda _host: False):
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions

CONNECT_TIMEOUT = 2.0
"""Seconds for each step: TCP connect, TLS, the broker's CONNACK and its SUBACK."""
STOP_TIMEOUT = 1.5
TAKEN_OVER_PAUSE = 30.0
_FAREWELL_TIMEOUT = 1.0
_TURN = 0.4
"""Seconds between two looks at the keepalive: with it, a link that is half open is found out within twice the keepalive
and a second."""
_TCP_USER_TIMEOUT_MS = 3000
# Bytes the kernel may hold unsent: during a stall live data is dropped here soon, and not sent late in a burst.
_MOST_UNSENT = 4096
# Unacknowledged QoS 1 messages beyond this are dropped: only status, health and discovery use QoS 1.
_MOST_UNACKNOWLEDGED = 200
# Lines a minute about changes of the link's state; a link that flaps faster is summarised.
_CHANGES_TOLD = 6
# Packets read in a row before the keepalive is looked at: after a stall the answer to a ping may lie behind others.
_READS_IN_A_ROW = 64

Farewell = tuple[str, bytes, int, bool]
"""topic, payload, qos, retain"""


@attrs.frozen
class Incoming:
    """One message from the broker. `received` is CLOCK_BOOTTIME in seconds, taken right after the read."""

    topic: str
    payload: bytes
    retained: bool
    received: float


class MqttLink:
    """A connection to the broker that heals by itself.

    `on_message` and `on_link` run in the link's own thread, one at a time, without any lock held: they may call
    `publish()`, they may not call `stop()`, and they should return soon. `on_link(True, why)` comes once all
    subscriptions are acknowledged and before the first message: publish the retained set and the first ping there.
    `on_link(False, why)` comes when the link is lost, when the first attempt fails, and when the reason changes; `why`
    is a sentence for people. After `stop()` nothing comes any more.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will: tuple[str, bytes] | None,
        subscriptions: Sequence[str],
        on_message: Callable[[Incoming], None],
        on_link: Callable[[bool, str], None],
        log: logging.Logger,
        not_own: Collection[str] = (),
        on_acknowledged: Callable[[str, bool], None] | None = None,
    ) -> None:
        """`will` is published retained, QoS 1, by the broker when the link dies. Subscriptions have QoS 0.

        `not_own`: those of them for which the broker need not send back what this link published itself; with MQTT
        3.1.1, and brokers that do not know better, it does all the same. `on_acknowledged` is told the topic of each
        QoS 1 message that was acknowledged, and whether the broker took it; MQTT 3.1.1 knows no refusal.
        """
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._subscriptions = list(subscriptions)
        self._not_own = frozenset(not_own)
        self._on_message = on_message
        self._on_link = on_link
        self._on_acknowledged = on_acknowledged
        self._unacknowledged: dict[int, str] = {}
        self._log = log
        self._quiet = QuietLog()
        self._backoff = Backoff()
        self._quick_ends = QuickEnds()
        self._tls = TlsContexts(settings)
        self._lock = threading.RLock()
        self._connection: _Connection | None = None
        self._up = False
        self._down_because: str | None = None
        self._stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"mqtt {client_id}"[:15], daemon=True)

    @property
    def connected(self) -> bool:
        """True from the moment all subscriptions are acknowledged until the link is lost."""
        return self._up

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

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
        """Hand messages of QoS 0 to the socket in one piece, all or none; else as `publish`."""
        with self._lock:
            connection = self._connection
            if not self._up or self._stopping or connection is None:
                return False
            sent = connection.send_now(b"".join([connection.packet(*message) for message in messages]))
            self._look_after(connection)
            return sent is not None

    def stop(self, farewell: Sequence[Farewell] = ()) -> None:
        """Publish `farewell`, wait for its acknowledgements, disconnect cleanly; 1.5 s at most in all."""
        deadline = boottime() + STOP_TIMEOUT
        waiting = []
        connection = None
        if self._lock.acquire(timeout=STOP_TIMEOUT / 2):
            try:
                if self._up and not self._stopping and (connection := self._connection) is not None:
                    infos = [self._hand_over(connection, one, None) for one in farewell]
                    waiting = [info for info, one in zip(infos, farewell, strict=True) if info is not None and one[2]]
                self._stopping = True
            finally:
                self._lock.release()
        self._stopping = True
        give_up = min(deadline - 0.3, boottime() + _FAREWELL_TIMEOUT)
        for info in waiting:
            try:
                info.wait_for_publish(max(0.0, give_up - boottime()))
            except (ValueError, RuntimeError):  # the link broke meanwhile: the will says the rest
                break
        if self._lock.acquire(timeout=max(0.0, deadline - boottime())):
            try:
                if connection is not None:
                    connection.disconnect()
                self._wake()
            finally:
                self._lock.release()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, deadline - boottime()))  # it may sit in connect(); it is a daemon

    def _hand_over(self, connection: "_Connection", message: Farewell, expiry: int | None) -> Any:
        """Give one message to the socket or to paho, under the lock; None where it was dropped."""
        info: Any
        topic, payload, qos, retain = message
        if qos == 0:
            info = connection.send_now(connection.packet(topic, payload, retain, expiry))
        else:
            info = connection.publish(message, expiry)
            if info is not None and self._on_acknowledged is not None:
                self._unacknowledged[info.mid] = topic
        self._look_after(connection)
        return info

    def _look_after(self, connection: "_Connection") -> None:
        """After something was handed over: the rest goes out, or the loss is told, in the link's thread."""
        if connection.unsent or connection.ended is not None:
            self._wake()

    def _wake(self) -> None:
        """Make the link's thread look up; under the lock, so that the descriptor is still ours."""
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        while not self._stopping:
            pause = self._backoff.delay(random.random())  # noqa: S311  (a spread, no secret)
            try:
                if self._one_connection():
                    pause = TAKEN_OVER_PAUSE
            except Exception:  # noqa: BLE001  (whatever it is, the link must heal; it is logged with its trace)
                self._complain("link", "an unforeseen error in the link to the broker; trying again")
            self._pause(pause)
        with self._lock:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def _one_connection(self) -> bool:
        """Connect, serve until the link is lost, tell why; True where a second instance took it."""
        connection = _Connection(self._settings, self._client_id, self._will)
        if self._on_acknowledged is not None:
            self._unacknowledged.clear()
            connection.want_acknowledgements()
        up_since = None
        try:
            connection.open(self._tls)
            if not self._stopping:
                up_since = self._subscribe(connection)
                while connection.ended is None and not self._stopping:
                    self._turn(connection, _TURN)
                    self._hand_out(connection)
            if up_since is not None:
                self._drain(connection)
        except _AttemptFailedError as failed:
            connection.ended = str(failed)
        finally:
            with self._lock:
                self._up, self._connection = False, None
                connection.close()
        if self._stopping:
            return False
        why = connection.ended or "the link was lost"
        taken_over = connection.taken_over
        lasted = boottime() - up_since if up_since is not None else float("inf")
        if self._quick_ends.ended(lasted, closed_by_peer=connection.closed_by_peer):
            why = f"{why}, {mqtt_reasons.second_instance(self._client_id)}; stop one of the two"
            taken_over = True
        self._tell_down(f"{why}; next attempt in {TAKEN_OVER_PAUSE:.0f} s" if taken_over else why)
        return taken_over

    def _subscribe(self, connection: "_Connection") -> float:
        """See the connection through CONNACK and SUBACK; returns since when it is up."""
        where = mqtt_reasons.address(self._settings)
        self._wait_for(connection, lambda: connection.accepted, mqtt_reasons.no_answer(self._settings))
        if self._subscriptions:
            with self._lock:
                connection.subscribe(self._subscriptions, self._not_own)
            answered = lambda: connection.refused is not None  # noqa: E731
            self._wait_for(connection, answered, f"{where} does not answer a subscription")
        refused = [self._subscriptions[index] for index in connection.refused or ()]
        why = f"connected to {where}"
        if refused:
            why += f"; the broker refuses subscriptions to {', '.join(refused)}: see its access rights"
        with self._lock:
            self._connection, self._up = connection, True
        self._down_because = None
        self._quiet.settle("down")
        line = self._quiet.say("up", f"{why} as {self._client_id}", boottime(), at_once=_CHANGES_TOLD)
        if line is not None:
            self._log.log(logging.WARNING if refused else logging.INFO, "broker: %s", line)
        self._call("on_link", self._on_link, True, why)
        self._hand_out(connection)
        return boottime()

    def _wait_for(self, connection: "_Connection", answered: Callable[[], bool], what: str) -> None:
        deadline = boottime() + CONNECT_TIMEOUT
        while not answered():
            left = deadline - boottime()
            if connection.ended is None and left > 0 and not self._stopping:
                self._turn(connection, left)
            else:
                raise _AttemptFailedError(connection.ended or what)

    def _turn(self, connection: "_Connection", patience: float) -> None:
        """Wait until there is something to do for the connection, and do it."""
        ready = connection.wait(patience, self._wake_fd)
        if ready & _WOKEN:
            self._clear_wake()
        with self._lock:
            connection.work(ready)

    def _hand_out(self, connection: "_Connection") -> None:
        messages, connection.inbox = connection.inbox, []
        for message in messages:
            self._call("on_message", self._on_message, message)
        acknowledged, connection.acknowledged = connection.acknowledged, []
        for mid, taken in acknowledged:
            topic = self._unacknowledged.pop(mid, None)
            if topic is not None and self._on_acknowledged is not None:
                self._call("on_acknowledged", self._on_acknowledged, topic, taken)

    def _drain(self, connection: "_Connection") -> None:
        """While `stop()` waits for acknowledgements: read them, until it disconnects or the link is lost."""
        deadline = boottime() + _FAREWELL_TIMEOUT + 0.2
        while connection.ended is None and boottime() < deadline:
            self._turn(connection, deadline - boottime())

    def _call(self, name: str, callback: Callable[..., None], *arguments: object) -> None:
        if self._stopping:
            return
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001  (a service's mistake over one message must not end the link)
            self._complain(f"{name} {type(error).__name__}", f"{name} failed with {type(error).__name__}: {error}")

    def _complain(self, kind: str, text: str) -> None:
        line = self._quiet.say(kind, text, boottime())
        if line is not None:
            self._log.exception("broker: %s", line)

    def _tell_down(self, why: str) -> None:
        changed = why != self._down_because
        self._down_because = why
        line = self._quiet.say("down", why, boottime(), at_once=_CHANGES_TOLD if changed else 0)
        if line is not None:
            self._log.warning("broker: %s", line)
        if changed:
            self._call("on_link", self._on_link, False, why)

    def _pause(self, seconds: float) -> None:
        until = boottime() + seconds
        while not self._stopping and (left := until - boottime()) > 0:
            select.select([self._wake_fd], [], [], left)
            self._clear_wake()

    def _clear_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)


class _AttemptFailedError(Exception):
    """A connection did not come up; the text says why, for people."""


_READABLE, _GONE, _WOKEN = 1, 2, 4


class _Client(Client):
    """paho's, which leaves messages of QoS 0 to `on_plain`: the packet's first byte, and all behind its length.

    A paho that has renamed the method takes them apart itself, and `on_message` brings them.
    """

    on_plain: Callable[[int, bytearray], None] | None = None

    def _handle_publish(self) -> MQTTErrorCode:
        head = self._in_packet["command"]
        if self.on_plain is None or not is_plain(head):
            return super()._handle_publish()
        self.on_plain(head, self._in_packet["packet"])
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class _Connection:
    """One connection through one paho Client. All but `open()` and `wait()` are called under the link's lock.

    What paho's callbacks tell is left in `accepted`, `refused` (indexes of refused subscriptions, once answered),
    `inbox`, and `ended` (why, for people).
    """

    def __init__(self, settings: MqttSettings, client_id: str, will: tuple[str, bytes] | None) -> None:
        self.accepted = False
        self.refused: list[int] | None = None
        self.inbox: list[Incoming] = []
        self.acknowledged: list[tuple[int, bool]] = []
        self.ended: str | None = None
        self.taken_over = False
        self.closed_by_peer = False
        self._settings = settings
        self._client_id = client_id
        self._reads = 0
        self._misc_due = 0.0
        self._poll = select.poll()
        self._wanted = 0
        self._rest = b""
        """Of a message of QoS 0 that is half sent: nothing may come between."""
        self._rest_since = 0.0
        newest = settings.version == 5
        client = self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if newest else True,
            protocol=MQTTProtocolVersion.MQTTv5 if newest else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_queued_messages_set(_MOST_UNACKNOWLEDGED)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        client.on_socket_open = self._tune
        client.on_connect = self._note_connack
        client.on_subscribe = self._note_suback
        client.on_message = self._note_message
        client.on_plain = self._note_plain
        client.on_disconnect = self._note_end

    def want_acknowledgements(self) -> None:
        """Fill `acknowledged` from now on: message id, and whether the broker took the message."""

        def note(_client: Client, _userdata: object, mid: int, reason: Any, _properties: Any) -> None:
            self.acknowledged.append((mid, not reason.is_failure))

        self._client.on_publish = note

    def open(self, tls: TlsContexts) -> None:
        """Connect and send CONNECT; blocks, up to the time-out for each of the host's addresses."""
        settings = self._settings
        try:
            context = tls.context()
        except OSError as error:  # ssl.SSLError is one
            raise _AttemptFailedError(mqtt_reasons.bad_tls_file(error, settings)) from None
        if context is not None:
            self._client.tls_set_context(context)
        try:
            # With MQTT 5 paho's default is a clean start on a Client's first connection, and this is its only one.
            self._client.connect(settings.host, settings.port, keepalive=settings.keepalive)
        except (OSError, ValueError) as error:
            raise _AttemptFailedError(mqtt_reasons.failed_attempt(error, settings)) from None

    def wait(self, patience: float, wake_fd: int) -> int:
        """What the connection is ready for, after `patience` seconds at most."""
        sock: Any = self._client.socket()
        if sock is None or self.ended is not None:
            return 0
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return _READABLE
        wanted = select.POLLOUT if self._rest else select.POLLIN | (select.POLLOUT if self.unsent else 0)
        try:
            own = sock.fileno()
            if wanted != self._wanted:
                self._wanted = wanted
                self._poll.register(own, wanted)
                self._poll.register(wake_fd, select.POLLIN)
            events = dict(self._poll.poll(max(0.0, patience) * 1000))
        except (OSError, ValueError):  # a writer in another thread met the loss first and closed it
            return 0
        found = events.get(own, 0)
        gone = _GONE if found & ~(select.POLLIN | select.POLLOUT) else 0
        return gone | (_READABLE if found & select.POLLIN else 0) | (_WOKEN if wake_fd in events else 0)

    def work(self, ready: int) -> None:
        try:
            clear = self._flush()
            # Paho writes, too, when it reads an acknowledgement: never into the middle of a packet.
            if ready & _GONE or (clear and ready & _READABLE):
                self._client.loop_read()
            if clear and self.unsent:
                self._client.loop_write()
            self._reads += 1
            now = boottime()
            read_all = not ready & _READABLE or self._reads > _READS_IN_A_ROW
            if clear and now >= self._misc_due and (read_all or not self._more_to_read()):
                self._reads, self._misc_due = 0, now + _TURN
                self._client.loop_misc()
            if not clear and now - self._rest_since > self._settings.keepalive:
                self._ended(f"no answer from {mqtt_reasons.address(self._settings)}")
        except Exception as error:  # noqa: BLE001  (paho raises many kinds over a malformed packet)
            self._ended(f"{mqtt_reasons.address(self._settings)} sent something that is not MQTT: {error}")
        if self._client.socket() is None:
            self._ended(f"connection to {mqtt_reasons.address(self._settings)} lost")

    def _more_to_read(self) -> bool:
        sock: Any = self._client.socket()
        if sock is None:
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    @property
    def unsent(self) -> bool:
        return bool(self._rest) or self._client.want_write()

    def subscribe(self, topics: Sequence[str], not_own: Collection[str]) -> None:
        if self._settings.version == 5:
            options = [SubscribeOptions(noLocal=topic in not_own) for topic in topics]
            self._client.subscribe(list(zip(topics, options, strict=True)))
        else:
            self._client.subscribe([(topic, 0) for topic in topics])

    def publish(self, message: Farewell, expiry: int | None) -> Any:
        """Leave a message to paho: its MQTTMessageInfo, or None where the message was dropped."""
        topic, payload, qos, retain = message
        if self.ended is not None or not self._flush():
            return None
        properties = None
        if expiry is not None and self._settings.version == 5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry
        info = self._client.publish(topic, payload, qos, retain, properties)
        return info if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self.ended is None else None

    def packet(self, topic: str, payload: bytes, retain: bool, expiry: int | None = None) -> bytes:
        """A message of QoS 0 as it travels."""
        return publish_packet(topic, payload, retain=retain, expiry=expiry, version=self._settings.version)

    def send_now(self, packets: bytes) -> bool | None:
        """Send messages of QoS 0 at once: True, or None where they were dropped as older bytes are still unsent."""
        if self.ended is not None or not self._flush():
            return None
        if self._client.want_write():
            self._client.loop_write()
            if self._client.want_write() or self.ended is not None:
                return None
        try:
            self._rest = self._send(packets)
        except BlockingIOError:
            return None
        if self._rest:
            self._rest_since = boottime()
        return True

    def _flush(self) -> bool:
        """Send what is left of a message of QoS 0; True where nothing is."""
        if self._rest:
            with contextlib.suppress(BlockingIOError):
                self._rest = self._send(self._rest)
        return not self._rest

    def _send(self, data: bytes) -> bytes:
        """Send as much as the socket takes; what is left. BlockingIOError where it takes nothing."""
        sock: Any = self._client.socket()
        if sock is None:
            return data
        try:
            return data[sock.send(data) :]
        except BlockingIOError:
            raise
        except OSError:
            # TLS that is busy wants to see the same bytes again. Of a link that is lost the link's thread reads why:
            # the broker may have said so.
            return data

    def disconnect(self) -> None:
        """Say goodbye: the broker forgets the last will."""
        self._client.disconnect()
        self._ended("stopped")

    def close(self) -> None:
        """Close the socket without a DISCONNECT: after a failure the broker shall publish the last will."""
        client = self._client
        # Else Client and _Connection hold each other until the garbage collector runs.
        client.on_socket_open = client.on_connect = client.on_subscribe = None
        client.on_message = client.on_plain = client.on_disconnect = client.on_publish = None
        sock: Any = client.socket()
        if sock is not None:
            sock.close()

    def _ended(self, why: str) -> None:
        if self.ended is None:
            self.ended = why

    def _tune(self, _client: Client, _userdata: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_UNSENT)

    def _note_connack(self, _client: Client, _userdata: object, _flags: Any, reason: Any, _properties: Any) -> None:
        self.accepted = not reason.is_failure
        if reason.is_failure:
            self._ended(mqtt_reasons.refusal(reason.value, self._settings, self._client_id))

    def _note_suback(self, _client: Client, _userdata: object, _mid: int, reasons: Any, _properties: Any) -> None:
        self.refused = [index for index, reason in enumerate(reasons) if reason.is_failure]

    def _note_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        received = boottime()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self.inbox.append(Incoming(topic, bytes(message.payload), message.retain, received))

    def _note_plain(self, head: int, body: bytearray) -> None:
        received = boottime()
        try:
            topic, payload, retained = read_publish(head, body, version=self._settings.version)
        except UnicodeDecodeError:
            return
        self.inbox.append(Incoming(topic, payload, retained, received))

    def _note_end(self, _client: Client, _userdata: object, flags: Any, reason: Any, _properties: Any) -> None:
        where = mqtt_reasons.address(self._settings)
        silent = reason.getName() == "Keep alive timeout"
        if flags.is_disconnect_packet_from_server:
            self.taken_over = reason.value == mqtt_reasons.TAKEN_OVER
            self._ended(mqtt_reasons.end(reason.value, self._client_id))
        elif not self.accepted:
            self._ended((mqtt_reasons.no_answer if silent else mqtt_reasons.no_greeting)(self._settings))
        elif silent:
            self._ended(f"no answer from {where}")
        else:
            self.closed_by_peer = True
            self._ended(f"connection to {where} lost")
