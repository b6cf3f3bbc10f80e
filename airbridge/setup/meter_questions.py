"""Settles where the KSEM is, and which device answers at its address [core]."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from airbridge.doctor.check_meter import describe, identify, interval_ms
from airbridge.doctor.facts import MeterAddress, MeterFacts
from airbridge.setup.settings_text import Key
from airbridge.setup.steps import (
    Choose,
    Confirm,
    Enter,
    FindAnnounced,
    ListNetworks,
    LookAtMeter,
    Option,
    ScanNetworks,
    Show,
    Steps,
    Text,
    WaitForPush,
    do,
    text,
)
from airbridge.setup.wizard_input import PUSH_PORT, Address, Existing, Given
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
    kind = identify(device.registers, head.registers, facts.place.port)
    if kind in ("inverter", "other"):
        return Verdict(kind, describe(device.registers))
    if kind == "nameless":  # it measures as a KSEM does
        return Verdict("ksem", describe(device.registers))
    texts = decode_texts(device.registers) if len(device.registers) == DEVICE.count else {}
    return Verdict(kind, describe(device.registers), texts.get("serial_number", ""), interval_ms(device.registers))


PLAIN_PORT: Final = 502
TLS_PORT: Final = 802
ELSEWHERE: Final = "elsewhere"


@dataclass(frozen=True, slots=True)
class MeterChoice:
    """The meter that was chosen. `own_address`: this host's, as the meter reaches it."""

    place: MeterAddress
    own_address: str | None = None

    def settings(self) -> dict[Key, Any]:
        """For publisher.toml. The port is left to its default where it is that."""
        default = TLS_PORT if self.place.tls else PLAIN_PORT
        return {
            ("meter", "host"): self.place.host,
            ("meter", "port"): None if self.place.port == default else self.place.port,
            ("meter", "tls"): True if self.place.tls else None,
        }


def choose_meter(given: Given, existing: Existing) -> Steps[MeterChoice]:
    """Find the meter, or test the one that is named; returns the one to write."""
    if given.meter is not None:
        tested = yield from _test(given.meter, given)
        if tested is not None:
            return tested
    else:
        found = yield from _search(given)
        chosen = yield from _choose_found(found)
        if chosen is not None:
            return chosen
    return (yield from _enter(given, existing))


def _search(given: Given) -> Steps[tuple[MeterFacts, ...]]:
    """By announcements first; a look at every address only with consent."""
    if not given.networks:
        yield from do(Show(text("searching announced")))
        announced = yield from do(FindAnnounced())
        if any(judge(one).kind in ("ksem", "booting") for one in announced):
            return announced
    networks = given.networks or (yield from do(ListNetworks()))
    if not networks or not given.scan:
        return ()
    shown = ", ".join(networks)
    if not given.networks and not (yield from do(Confirm("scan", text("scan?", networks=shown), default=True))):
        return ()
    yield from do(Show(text("scanning", networks=shown)))
    return (yield from do(ScanNetworks(networks)))


def _choose_found(found: tuple[MeterFacts, ...]) -> Steps[MeterChoice | None]:
    judged = [(facts, judge(facts)) for facts in found]
    meters = [(facts, verdict) for facts, verdict in judged if verdict.kind in ("ksem", "booting")]
    for facts, verdict in judged:
        if verdict.kind not in ("ksem", "booting"):
            yield from do(Show(_shown(facts, verdict)))
    if not meters:
        yield from do(Show(text("no meter found"), "bad"))
        return None
    for facts, verdict in meters:
        yield from do(Show(_shown(facts, verdict), "good"))
    options = [Option(facts.place.host, _shown(facts, verdict)) for facts, verdict in meters]
    options.append(Option(ELSEWHERE, text("another address")))
    default = meters[0][0].place.host if len(meters) == 1 else None
    answer = yield from do(Choose("meter", text("which meter"), tuple(options), default))
    return next((MeterChoice(one.place, one.own_address) for one, _ in meters if one.place.host == answer), None)


def _enter(given: Given, existing: Existing) -> Steps[MeterChoice]:
    while True:
        default = existing.shown("meter") or None
        answer = yield from do(Enter("meter", text("meter address?"), default))
        if not answer:
            continue
        tested = yield from _test(parse_place(answer), given)
        if tested is not None:
            return tested


def _test(place: Address, given: Given) -> Steps[MeterChoice | None]:
    """Look at one place; where only TLS answers there, with TLS. None: the user wants to name another one."""
    tls = given.meter_tls or place.port == TLS_PORT
    wanted = MeterAddress("main", place.host, place.port or (TLS_PORT if tls else PLAIN_PORT), tls=tls)
    facts = yield from do(LookAtMeter(wanted))
    verdict = judge(facts)
    if verdict.kind == "tls":
        yield from do(Show(text("tls only", host=place.host)))
        port = wanted.port if facts.speaks_tls else TLS_PORT
        facts = yield from do(LookAtMeter(MeterAddress("main", place.host, port, tls=True)))
        verdict = judge(facts)
    if verdict.kind == "ksem":
        yield from do(Show(_shown(facts, verdict), "good"))
        return MeterChoice(facts.place, facts.own_address)
    yield from do(Show(_shown(facts, verdict), "bad"))
    yield from do(Show(text(f"remedy {verdict.kind}", host=place.host), "todo"))
    if given.untested or (yield from do(Confirm("untested", text("use untested?"), default=False))):
        return MeterChoice(facts.place, facts.own_address)
    return None


def show_meter_menu(meter: MeterChoice, given: Given, existing: Existing) -> Steps[None]:
    """Show what to set in the KSEM's menu, and wait until it pushes. It works by polling, too: nothing is refused."""
    values = existing.values("ksem-publisher")
    if values.get(("push", "enabled")) is False:
        return
    port = int(values.get(("push", "port"), PUSH_PORT))
    listen = str(values.get(("push", "listen"), "0.0.0.0"))  # noqa: S104  the service's own default
    own = meter.own_address or "?"
    yield from do(Show(text("meter menu", host=meter.place.host, own=own, port=port), "todo"))
    while given.wait > 0:
        answer = yield from do(WaitForPush(listen, port, given.wait))
        if answer.state == "pushed":
            yield from do(Show(text("meter pushes", peer=answer.peer), "good"))
            if answer.peer != meter.place.host:
                yield from do(Show(text("other peer", peer=answer.peer, host=meter.place.host)))
            return
        yield from do(Show(text(f"push {answer.state}", port=port, why=answer.why)))
        if answer.state != "nothing":
            return
        if not (yield from do(Confirm("wait", text("wait on?"), default=False))):
            return


def parse_place(given: str) -> Address:
    """A host out of what a browser's address line holds, and its port where one is named."""
    bare = given.rpartition("://")[2].partition("/")[0].rpartition("@")[2]
    if bare.startswith("["):
        host, _, rest = bare[1:].partition("]")
        port = rest.removeprefix(":")
    elif bare.count(":") == 1:
        host, _, port = bare.partition(":")
    else:
        host, port = bare, ""
    return Address(host, int(port) if port.isdigit() and 0 < int(port) < 65536 else None)


def _shown(facts: MeterFacts, verdict: Verdict) -> Text:
    return text(
        f"device {verdict.kind}",
        host=facts.place.host,
        port=facts.place.port,
        name=verdict.name or "KSEM",
        serial=verdict.serial or "?",
        interval=verdict.interval_ms,
        why=facts.why,
    )
