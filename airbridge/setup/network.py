"""Finds in the network what setup needs: a KSEM, its first push, and whether a login at a broker works [shell]."""

import asyncio
import contextlib
import errno
import ipaddress
import json
import logging
import secrets
import select
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from airbridge.capture.push_records import WrittenRegisters, answer
from airbridge.doctor.facts import MeterAddress, MeterFacts
from airbridge.doctor.gather_meter import PLAIN_PORT, TLS_PORT, gather_meter
from airbridge.setup.steps import BrokerAnswer, PushAnswer, WaitForPush
from ksem_contract.reasons import Reason, find_reason, sentence
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapReader
from service_runtime import mqtt_reasons
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink

PATIENCE: Final = 2.0
"""Seconds in which a device answers an SSDP search (MX 1) or an mDNS query."""
CONNECT_PATIENCE: Final = 0.7
"""Seconds for a connection within the own network."""
AT_ONCE: Final = 128
"""Connections tried at the same time: a household router keeps track of some thousands."""
MOST_HOSTS: Final = 1024
"""Addresses of a network that is tried: a /22. A larger one is no household's."""
NAMES: Final = (b"ksem", b"kostal smart energy", b"kostal-smart-energy")
"""What a KSEM calls itself, if it does. KOSTAL documents no announcement, so any answer that names one is looked at."""
_NOT_OURS: Final = ("docker", "br-", "veth", "virbr", "tun", "wg", "tap", "hassio", "lo")
_SSDP: Final = ("239.255.255.250", 1900)
_MDNS: Final = ("224.0.0.251", 5353)
_SEARCH: Final = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n'
)
# RFC 6762, 5.4: a query with the unicast-response bit, from a port that is not 5353, is answered to that port.
_QUERY: Final = (
    b"\0\0\0\0\0\x01\0\0\0\0\0\0" + b"\x05_http\x04_tcp\x05local\0" + b"\0\x0c" + b"\x80\x01"  # PTR, QU | IN
)


def find_announced() -> tuple[MeterFacts, ...]:
    """Every host that names itself a KSEM by mDNS or SSDP, looked at. Two packets are sent to the whole network."""
    hosts = sorted({host for host, reply in _replies() if _names_a_ksem(host, reply)})
    return _look(hosts)


def own_networks() -> tuple[str, ...]:
    """The IPv4 networks of this host's own interfaces; containers' and tunnels' left out."""
    try:
        ran = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, check=True, timeout=5)
        interfaces = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
    addresses = []
    for one in interfaces:
        if one["ifname"].startswith(_NOT_OURS) or "UP" not in one.get("flags", ()):
            continue
        addresses += [f"{address['local']}/{address['prefixlen']}" for address in one["addr_info"]]
    networks = {ipaddress.IPv4Interface(one).network for one in addresses}
    return tuple(str(one) for one in sorted(networks) if 2 <= one.num_addresses <= MOST_HOSTS)


def scan(networks: Iterable[str]) -> tuple[MeterFacts, ...]:
    """What is at each address that accepts connections on 502, else on 802."""
    hosts = [str(host) for network in networks for host in ipaddress.ip_network(network, strict=False).hosts()]
    return _look(asyncio.run(_open_hosts(hosts[:MOST_HOSTS])))


async def _open_hosts(hosts: list[str]) -> list[str]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def is_open(host: str, port: int) -> bool:
        async with limit:
            with contextlib.suppress(OSError, TimeoutError):
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_PATIENCE)
                writer.close()
                return True
        return False

    places = [(host, port) for host in hosts for port in (PLAIN_PORT, TLS_PORT)]
    results = await asyncio.gather(*(is_open(*place) for place in places))
    return list(dict.fromkeys(host for (host, _), accepts in zip(places, results, strict=True) if accepts))


def _look(hosts: list[str]) -> tuple[MeterFacts, ...]:
    if not hosts:
        return ()
    with ThreadPoolExecutor(min(16, len(hosts))) as threads:
        return tuple(threads.map(_look_at, hosts))


def _look_at(host: str) -> MeterFacts:
    """By plain Modbus; by TLS where only that is there."""
    facts = gather_meter(MeterAddress("main", host, PLAIN_PORT))
    if facts.reach == "refused" and facts.tls_port:
        return gather_meter(MeterAddress("main", host, TLS_PORT, tls=True))
    return facts


def _replies() -> Iterable[tuple[str, bytes]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for place, packet in ((_SSDP, _SEARCH), (_MDNS, _QUERY)):
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.setblocking(False)
            with contextlib.suppress(OSError):  # no network, or no multicast in it
                one.sendto(packet, place)
                sockets.append(one)
        deadline = time.monotonic() + PATIENCE
        while sockets and (left := deadline - time.monotonic()) > 0:
            for ready in select.select(sockets, [], [], left)[0]:
                with contextlib.suppress(OSError):
                    data, (host, _) = ready.recvfrom(9000)
                    yield host, data


def _names_a_ksem(host: str, reply: bytes) -> bool:
    if any(name in reply.lower() for name in NAMES):
        return True
    lines = reply.decode("latin-1").splitlines()
    places = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("location:")]
    return any(name in _description(host, place).lower() for place in places for name in NAMES)


def _description(host: str, place: str) -> bytes:
    """The device's own description (UPnP). Only from the host that answered: a reply can't send us elsewhere."""
    if urllib.parse.urlsplit(place).scheme != "http" or urllib.parse.urlsplit(place).hostname != host:
        return b""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, ValueError), opener.open(place, timeout=1.0) as answer:
        return bytes(answer.read(20_000))
    return b""


def wait_for_push(step: WaitForPush) -> PushAnswer:
    """Accept writes from anybody, answer them, and return with the first one."""
    try:
        peer = asyncio.run(_wait(step))
    except OSError as error:
        state = "taken" if error.errno == errno.EADDRINUSE else "failed"
        return PushAnswer("taken" if state == "taken" else "failed", why=error.strerror or str(error))
    return PushAnswer("pushed", peer) if peer else PushAnswer("nothing")


async def _wait(step: WaitForPush) -> str:
    wrote: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("?",))[0])
        frames, written = MbapReader(), WrittenRegisters()
        with contextlib.suppress(BadFrame, OSError):
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    reply, record = answer(frame, peer, boottime(), written)
                    writer.write(reply.encode())
                    if record.what == "write" and not wrote.done():
                        wrote.set_result(peer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, step.listen, step.port)
    try:
        return await asyncio.wait_for(wrote, step.seconds)
    except TimeoutError:
        return ""
    finally:
        server.close()


LOGIN_PATIENCE: Final = 8.0
"""Seconds until it is clear whether a login works: each step of the link's own gives up after 2."""
_log: Final = logging.getLogger("airbridge.setup")


def log_in(mqtt: MqttSettings) -> BrokerAnswer:
    """Connect once, subscribe, and leave."""
    answers: list[tuple[bool, tuple[Reason, ...]]] = []
    settled = threading.Event()

    def on_link(up: bool, reasons: tuple[Reason, ...]) -> None:
        answers.append((up, reasons))
        settled.set()

    _log.addHandler(logging.NullHandler())
    _log.propagate = False  # the screen shows the reason
    link = MqttLink(
        mqtt,
        client_id=f"airbridge-setup-{secrets.token_hex(8)}",
        will=None,
        subscriptions=[f"{mqtt.prefix}/+/status"],
        on_message=lambda _: None,
        on_link=on_link,
        log=_log,
    )
    link.start()
    try:
        settled.wait(LOGIN_PATIENCE)
    finally:
        link.stop()
    up, reasons = answers[0] if answers else (False, (mqtt_reasons.no_answer(mqtt),))
    if up:
        return BrokerAnswer("up")
    return BrokerAnswer("login" if find_reason(reasons, "broker-login") else "down", sentence(reasons))
