"""Runs the least that two services in Python need between a meter and a line: no checks, no dates, no decoded values.

    python -m benchmarks.bare_chain publisher PORT BROKER_PORT
    python -m benchmarks.bare_chain server BROKER_PORT SERIAL_PORT

No bridge to be used: an old value would be served for ever, and a broken frame would be answered.
"""

import json
import os
import select
import socket
import struct
import sys
import termios
import time

import serial
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from modbus_codec.crc import append_crc

LIVE = 148
"""Registers from 0 that the meter pushes."""
_SILENCE = 0.00175
_EARLY = 0.00007
"""Seconds that a sleep ends late, on most hosts."""


def publish(port: int, broker: int) -> None:
    """Acknowledge each write, and publish all words once the cycle's last one is in."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker)
    client.loop_start()
    client_socket = client.socket()
    assert client_socket is not None
    client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[attr-defined]  # paho types it by what it needs itself
    words = [0] * LIVE
    with socket.create_server(("127.0.0.1", port)) as listener:
        meter, _ = listener.accept()
        meter.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while write := meter.recv(4096):
            meter.send(write[:4] + b"\0\6" + write[6:12])
            start, count = struct.unpack(">HH", write[8:12])
            if start < LIVE:
                words[start : start + count] = struct.unpack_from(f">{count}H", write, 13)
            if 0 < start < LIVE:
                message = {"boot_ms": time.monotonic_ns() // 1_000_000, "registers": words}
                client.publish("bare/live", json.dumps(message), 0, True)


def serve(broker: int, path: str) -> None:
    """Answer each 8 bytes after the silence: the newest words, zeros beyond them."""
    answers: dict[bytes, bytes] = {}
    held = b""

    def keep(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        nonlocal held
        held = struct.pack(f">{LIVE}H", *json.loads(message.payload)["registers"])
        for request in answers:
            answers[request] = answer(request)

    def answer(request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[2:6])
        words = held[2 * start : 2 * (start + count)].ljust(2 * count, b"\0")
        return append_crc(request[:2] + bytes((2 * count,)) + words)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = keep
    client.connect("127.0.0.1", broker)
    client.subscribe("bare/live")
    client.loop_start()
    port = serial.Serial(path, baudrate=38400, stopbits=2, timeout=0, write_timeout=0, exclusive=True)
    attributes = termios.tcgetattr(port.fileno())
    attributes[6][termios.VMIN] = 8
    termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)
    ready = select.epoll()
    ready.register(port.fileno(), select.EPOLLIN)
    while ready.poll():
        request = os.read(port.fileno(), 256)
        due = time.monotonic() + _SILENCE
        if request not in answers and held:
            answers[request] = answer(request)
        time.sleep(due - _EARLY - time.monotonic())
        while time.monotonic() < due:
            pass
        os.write(port.fileno(), answers.get(request, b""))


if __name__ == "__main__":
    if sys.argv[1] == "publisher":
        publish(int(sys.argv[2]), int(sys.argv[3]))
    else:
        serve(int(sys.argv[2]), sys.argv[3])
