"""What is at an address where a KSEM should be? [core]."""

from dataclasses import dataclass
from typing import Literal

from airbridge.doctor.facts import MeterFacts
from airbridge.doctor.identity import describe, identify, interval_ms
from ksem_contract.blocks import DEVICE
from ksem_contract.values import decode_texts

Kind = Literal["ksem", "booting", "inverter", "other", "tls", "closed", "silent", "away", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tls`: speaks TLS only. `closed`: the host is there, its Modbus is not. `away`: nobody answers there."""

    kind: Kind
    name: str = ""
    serial: str = ""
    interval_ms: int = 0


def judge(facts: MeterFacts) -> Verdict:
    """Name the device by what was found."""
    if facts.reach == "unknown host":
        return Verdict("unknown")
    if facts.reach in ("timeout", "no way"):
        return Verdict("away")
    if facts.reach == "refused":
        return Verdict("tls" if facts.tls_port else "inverter" if facts.inverter_port else "closed")
    if facts.reach == "no tls":
        return Verdict("other")
    if facts.speaks_tls:
        return Verdict("tls")
    return _by_registers(facts)


def _by_registers(facts: MeterFacts) -> Verdict:
    device, head = facts.device, facts.head
    if device is None or head is None or "closed" in (device.kind, head.kind):
        return Verdict("closed")
    if "silent" in (device.kind, head.kind):
        return Verdict("silent")
    kind = identify(device.words, head.words, facts.place.port)
    if kind in ("inverter", "other"):
        return Verdict(kind, describe(device.words))
    if kind == "nameless":  # it measures as a KSEM does
        return Verdict("ksem", describe(device.words))
    texts = decode_texts(device.words) if len(device.words) == DEVICE.count else {}
    return Verdict(kind, describe(device.words), texts.get("serial_number", ""), interval_ms(device.words))
