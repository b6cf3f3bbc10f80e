"""Asks the meter: the only door to pymodbus.

Works with 3.8.6 (Debian 13) and later ones. 3.8.6 hands out the previous request's registers after a time-out, and no
version compares the register count: after anything but a good answer or an exception the connection is closed, and
transaction, unit and count are compared here.
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

from ksem_contract.register_range import RegisterRange
from ksem_publisher.poll_errors import PollError, RefusedError

# What it has to say comes out here as exceptions; its own log repeats each with every attempt.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)

_UNIT_ARGUMENT = (
    "device_id" if "device_id" in inspect.signature(AsyncModbusTcpClient.read_holding_registers).parameters else "slave"
)
_CONNECT_TIMEOUT = 2.0
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

    @property
    def connected(self) -> bool:
        return self._client is not None and not self._lost.is_set()

    @property
    def where(self) -> str:
        return f"{self._host}:{self._port}"

    async def connect(self) -> None:
        """Open a new connection. PollError says what is wrong."""
        self.close()
        self._lost.clear()
        client = self._build()
        try:
            async with asyncio.timeout(max(_CONNECT_TIMEOUT, 0.1)):
                connected = await client.connect()
        except TimeoutError:
            connected = False
        except BaseException:
            client.close()
            raise
        if not connected:
            client.close()
            raise PollError(f"no connection to {self.where}" + (" with TLS" if self._tls else ""))
        self._client = client
        self._tune(client)

    async def read(self, wanted: RegisterRange, patience: float | None = None) -> tuple[int, ...]:
        """The registers of `wanted` (function 3). RefusedError for an exception, else PollError.

        `patience`: seconds to wait for the answer, where that is less than the time-out of the settings.
        """
        patience = min(self._timeout, patience or self._timeout)
        call = f"read {wanted} from {self.where}"
        client = self._client
        if client is None or self._lost.is_set():
            raise PollError(f"{call}: not connected")
        try:
            reply = await self._ask(client, wanted, patience)
            if not reply.isError():
                return _registers(reply, wanted)
        except TimeoutError:
            self.close()
            raise PollError(f"{call}: no answer in {patience:g} s") from None
        except (ModbusException, OSError, ValueError, IndexError) as error:
            self.close()
            raise PollError(f"{call}: {error}") from error
        except BaseException:
            self.close()
            raise
        code = getattr(reply, "exception_code", 0)
        raise RefusedError(code, f"{call}: exception {code}")

    def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # a connection given up is given up, whatever it says
                client.close()

    async def _ask(self, client: AsyncModbusTcpClient, wanted: RegisterRange, patience: float) -> Any:
        """The reply; ends at once when the meter closes the connection, which pymodbus would wait out."""
        arguments: dict[str, Any] = {"count": wanted.count, _UNIT_ARGUMENT: self._unit}
        asked = asyncio.ensure_future(client.read_holding_registers(wanted.start, **arguments))
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            done, _ = await asyncio.wait({asked, lost}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if lost in done:
                raise ConnectionResetError(self._why_lost)
            if asked in done:
                return asked.result()
            raise TimeoutError
        finally:
            asked.cancel()
            lost.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.gather(asked, lost, return_exceptions=True)

    def _build(self) -> AsyncModbusTcpClient:
        arguments: dict[str, Any] = {
            "port": self._port,
            "reconnect_delay": 0,
            "timeout": self._timeout + 1.0,
            "retries": 0,
            "trace_packet": self._on_packet,
            "trace_connect": self._on_connect,
        }
        if not self._tls:
            return AsyncModbusTcpClient(self._host, **arguments)
        return _TlsClient(self._host, **arguments)

    def _on_connect(self, connected: bool) -> None:
        if not connected:
            self._lose("the meter closed the connection")

    def _on_packet(self, sending: bool, data: bytes) -> bytes:
        """Compare transaction and unit, which 3.8.6 does not."""
        if sending:
            self._sent = data
        elif len(data) > 6 and (data[:2] != self._sent[:2] or data[6] != self._sent[6]):
            self._lose(f"the answer bears transaction {data[:2].hex()} and unit {data[6]}, not the request's")
            return b""
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


def _registers(reply: Any, wanted: RegisterRange) -> tuple[int, ...]:
    """The reply's registers. ValueError if there are not as many as asked: no version of pymodbus compares that."""
    if len(reply.registers) != wanted.count:
        raise ValueError(f"{wanted.count} registers asked, {len(reply.registers)} came")
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
