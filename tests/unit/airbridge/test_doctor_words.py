"""What the doctor recognises, and what it leaves out of a bundle."""

import json
import struct

import pytest

from airbridge.doctor.check_broker import merged
from airbridge.doctor.check_meter import Device, identify
from airbridge.doctor.check_settings import wanted
from airbridge.doctor.facts import MeterAddress, MeterSeen, NodeSeen, SettingsFacts
from airbridge.doctor.scrub import GONE, scrub, serial_texts, without_serial_registers
from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import DEVICE, SEQLOCK_HEAD
from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.image import device_registers, foreign_registers

KSEM = struct.unpack(">58H", device_registers(firmware=0x0205, interval_ms=200, unix_ms=0))
LIVE = (*(0,) * 26, 0, 50_000)


def foreign(wanted_range: RegisterRange) -> tuple[int, ...]:
    return struct.unpack(f">{wanted_range.count}H", foreign_registers(wanted_range, 1.5))


@pytest.mark.parametrize(
    ("device", "head", "port", "found"),
    [
        (KSEM, LIVE, 502, "ksem"),
        (KSEM, LIVE, 1502, "ksem"),
        (KSEM[:53], LIVE, 502, "ksem"),
        ((), LIVE, 502, "nameless"),
        (KSEM, (0,) * 28, 502, "booting"),
        (foreign(DEVICE), foreign(SEQLOCK_HEAD), 502, "inverter"),
        ((), (), 1502, "inverter"),
        ((), foreign(SEQLOCK_HEAD), 502, "inverter"),
        ((0,) * 58, (0,) * 28, 502, "other"),
        ((), (), 502, "other"),
    ],
)
def test_a_device_is_told_by_its_registers(
    device: tuple[int, ...], head: tuple[int, ...], port: int, found: Device
) -> None:
    assert identify(device, head, port) == found


def device_block() -> bytes:
    return BlockMessage(
        meter="main",
        block="device",
        start=DEVICE.start,
        registers=KSEM,
        session="aaaa",
        seq=1,
        boot_ms=1,
        age_ms=0,
        cycle_ms=None,
        source="poll",
        time="2026-11-22T10:00:00.000Z",
    ).encode()


def test_the_serial_numbers_registers_leave_no_trace() -> None:
    words = json.loads(without_serial_registers(device_block()))["registers"]
    assert words[36:52] == [None] * 16
    assert words[35] == KSEM[35]
    assert words[52] == 200


def test_a_serial_number_told_by_the_device_is_found_wherever_else_it_stands() -> None:
    (serial,) = serial_texts({"ksem/main/block/device": device_block(), "x": b"no json", "y": b"{}"})
    assert serial == "00000000SIMULATED"
    assert scrub(f"meter {serial} says", {serial}) == f"meter {GONE} says"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password = hunter22 # file", f"password = {GONE} # file"),
        ('login failed: {"password": "hunter 22"}', f'login failed: {{"password": {GONE}}}'),
        ('password_file = "/etc/x/password"', 'password_file = "/etc/x/password"'),
        ("AIRBRIDGE_MQTT__PASSWORD=hunter22", f"AIRBRIDGE_MQTT__PASSWORD={GONE}"),
        ("api_token: abc", f"api_token: {GONE}"),
        (
            "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0",
            f"/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_{GONE}-if00-port0",
        ),
        ("the port /dev/ttyUSB0, 38400 8N2", "the port /dev/ttyUSB0, 38400 8N2"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert scrub(text, ()) == left


def test_what_is_to_be_looked_at_comes_from_both_settings_files() -> None:
    meters = [{"id": "main", "host": "ksem.lan", "port": 502, "unit": 1, "tls": True}]
    publisher = SettingsFacts("ksem-publisher", "p", tables={"meter": meters, "push": {"listen": "::", "port": 5021}})
    lines = [{"port": "/dev/a", "unit": [{"meter": "main"}, {"meter": "heat"}]}]
    server = SettingsFacts("rtu-server", "r", tables={"node": {"name": "attic"}, "line": lines})
    to_do = wanted((publisher, server), None, None)
    assert to_do.places == (MeterAddress("main", "ksem.lan", 802, 1, tls=True),)
    assert (to_do.meters, to_do.nodes, to_do.ports) == (("main", "heat"), ("attic",), ("/dev/a",))
    assert to_do.push_port == 5021
    other = wanted((publisher, server), MeterAddress("meter", "h"), "/dev/b")
    assert ([one.host for one in other.places], other.ports) == (["h"], ("/dev/b",))


def test_what_two_logins_received_of_a_meter_is_one_picture_to_which_each_adds_what_it_knows() -> None:
    one = {"main": MeterSeen("main", status="online", alive=True, echo_ms=0.0), "b": MeterSeen("b")}
    other = {"main": MeterSeen("main", clock_ahead_s=0.5), "a": MeterSeen("a", unreadable="no JSON")}

    together = MeterSeen("main", status="online", alive=True, echo_ms=0.0, clock_ahead_s=0.5)
    assert merged([one, other]) == merged([other, one]) == (other["a"], one["b"], together)


def test_the_status_that_a_later_login_received_counts() -> None:
    first, later = {"cellar": NodeSeen("cellar", status="online")}, {"cellar": NodeSeen("cellar", status="offline")}

    assert merged([first, later]) == (NodeSeen("cellar", status="offline"),)
