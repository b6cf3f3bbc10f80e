"""Runs paho -> mosquitto -> paho with nothing else: what the broker's hop costs at least.

    python -m benchmarks.bare_hop publish|subscribe PORT LOG PAYLOAD_FILE

Both write records (number, CLOCK_BOOTTIME) to their LOG; five messages a second, at odd moments.
"""

import os
import random
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

RECORD: Final = struct.Struct("=qd")


def _without_delay(_client: Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main(role: str, port: str, log: str, payload_file: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_socket_open = _without_delay
    ready = threading.Event()

    def on_connect(*_: Any) -> None:
        if role == "subscribe":
            client.subscribe("bench/hop/+")
        ready.set()

    def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
        arrived = time.clock_gettime(time.CLOCK_BOOTTIME)
        if not message.retain:
            os.write(descriptor, RECORD.pack(int(message.topic.rsplit("/", 1)[1]), arrived))

    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    ready.wait(10)
    number = 0
    payload = Path(payload_file).read_bytes()
    while True:
        time.sleep(random.uniform(0.15, 0.25))
        if role == "publish":
            number += 1
            sent = time.clock_gettime(time.CLOCK_BOOTTIME)
            client.publish(f"bench/hop/{number}", payload)
            os.write(descriptor, RECORD.pack(number, sent))


if __name__ == "__main__":
    main(*sys.argv[1:])
