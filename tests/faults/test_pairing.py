"""Two trees, one line: the publisher in the one and the RTU server in the other serve the inverter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from tests.bridge.broker import free_port
from tests.bridge.service import Service
from tests.bridge.shipped_broker import ShippedBroker

ROOT = Path(__file__).resolve().parents[2]


def pair(*words: str, stdin: str = "") -> str:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}"}
    command = [sys.executable, "-m", "airbridge", "pair", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, env=environ).stdout


def publisher_settings(broker: ShippedBroker, meter_port: int, push_port: int, *, tls: bool) -> str:
    login = broker.logins / "publisher"
    if tls:
        files = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"}
        table = f"port = {broker.tls_port}\ntls = true\n"
        table += "".join(f'{key} = "{login / name}"\n' for key, name in files.items())
    else:
        table = f'port = {broker.port}\nusername = "publisher"\npassword_file = "{login / "password"}"\n'
    return f"""
[[meter]]
host = "127.0.0.1"
port = {meter_port}
[push]
listen = "127.0.0.1"
port = {push_port}
[mqtt]
host = "localhost"
{table}
"""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_pasted_line_is_all_that_the_second_host_needs(tmp_path: Path, tls: bool) -> None:
    meter_port, push_port = free_port(), free_port()
    there = tmp_path / "there"
    there.mkdir()
    with (
        ShippedBroker(tmp_path / "broker", tls=tls) as broker,
        LineHandle(tmp_path) as line,
        KsemHandle(tmp_path, push=("127.0.0.1", push_port), port=meter_port) as meter,
    ):
        here = broker.logins.parent
        settings = publisher_settings(broker, meter_port, push_port, tls=tls)
        (here / "publisher.toml").write_text(settings)
        pasted = pair("show", "--folder", str(here), "--broker", "localhost")
        (there / "rtu-server.toml").write_text(f'[node]\nname = "attic"\n[[line]]\nport = "{line.server}"\n')
        pair("take", "--folder", str(there), stdin=pasted)
        publisher = Service("ksem_publisher", (here / "publisher.toml").read_text(), tmp_path / "publisher")
        server = Service("rtu_server", (there / "rtu-server.toml").read_text(), tmp_path / "server")
        inverter = PlenticoreHandle(tmp_path, line=line, truth=meter.truth)
        with publisher, server, inverter:
            inverter.wait_for("good", 20, 20.0)
            server.await_log("the inverter gets data")
        for log in (publisher.log_text(), server.log_text()):
            assert pasted.strip() not in log
