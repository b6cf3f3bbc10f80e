"""One connection to the broker through one paho Client: the only module that uses paho [shell].

How paho is used, and why (2.1.0 and 2.2.0 read): its own thread is not used and no `on_socket_register_write` is set,
since only then does `Client.publish()` write at once instead of waking a thread; all calls are made under one lock, so
that packets can't interleave; its callbacks only note what came, since writes made inside of a paho callback wait for
the next turn; each connection has a new Client, since a Client replays QoS 1 messages after a reconnect.

It makes TLS contexts again only when a certificate file has changed.
"""

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
from collections.abc import Collection, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ksem_contract.reasons import Reason
from service_runtime import mqtt_reasons
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_session import FinalMessage, Incoming


class TlsContexts:
    """Loading the system's CAs takes 20 ms and more: too much to do at each attempt to connect."""

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[int, ...] | None = None

    def context(self) -> ssl.SSLContext | None:
        """The context to connect with; None without TLS. Raises OSError (ssl.SSLError too) for an unfit file."""
        settings = self._settings
        if not settings.tls:
            return None
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        made_of = tuple(file.stat().st_mtime_ns for file in files if file is not None)
        if self._context is None or made_of != self._made_of:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.ca_file is not None:
                # Python 3.13 began to refuse CAs without a key usage extension, as mosquitto's own guide makes them.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file)
            self._context, self._made_of = context, made_of
        return self._context


CONNECT_TIMEOUT = 2.0
"""Seconds for each step: TCP connect, TLS, the broker's CONNACK and its SUBACK."""
TURN = 0.4
"""Seconds between two checks of the keepalive: with it, a half-open link is found out within twice the keepalive
and a second."""
MAX_PACKET = 131072
"""Bytes of the largest message that is accepted. MQTT 5 declares it to the broker, which drops larger ones. Where one
comes all the same, the connection is closed: a client that reads 120 MB answers nothing meanwhile."""
# A TLS record more may have been read, and answers to pings, two bytes each in a record of its own: no callback of
# paho's reports them.
_READ_AHEAD, _PINGS_A_SECOND = 20_000, 64
# Seconds beyond twice the keepalive after which a silent broker is gone, and between two checks that mean a stall here.
_LATE = 0.6
_STOOD_STILL = 1.0
_TCP_USER_TIMEOUT_MS = 3000
# Bytes the kernel may hold unsent: during a stall live data is dropped here soon, and not sent late in a burst.
_MOST_UNSENT = 4096
# Where tcpi_bytes_received stands in struct tcp_info of <linux/tcp.h>.
_RECEIVED_AT = 128
# Bytes that the kernel may hold unread: paho reads up to a hundred times in a row while a packet is not whole.
_MOST_UNREAD = 32768
# Unacknowledged QoS 1 messages beyond this are dropped: only status, health and discovery use QoS 1.
_MOST_UNACKNOWLEDGED = 200
# Packets read in a row before the keepalive is looked at: after a stall the answer to a ping may lie behind others.
_READS_IN_A_ROW = 64

Publication = MQTTMessageInfo
"""A message that was handed over; `wait_for_publish(seconds)` waits until it is sent, and acknowledged with QoS 1."""


class AttemptFailedError(Exception):
    """A connection did not come up."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


_READABLE, _GONE, WOKEN = 1, 2, 4


class _TlsSocket(ssl.SSLSocket):
    """paho 2.1.0 lets a handshake take as long as the keepalive."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(CONNECT_TIMEOUT)
        super().do_handshake(block)


class Connection:
    """One connection through one paho Client. All but `open()` and `wait()` are called under the link's lock.

    paho's callbacks fill `accepted`, `refused` (indexes of refused subscriptions, once answered),
    `inbox`, and `ended` (why).
    """

    def __init__(self, settings: MqttSettings, client_id: str, will: tuple[str, bytes] | None) -> None:
        self.accepted = False
        self.refusal_code: int | None = None
        """Why the broker refused the connection: its CONNACK's reason, as in MQTT 5."""
        self.limits: tuple[str, ...] = ()
        """What the broker declared that it can't do, and the services need."""
        self.refused: list[int] | None = None
        self.inbox: list[Incoming] = []
        self.acknowledged: list[tuple[int, bool]] = []
        self.ended: Reason | None = None
        self._settings = settings
        self._client_id = client_id
        self._reads = 0
        self._unfinished = 0
        """Bytes read since the last whole packet, as far as they were counted."""
        self._finished_at = self._received_at = self._sent_at = self._probed_at = self._looked_at = boottime()
        self._server_keepalive = 0
        self._misc_due = 0.0
        self._poll = select.poll()
        self._wanted = 0
        self._handed_over_at = 0.0
        """CLOCK_BOOTTIME, seconds, of the last message that did not fit into the socket at once."""
        newest = settings.version == 5
        client = self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if newest else True,
            protocol=MQTTProtocolVersion.MQTTv5 if newest else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_queued_messages_set(_MOST_UNACKNOWLEDGED)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.current_password())
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        client.on_socket_open = self._tune
        client.on_connect = self._note_connack
        client.on_subscribe = self._note_suback
        client.on_message = self._note_message
        client.on_disconnect = self._note_end
        client.on_unsubscribe = self._note_whole

    def want_acknowledgements(self) -> None:
        """Fill `acknowledged` from now on: message id, and whether the broker took the message.

        paho adds those of QoS 0 as soon as they are sent.
        """

        def note(_client: Client, _userdata: object, mid: int, reason: Any, _properties: Any) -> None:
            self.acknowledged.append((mid, not reason.is_failure))

        self._client.on_publish = note

    def open(self, tls: TlsContexts) -> None:
        """Connect and send CONNECT; blocks, up to the time-out for each of the host's addresses."""
        settings = self._settings
        try:
            context = tls.context()
        except OSError as error:  # ssl.SSLError is one
            raise AttemptFailedError(mqtt_reasons.bad_tls_file(error, settings)) from None
        if context is not None:
            context.sslsocket_class = _TlsSocket
            self._client.tls_set_context(context)
        properties = None
        if settings.version == 5:
            # No session expiry means that the session ends with the connection.
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET
        try:
            # With MQTT 5 paho's default is a clean start on a Client's first connection, and this is its only one.
            self._client.connect(settings.host, settings.port, keepalive=settings.keepalive, properties=properties)
        except (OSError, ValueError) as error:
            raise AttemptFailedError(mqtt_reasons.failed_attempt(error, settings)) from None

    def wait(self, patience: float, wake_fd: int) -> int:
        """What the connection is ready for, after `patience` seconds at most."""
        sock: Any = self._client.socket()
        if sock is None or self.ended is not None:
            return 0
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return _READABLE
        wanted = select.POLLIN | (select.POLLOUT if self.unsent else 0)
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
        return gone | (_READABLE if found & select.POLLIN else 0) | (WOKEN if wake_fd in events else 0)

    def work(self, ready: int) -> None:
        """Read and write what is due, and check the keepalive."""
        try:
            if ready & (_READABLE | _GONE):
                self._read()
            if self.unsent:
                self._client.loop_write()
            self._reads += 1
            now = boottime()
            read_all = not ready & _READABLE or self._reads > _READS_IN_A_ROW
            if now >= self._misc_due and (read_all or not self._more_to_read()):
                self._reads, self._misc_due = 0, now + TURN
                self._client.loop_misc()
                self._watch(now)
            if self.unsent and now - self._handed_over_at > self._settings.keepalive:
                self._ended(mqtt_reasons.silence(self._settings))
        except Exception as error:  # noqa: BLE001  (paho raises many kinds over a malformed packet)
            self._ended(mqtt_reasons.no_mqtt(error, self._settings))
        if self._client.socket() is None:
            self._ended(mqtt_reasons.lost(self._settings))

    def _read(self) -> None:
        """Let paho read, and end the connection over a packet that is too large: paho would take it all first."""
        before, finished = self._taken(), self._finished_at
        self._client.loop_read()
        self._received_at = boottime()
        if self._finished_at != finished:
            return  # it may have read several packets, and of the last one a part
        self._unfinished += max(0, self._taken() - before)
        allowed = MAX_PACKET + _READ_AHEAD + _PINGS_A_SECOND * (self._received_at - self._finished_at)
        if self._unfinished > allowed:
            self._ended(mqtt_reasons.too_large(MAX_PACKET, self._settings))

    def _taken(self) -> int:
        """Bytes that were read from the socket: those that the kernel received, less those that lie there."""
        sock: Any = self._client.socket()
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
            (unread,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4))
            received: int = struct.unpack_from("=Q", info, _RECEIVED_AT)[0]
        except (OSError, ValueError, AttributeError, struct.error):  # closed, or a kernel that does not count
            return 0
        return received - int(unread)

    def _watch(self, now: float) -> None:
        """Our own keepalive: paho uses the broker's (Server Keep Alive), be it a minute or none.

        Call it when all received bytes were read. Any broker answers an UNSUBSCRIBE, here of nothing.
        """
        if now - self._looked_at > _STOOD_STILL:  # this process stalled, not the broker
            self._received_at = now
        self._looked_at = now
        if not self.accepted or self.ended is not None:
            return
        if now - self._received_at > 2 * self._settings.keepalive + _LATE:
            self._ended(mqtt_reasons.silence(self._settings))
            return
        every = min(self._settings.keepalive, self._server_keepalive or self._settings.keepalive)
        if 0 < self._client.keepalive <= every or now - self._probed_at < every:
            return
        if now - min(self._received_at, self._sent_at) >= every:
            self._probed_at = self._sent_at = now
            self._client.unsubscribe(f"{self._settings.prefix}/")

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
        """Whether bytes wait for the socket."""
        return self._client.want_write()

    def subscribe(self, topics: Sequence[str], not_own: Collection[str]) -> None:
        self._sent_at = boottime()
        if self._settings.version == 5:
            options = [SubscribeOptions(noLocal=topic in not_own) for topic in topics]
            self._client.subscribe(list(zip(topics, options, strict=True)))
        else:
            self._client.subscribe([(topic, 0) for topic in topics])

    def publish(self, message: FinalMessage, expiry: int | None) -> Publication | None:
        """Pass a message to paho; None where it was dropped. `expiry` in seconds; only MQTT 5 knows it."""
        topic, payload, qos, retain = message
        if self.ended is not None:
            return None
        properties = None
        if expiry is not None and self._settings.version == 5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry
        self._sent_at = boottime()
        info = self._client.publish(topic, payload, qos, retain, properties)
        if self.unsent:
            self._handed_over_at = self._sent_at
        return info if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self.ended is None else None

    def takes_live_data(self) -> bool:
        """Whether live data would leave at once: what waits behind older bytes would come late."""
        if self.ended is None and self.unsent:
            self._client.loop_write()
        return self.ended is None and not self.unsent

    def disconnect(self) -> None:
        """Send DISCONNECT: the broker forgets the last will."""
        self._client.disconnect()
        self._ended(Reason.of("link-stopped"))

    def close(self) -> None:
        """Close the socket without a DISCONNECT: after a failure the broker shall publish the last will."""
        client = self._client
        # Else Client and Connection hold each other until the garbage collector runs.
        client.on_socket_open = client.on_connect = client.on_subscribe = None
        client.on_message = client.on_disconnect = client.on_publish = client.on_unsubscribe = None
        sock: Any = client.socket()
        if sock is not None:
            sock.close()

    def _ended(self, why: Reason) -> None:
        if self.ended is None:
            self.ended = why

    def _tune(self, _client: Client, _userdata: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_UNSENT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MOST_UNREAD)

    def _note_whole(self, *_: object) -> None:
        """A whole packet was read."""
        self._unfinished, self._finished_at = 0, boottime()

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        received = boottime()
        self._note_whole()
        if len(payload) > MAX_PACKET:
            self._ended(mqtt_reasons.too_large(MAX_PACKET, self._settings))
        else:
            self.inbox.append(Incoming(topic, payload, retained, received))

    def _note_connack(self, _client: Client, _userdata: object, _flags: Any, reason: Any, properties: Any) -> None:
        self._note_whole()
        self.accepted = not reason.is_failure
        self.refusal_code = reason.value if reason.is_failure else None
        self.limits = mqtt_reasons.limits(
            retain_available=getattr(properties, "RetainAvailable", None),
            maximum_qos=getattr(properties, "MaximumQoS", None),
            maximum_packet_size=getattr(properties, "MaximumPacketSize", None),
            wildcard_available=getattr(properties, "WildcardSubscriptionAvailable", None),
            assigned_client_id=getattr(properties, "AssignedClientIdentifier", None),
        )
        self._server_keepalive = getattr(properties, "ServerKeepAlive", 0)
        if reason.is_failure:
            self._ended(mqtt_reasons.refusal(reason.value, self._settings, self._client_id))

    def _note_suback(self, _client: Client, _userdata: object, _mid: int, reasons: Any, _properties: Any) -> None:
        self._note_whole()
        self.refused = [index for index, reason in enumerate(reasons) if reason.is_failure]

    def _note_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            self._take(message.topic, bytes(message.payload), message.retain)

    def _note_end(self, _client: Client, _userdata: object, flags: Any, reason: Any, _properties: Any) -> None:
        silent = reason.getName() == "Keep alive timeout"
        if flags.is_disconnect_packet_from_server:
            self._ended(mqtt_reasons.end(reason.value, self._client_id, self._settings.prefix))
        elif not self.accepted:
            self._ended((mqtt_reasons.no_answer if silent else mqtt_reasons.no_greeting)(self._settings))
        elif silent:
            self._ended(mqtt_reasons.silence(self._settings))
        else:
            self._ended(mqtt_reasons.lost(self._settings))
