"""One Modbus TCP client: frames in, frames out, without sockets and clocks; and the list of allowed clients [core].

Replies come from the cache. A TCP client's requests are not encoded ahead: only the inverter's are.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ksem_contract.registers import RegisterRange
from modbus_codec.crc import append_crc
from modbus_codec.pdu import ExceptionCode, ExceptionReply
from modbus_codec.tcp import MbapFrame, MbapReader
from rtu_server.register_cache import RegisterCache, Served
from rtu_server.reply_cache import Answer, Refused, Reply, encode
from rtu_server.responder import Responder
from service_runtime.setting import to_network

MOST_UNSENT: Final = 4096
"""Bytes that a client may leave unread; it gets no further answers before it has taken them."""


@dataclass(slots=True)
class TcpSession:
    """Requests that are not answered yet, and answers that are not sent yet."""

    last: float
    """When its last request came, seconds of CLOCK_BOOTTIME."""
    reader: MbapReader = field(default_factory=MbapReader)
    requested: deque[MbapFrame] = field(default_factory=deque)
    unsent: bytes = b""

    @property
    def is_admitted(self) -> bool:
        """Whether more may be read from it."""
        return not self.requested and len(self.unsent) < MOST_UNSENT

    def feed(self, data: bytes, now: float) -> None:
        """Take received bytes. Raises BadFrame where they can't be Modbus TCP: close the connection."""
        self.last = now
        self.requested.extend(self.reader.feed(data))

    def answer_one(self, responder: Responder, now: float, any_unit: int | None = None) -> tuple[bytes, Answer]:
        """Answer the oldest request; return it as a frame of the line, and its outcome.

        `any_unit`: the unit that answers for all unit ids; None: each id stands for itself.
        """
        frame = self.requested.popleft()
        unit = frame.unit if any_unit is None else any_unit
        request = append_crc(bytes((unit,)) + frame.pdu)
        answer = responder.answer(request, now) if responder.serves(unit) else _no_such_unit(frame)
        responder.written(request, answer, now)
        responder.left(request, answer, now)
        if answer.frame:
            self.unsent += MbapFrame(frame.transaction, frame.unit, answer.frame[1:-2]).encode()
        return request, answer


def _no_such_unit(frame: MbapFrame) -> Answer:
    """Silence would be right on a shared line; a TCP client would wait for it in vain."""
    code = ExceptionCode.GATEWAY_PATH_UNAVAILABLE
    pdu = ExceptionReply(frame.pdu[0] & 0x7F or 1, code).encode()
    return Answer(append_crc(bytes((frame.unit,)) + pdu), f"exception-{int(code)}")


MAX_REPLIES = 64
"""Replies kept until the next block comes: many clients request the same few ranges."""


@dataclass(slots=True)
class TcpReplyCache:
    """Encodes replies at their request, from the state that serves the lines. Used by one thread."""

    shared: RegisterCache
    _state: Served | None = None
    _replies: dict[bytes, Reply] = field(default_factory=dict)

    def ready(self, request: bytes, now: float) -> Reply | None:
        """Return a reply that was encoded from the newest state and is valid at `now`."""
        state = self.shared.state
        if state is not self._state:
            self._state, self._replies = state, {}
            return None
        reply = self._replies.get(request)
        return reply if reply is not None and now < reply.expires and state.is_true(now) else None

    def doubt(self, now: float) -> None:
        """Serve nothing until a new echo: this host stalled."""
        self.shared.doubt(now)

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused:
        """Return the reply to a read request, or why there is none."""
        registers = (self._state or self.shared.state).read(wanted, now)
        if isinstance(registers, Refused):
            return registers
        reply = encode(unit, registers)
        if len(self._replies) < MAX_REPLIES:
            self._replies[request] = reply
        return reply


class AllowList:
    """The allow list of one server. Empty: this host alone."""

    def __init__(self, allow: Sequence[str]) -> None:
        self._networks = [to_network(text) for text in allow or ("127.0.0.0/8", "::1")]

    def allows(self, address: str) -> bool:
        """Return whether a peer may read; an IPv4 address in IPv6 notation counts as IPv4."""
        peer = _address(address)
        return any(peer.version == network.version and peer in network for network in self._networks)


def _address(text: str) -> Any:
    import ipaddress  # noqa: PLC0415

    parsed = ipaddress.ip_address(text.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed
