"""Examines the meter's address: connects and polls, one connection after the other [shell].

Where no publisher listens for pushes, this does.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import defaultdict
from itertools import pairwise
from statistics import median
from typing import Final

from airbridge.capture.push_records import WrittenRegisters, answer
from airbridge.doctor.check_meter import INVERTER_PORT
from airbridge.doctor.facts import ListenFacts, MeterAddress, MeterFacts, PushedBy, Reach, RegisterAnswer
from ksem_contract.blocks import DEVICE, MEASURING_INTERVAL, PUSH_GROUPS, SEQLOCK_HEAD
from ksem_contract.registers import RegisterRange
from modbus_codec.pdu import BadFrame, BadReply, ExceptionReply, FunctionCode, ReadReply, ReadRequest, decode_reply
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime

PATIENCE: Final = 2.0
TLS_PORT: Final = 802
PLAIN_PORT: Final = 502
WEB_PORTS: Final = (80, 443)
DEVICE_WITHOUT_CLOCK: Final = RegisterRange(DEVICE.start, MEASURING_INTERVAL + 1 - DEVICE.start)
"""As much of the device's registers as each firmware has."""
ILLEGAL: Final = (2, 3)
"""Exceptions that refuse an address or a count."""


def gather_meter(place: MeterAddress) -> MeterFacts:
    """Look at the meter, and where it does not answer as it should, at what else that host offers."""
    try:
        address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        return MeterFacts(place, "unknown host", error.strerror or str(error))
    own = _own_address(str(address), place.port)
    reach, why, sock = _connect(str(address), place.port, tls=place.tls)
    if sock is None:
        gone = reach in ("timeout", "no way")
        return MeterFacts(
            place,
            reach,
            why,
            tls_port=not gone and place.port != TLS_PORT and _speaks_tls(str(address), TLS_PORT),
            plain_port=not gone and place.port != PLAIN_PORT and _is_open(str(address), PLAIN_PORT),
            inverter_port=not gone and place.port != INVERTER_PORT and _is_open(str(address), INVERTER_PORT),
            web=not gone and any(_is_open(str(address), port) for port in WEB_PORTS),
            own_address=own,
        )
    with sock:
        device = request(sock, DEVICE, place.unit)
        if device.code in ILLEGAL:
            device = request(sock, DEVICE_WITHOUT_CLOCK, place.unit)
    head = device
    if device.kind not in ("silent", "garbage"):
        # A new connection: where the first one was closed over the question, this one may still get an answer.
        _, _, again = _connect(str(address), place.port, tls=place.tls)
        if again is not None:
            with again:
                head = request(again, SEQLOCK_HEAD, place.unit)
    good = {device.kind, head.kind} <= {"registers", "exception"}
    tls_here = not good and not place.tls and _speaks_tls(str(address), place.port)
    return MeterFacts(place, "reached", device=device, head=head, speaks_tls=tls_here, own_address=own)


def request(sock: socket.socket, wanted: RegisterRange, unit: int) -> RegisterAnswer:
    """Read holding registers once."""
    request = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, wanted.start, wanted.count)
    reader = MbapReader()
    try:
        sock.sendall(MbapFrame(1, unit, request.encode()).encode())
        while True:
            data = sock.recv(4096)
            if not data:
                return RegisterAnswer("closed")
            for frame in reader.feed(data):
                reply = decode_reply(frame.pdu, request)
                if isinstance(reply, ExceptionReply):
                    return RegisterAnswer("exception", code=int(reply.code))
                assert isinstance(reply, ReadReply)
                return RegisterAnswer("registers", reply.registers)
    except TimeoutError:
        return RegisterAnswer("silent")
    except (BadFrame, BadReply):
        return RegisterAnswer("garbage")
    except OSError:
        return RegisterAnswer("closed")


def _connect(host: str, port: int, *, tls: bool) -> tuple[Reach, str, socket.socket | None]:
    try:
        sock = socket.create_connection((host, port), timeout=PATIENCE)
    except ConnectionRefusedError:
        return "refused", "connection refused", None
    except TimeoutError:
        return "timeout", f"no answer within {PATIENCE:g} s", None
    except OSError as error:
        kind: Reach = "timeout" if error.errno == errno.EHOSTUNREACH else "no way"
        return kind, error.strerror or str(error), None
    if not tls:
        return "reached", "", sock
    try:
        return "reached", "", _tls_context().wrap_socket(sock)
    except OSError as error:  # ssl.SSLError is one
        sock.close()
        return "no tls", getattr(error, "reason", None) or str(error), None


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # a KSEM signs its certificate itself
    return context


def _speaks_tls(host: str, port: int) -> bool:
    reach, openssl_code, sock = _connect(host, port, tls=True)
    if sock is not None:
        sock.close()
    # A server that refuses us in TLS's own words speaks it, too.
    return reach == "reached" or (reach == "no tls" and "_ALERT_" in openssl_code)


def _is_open(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False


def _own_address(host: str, port: int) -> str | None:
    """The address that packets to the meter leave from; nothing is sent for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))
            return str(probe.getsockname()[0])
    except OSError:
        return None


MOST: Final = 20_000
"""Writes kept a peer."""


def listen(host: str, port: int, seconds: float) -> ListenFacts:
    """Accept writes from anybody for so long."""
    where = f"{host}:{port}"
    writes: dict[str, list[tuple[float, RegisterRange]]] = defaultdict(list)
    try:
        asyncio.run(_listen(host, port, seconds, writes))
    except OSError as error:
        text = f"can't listen on {where}: {error.strerror or error} (ksem-publisher listens there: see its health)"
        return ListenFacts(where, seconds, error=text)
    return ListenFacts(where, seconds, peers={peer: _sum_up(pushed) for peer, pushed in writes.items()})


async def _listen(host: str, port: int, seconds: float, writes: dict[str, list[tuple[float, RegisterRange]]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("unknown",))[0])
        frames, written = MbapReader(), WrittenRegisters()
        try:
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    reply, record = answer(frame, peer, boottime(), written)
                    writer.write(reply.encode())
                    if record.what == "write" and record.start is not None and len(writes[peer]) < MOST:
                        writes[peer].append((record.t, RegisterRange(record.start, record.count or 1)))
                await writer.drain()
        except (BadFrame, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        await asyncio.sleep(seconds)
    finally:
        server.close()


def _sum_up(writes: list[tuple[float, RegisterRange]]) -> PushedBy:
    first = writes[0][1]
    times = [at for at, span in writes if span == first]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    names = [
        f"{name} ({group})" for name, group in PUSH_GROUPS.items() if any(group.overlaps(one) for _, one in writes)
    ]
    return PushedBy(len(writes), round(1000 * median(gaps)) if gaps else None, tuple(names))
