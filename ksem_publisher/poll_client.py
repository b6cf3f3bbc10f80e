"""Modbus TCP client of one meter [shell]: the only module that uses pymodbus.

Works with 3.8.6 (Debian 13) and later. 3.8.6 returns the previous request's registers after a time-out, no version
compares function, byte count and register count, and some replies end in a traceback there. So each reply is compared
with its request here before pymodbus gets it, and after anything but a good one or an exception the connection closes.
"""

import asyncio
import contextlib
import inspect
import logging
import socket
import ssl
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.transport import CommParams, CommType

from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange


class PollError(Exception):
    """No usable answer; the connection is closed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class RefusedError(PollError):
    """The meter answered with an exception; the connection is fine."""

    def __init__(self, code: int, reason: Reason) -> None:
        super().__init__(reason)
        self.code = code


# pymodbus's faults leave this module as exceptions; its own log repeats each with every attempt.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)

_UNIT_ARGUMENT = (
    "device_id" if "device_id" in inspect.signature(AsyncModbusTcpClient.read_holding_registers).parameters else "slave"
)
_CONNECT_TIMEOUT = 2.0
_MOST_ADDRESSES = 4
"""Addresses of one name that are tried, so that each gets half a second at least."""
_USER_TIMEOUT_MS = 3000


class PollClient:
    """One connection to a meter, one request at a time."""

    def __init__(self, host: str, port: int, *, unit: int, timeout: float, tls: bool) -> None:
        self._host, self._port, self._unit = host, port, unit
        self._timeout = timeout
        self._tls = tls
        self._client: AsyncModbusTcpClient | None = None
        self._lost = asyncio.Event()
        self._why_lost = ""
        self._sent = b""
        self._waiting = False
        self._good_address = ""

    @property
    def connected(self) -> bool:
        return self._client is not None and not self._lost.is_set()

    @property
    def where(self) -> str:
        return f"{self._host}:{self._port}"

    async def connect(self) -> None:
        """Open a new connection. PollError names what is wrong."""
        self.close()
        addresses = await self._addresses()
        for address in addresses:
            client = await self._open(address, _CONNECT_TIMEOUT / len(addresses))
            if client is not None:
                self._client, self._good_address = client, address
                self._tune(client)
                return
        raise PollError(Reason.of("meter-unreachable", where=self.where + (" with TLS" if self._tls else "")))

    async def _addresses(self) -> list[str]:
        """The addresses of the meter's name: the one that worked last first, at most _MOST_ADDRESSES."""
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            cause = str(error) or "no name server answers"
            raise PollError(Reason.of("meter-name-unknown", host=self._host, error=cause)) from None
        unique = dict.fromkeys(str(place[0]) for *_, place in found)
        return sorted(unique, key=lambda one: one != self._good_address)[:_MOST_ADDRESSES]

    async def _open(self, address: str, patience: float) -> AsyncModbusTcpClient | None:
        self._lost.clear()
        client = self._build(address)
        try:
            async with asyncio.timeout(patience):
                connected = await client.connect()
        except TimeoutError:
            connected = False
        except BaseException:
            client.close()
            raise
        if not connected:
            client.close()
        return client if connected else None

    async def read(self, wanted: RegisterRange, patience: float | None = None) -> tuple[int, ...]:
        """The registers of `wanted` (function 3). RefusedError for an exception, else PollError.

        `patience`: seconds to wait for the answer, where that is less than the time-out of the settings.
        """
        patience = min(self._timeout, patience or self._timeout)
        call = f"read {wanted} from {self.where}"
        client = self._client
        if client is None or self._lost.is_set():
            raise PollError(Reason.of("poll-not-connected", read=call))
        try:
            reply = await self._request(client, wanted, patience)
            if not reply.isError():
                return _registers(reply, wanted)
        except TimeoutError:
            self.close()
            raise PollError(Reason.of("poll-unanswered", read=call, seconds=f"{patience:g}")) from None
        except (ModbusException, OSError, ValueError, IndexError) as error:
            self.close()
            raise PollError(Reason.of("poll-failed", read=call, error=error)) from error
        except BaseException:
            self.close()
            raise
        code = getattr(reply, "exception_code", 0)
        raise RefusedError(code, Reason.of("poll-exception", read=call, exception=code))

    def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # the connection is given up, whatever pymodbus raises
                client.close()

    async def _request(self, client: AsyncModbusTcpClient, wanted: RegisterRange, patience: float) -> Any:
        """The reply; ends at once when the meter closes the connection, where pymodbus would wait for its time-out."""
        arguments: dict[str, Any] = {"count": wanted.count, _UNIT_ARGUMENT: self._unit}
        requested = asyncio.ensure_future(client.read_holding_registers(wanted.start, **arguments))
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            done, _ = await asyncio.wait({requested, lost}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if lost in done:
                raise ConnectionResetError(self._why_lost)
            if requested in done:
                return requested.result()
            raise TimeoutError
        finally:
            requested.cancel()
            lost.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.gather(requested, lost, return_exceptions=True)

    def _build(self, address: str) -> AsyncModbusTcpClient:
        arguments: dict[str, Any] = {
            "port": self._port,
            "reconnect_delay": 0,
            "timeout": self._timeout + 1.0,
            "retries": 0,
            "trace_packet": self._on_packet,
            "trace_connect": self._on_connect,
        }
        if not self._tls:
            return AsyncModbusTcpClient(address, **arguments)
        return _TlsClient(address, **arguments)

    def _on_connect(self, connected: bool) -> None:
        if not connected:
            self._lose("the meter closed the connection")

    def _on_packet(self, sending: bool, data: bytes) -> bytes:
        """Give pymodbus only whole answers that belong to the request; `data` grows until it takes them."""
        if sending:
            self._sent, self._waiting = data, True
            return data
        fault = answer_fault(self._sent, data) if self._waiting else "an answer came without a request"
        if fault:
            self._lose(fault)
            return b""
        if len(data) < 6 or len(data) < 6 + int.from_bytes(data[4:6]):
            return b""
        self._waiting = False
        return data

    def _lose(self, why: str) -> None:
        if not self._lost.is_set():
            self._why_lost = why
            self._lost.set()

    @staticmethod
    def _tune(client: AsyncModbusTcpClient) -> None:
        transport = getattr(client.ctx, "transport", None) or getattr(client, "transport", None)
        sock = transport.get_extra_info("socket") if transport else None
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def answer_fault(sent: bytes, data: bytes) -> str:
    """Why `data`, which may not be whole yet, is no answer to the request `sent`; empty while it may be one."""
    if len(data) > 6 and (data[:2] != sent[:2] or data[6] != sent[6]):
        return f"the answer bears transaction {data[:2].hex()} and unit {data[6]}, not the request's"
    if len(data) > 3 and data[2:4] != b"\0\0":
        return f"the answer bears protocol {int.from_bytes(data[2:4])}, Modbus is 0"
    if len(data) < 9:
        return ""
    length, function, count = int.from_bytes(data[4:6]), data[7], int.from_bytes(sent[10:12])
    if function == sent[7] | 0x80:
        if length != 3:
            return f"an exception of length {length} came, 3 is right"
    elif function != sent[7]:
        return f"the answer bears function {function}, the request {sent[7]}"
    elif data[8] % 2 or length != 3 + data[8]:
        return f"the answer's byte count is {data[8]} and its length {length}: they do not fit"
    elif data[8] != 2 * count:
        return f"{count} registers requested, {data[8] // 2} came"
    return f"{len(data) - 6 - length} bytes follow the answer" if len(data) > 6 + length else ""


def _registers(reply: Any, wanted: RegisterRange) -> tuple[int, ...]:
    """The reply's registers. ValueError if their number is wrong: no version of pymodbus compares that."""
    if len(reply.registers) != wanted.count:
        raise ValueError(f"{wanted.count} registers requested, {len(reply.registers)} came")
    return tuple(reply.registers)


class _TlsClient(AsyncModbusTcpClient):
    """MBAP over TLS, as the Modbus/TCP Security specification has it; pymodbus's own TLS client leaves MBAP out."""

    def __init__(self, host: str, **arguments: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # a KSEM signs its certificate itself
        self.comm_params = CommParams(
            comm_type=CommType.TLS,
            host=host,
            port=arguments["port"],
            sslctx=context,
            reconnect_delay=arguments["reconnect_delay"],
            timeout_connect=arguments["timeout"],
        )
        super().__init__(host, **arguments)
