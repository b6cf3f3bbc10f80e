"""Checks whether a KSEM answers where one should be, by its registers [core]."""

import math
import struct
from collections.abc import Iterator
from typing import Literal

from airbridge.doctor.facts import Facts, Finding, MeterFacts
from ksem_contract.blocks import DEVICE, FREQUENCY, MEASURING_INTERVAL
from ksem_contract.values import decode_texts

_SLAVE = "switch the TCP slave on there, in the Modbus settings"
REFUSED_REMEDY = (
    "restart the meter, look for new firmware on its web page, and end other programs that read it; the publisher "
    "tries again by itself"
)
_OWN_ADDRESS = "give the KSEM's own address and port 502 in [[meter]] host and port (the inverter is another device)"


def check_meters(facts: Facts) -> Iterator[Finding]:
    """One line a meter."""
    for meter in facts.meters:
        finding = _check_one(meter)
        if finding.state == "wrong" and _is_served(meter, facts):
            where = f"{meter.place.host}:{meter.place.port}"
            text = (
                f"{where} answers the publisher's polls, and had no answer for a second client: it may take one alone"
            )
            finding = Finding("meter", meter.place.id, "note", text)
        yield finding


def _is_served(meter: MeterFacts, facts: Facts) -> bool:
    """Whether our publisher, which runs, is answered there, and only the doctor's own connection was not."""
    answers = {answer.kind for answer in (meter.device, meter.head) if answer is not None}
    if meter.reach in ("unknown host", "no tls") or answers - {"silent", "closed"}:
        return False
    seen = next((one for one in facts.seen_meters if one.id == meter.place.id), None)
    return seen is not None and seen.alive and seen.health is not None and seen.health.poll.link.state == "up"


def _check_one(facts: MeterFacts) -> Finding:
    place = facts.place
    where = f"{place.host}:{place.port}"

    def wrong(text: str, remedy: str) -> Finding:
        return Finding("meter", place.id, "wrong", text, remedy)

    if facts.reach == "unknown host":
        return wrong(
            f"the host name {place.host} is not known ({facts.why})",
            "put the meter's IP address into [[meter]] host: your router lists it",
        )
    if facts.reach in ("timeout", "no way"):
        return wrong(
            f"nothing answers at {where} ({facts.why})",
            "is [[meter]] host right (your router lists the KSEM's address), the meter on, its network cable in, and "
            "no firewall between?",
        )
    if facts.reach == "refused":
        return wrong(*_refused(facts, where))
    if facts.reach == "no tls":
        return wrong(
            f"{where} does not speak TLS ({facts.why})",
            "set tls = false and port = 502 in [[meter]], or switch TLS on in the meter's menu (then port 802)",
        )
    return _answered(facts, where)


def _refused(facts: MeterFacts, where: str) -> tuple[str, str]:
    place = facts.place
    if facts.tls_port:
        return (
            f"{where} is closed, but port 802 speaks TLS: the meter's Modbus is switched to TLS",
            "set tls = true in [[meter]] (port 802 is then taken by itself), or switch TLS off in the meter's menu",
        )
    if facts.plain_port:
        return f"{where} is closed, but port 502 is open", "set port = 502 in [[meter]]"
    if facts.inverter_port:
        return (
            f"{where} is closed, but port {INVERTER_PORT} is open: this is the inverter, not the meter",
            _OWN_ADDRESS,
        )
    page = f"http://{place.host}" + (" (there is a web page)" if facts.web else "")
    remedy = f"open {page}: if it is the KSEM's page, {_SLAVE}; else correct the address in [[meter]] host"
    return f"{where} refuses connections: the Modbus slave is switched off there, or it is another device", remedy


def _answered(facts: MeterFacts, where: str) -> Finding:
    place = facts.place

    def wrong(text: str, remedy: str) -> Finding:
        return Finding("meter", place.id, "wrong", text, remedy)

    device, head = facts.device, facts.head
    if device is None or head is None:
        return wrong(f"{where} closed the connection", f"open http://{place.host}: if it is the KSEM's page, {_SLAVE}")
    kinds = {device.kind, head.kind}
    if facts.speaks_tls and kinds & {"silent", "closed", "garbage"}:
        return wrong(
            f"{where} speaks TLS only",
            f"set tls = true and port = {place.port} in [[meter]], or switch TLS off in the meter's menu",
        )
    if kinds <= {"silent"}:
        return wrong(
            f"{where} accepts connections and does not answer Modbus",
            "restart the meter; if it stays so, look for other programs that poll it, and at the address",
        )
    if kinds & {"closed", "garbage"} or "silent" in kinds:
        return wrong(f"{where} does not speak Modbus TCP ({', '.join(sorted(kinds))})", _OWN_ADDRESS)
    kind = identify(device.registers, head.registers, place.port)
    name = describe(device.registers)
    if kind == "ksem":
        hertz = frequency(head.registers)
        text = f"{name or 'a KSEM'} at {where}: measures every {interval_ms(device.registers)} ms, {hertz:.2f} Hz"
        return Finding("meter", place.id, "ok", text)
    if kind == "nameless":
        return wrong(
            f"{where} measures as a KSEM does, but refuses registers {DEVICE} (device) with exception {device.code}: "
            "an inverter that starts requests these first",
            REFUSED_REMEDY,
        )
    if kind == "booting":
        measured = frequency(head.registers) or 0
        return wrong(
            f"{name} at {where} answers, but with {measured:.2f} Hz: it boots, or measures nothing",
            "wait a minute; then look at the meter's own page, and at the voltage inputs L1 to L3 and N",
        )
    if kind == "inverter":
        return wrong(f"the device at {where} is an inverter, not a KSEM", _OWN_ADDRESS)
    codes = [answer.code for answer in (device, head) if answer.kind == "exception"]
    reaction = f"refuses a KSEM's registers with exception {codes[0]}" if codes else "answers with other registers"
    return wrong(f"the device at {where} is no KSEM: it {reaction}{f' ({name})' if name else ''}", _OWN_ADDRESS)


Device = Literal["ksem", "nameless", "booting", "inverter", "other"]
"""`nameless`: it measures as a KSEM does, and refuses the registers that identify it."""

INVERTER_PORT = 1502
"""A Plenticore's own Modbus TCP port (with unit 71)."""
INTERVALS_MS = range(50, 10001)
"""A KSEM measures every 200 or 500 ms; anything in this range is taken for an interval."""


def identify(device: tuple[int, ...], head: tuple[int, ...], port: int) -> Device:
    """Judge by 8192-8249, or 8192-8244, and 0-27 (each may be empty, where the device refuses it)."""
    interval = interval_ms(device)
    hertz = frequency(head)
    measures = hertz is not None and 40 <= hertz <= 70
    if interval in INTERVALS_MS and measures:
        return "ksem"
    if interval in INTERVALS_MS and "KOSTAL" in describe(device).upper():
        return "booting"
    if not device and measures and port != INVERTER_PORT:
        return "nameless"
    if port == INVERTER_PORT or holds_floats(device) or (not device and holds_floats(head)):
        return "inverter"
    return "other"


def frequency(head: tuple[int, ...]) -> float | None:
    """Hz, from 0-27."""
    if len(head) < FREQUENCY + 2:
        return None
    return (head[FREQUENCY] << 16 | head[FREQUENCY + 1]) / 1000


def interval_ms(device: tuple[int, ...]) -> int:
    """The measuring interval by 8192-8249, or by as many of them as the firmware has; 0 for none."""
    place = MEASURING_INTERVAL - DEVICE.start
    return device[place] if len(device) > place else 0


def describe(device: tuple[int, ...]) -> str:
    """The device's name, as it reports it; without its serial number."""
    texts = decode_texts(device)
    return texts.get("product_name") or texts.get("vendor_name") or ""


def holds_floats(registers: tuple[int, ...]) -> bool:
    """Whether the words are numbers as a Plenticore has them: float32, low word first."""
    pairs = list(zip(registers[::2], registers[1::2], strict=False))
    numbers = [struct.unpack(">f", struct.pack(">HH", high, low))[0] for low, high in pairs]
    sound = [number for number in numbers if math.isfinite(number) and (number == 0 or 1e-3 < abs(number) < 1e7)]
    return len(numbers) >= 4 and len(sound) > 0.8 * len(numbers) and any(sound)
