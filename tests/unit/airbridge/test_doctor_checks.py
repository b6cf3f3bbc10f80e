"""The doctor's cores: facts in, findings out."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from airbridge.doctor.check_broker import check_broker
from airbridge.doctor.check_inverter import check_inverters, check_ports
from airbridge.doctor.check_meter import check_meters
from airbridge.doctor.check_services import check_clocks, check_publishers, check_versions
from airbridge.doctor.check_settings import check_services
from airbridge.doctor.facts import (
    Answer,
    Facts,
    Finding,
    Holder,
    LoginFacts,
    MeterAddress,
    MeterFacts,
    MeterSeen,
    NodeSeen,
    PortFacts,
    Probe,
    Reach,
    RegisterAnswer,
    ServiceFacts,
)
from ksem_contract.health import (
    CheckFlag,
    LinkHealth,
    MeterHealth,
    NodeHealth,
    Percentiles,
    PollHealth,
    PushHealth,
    UnitHealth,
)
from ksem_contract.reasons import Reason, sentence
from ksem_contract.registers import RegisterRange

ROOT = Path(__file__).parents[3]
NOW = "2026-11-22T10:00:00.000Z"
LOGIN = LoginFacts("rtu", "broker:1883", "rtu", "ksem", up=True, reasons=())


def link(state: str = "up", *reasons: Reason) -> LinkHealth:
    return LinkHealth(state, NOW, sentence(reasons), 1, reasons)  # type: ignore[arg-type]


def meter_health(
    push: LinkHealth | None = None,
    checks: tuple[CheckFlag, ...] = (),
    publishers: tuple[str, ...] = (),
    version: str = "1",
) -> MeterHealth:
    return MeterHealth(
        version=version,
        session="aaaa",
        since=NOW,
        state="ok",
        why="",
        push=PushHealth(push or link(), "10.0.0.2", 200, (RegisterRange(0, 28), RegisterRange(40, 106)), 9),
        poll=PollHealth(link(), 10, 0, 0),
        blocks={},
        checks=checks,
        publishers=publishers,
    )


def node(**changes: object) -> NodeSeen:
    unit: dict[str, object] = {
        "line": "rs485",
        "unit": 1,
        "meter": "main",
        "port": link(),
        "state": "degraded",
        "requests": 0,
        "data": 0,
        "refused": {},
        "foreign": 0,
        "noise": 0,
        "turnaround_ms": Percentiles(),
        "age_ms": Percentiles(),
        "last_request_ago_ms": None,
        "reasons": (Reason.of("blocks-too-old", unit=1, line="rs485", meter="main"),),
        **changes,
    }
    health = NodeHealth("1", NOW, "degraded", "why", link(), (UnitHealth(**unit),), {})  # type: ignore[arg-type]
    return NodeSeen("attic", "offline", health, alive=True)


def only(findings: Iterable[Finding], check: str) -> Finding:
    (one,) = (finding for finding in findings if finding.check == check)
    return one


@pytest.mark.parametrize(
    ("reach", "more", "words"),
    [
        ("unknown host", {}, "is not known"),
        ("timeout", {}, "nothing answers"),
        ("no way", {}, "nothing answers"),
        ("no tls", {}, "does not speak TLS"),
        ("refused", {}, "slave is switched off"),
        ("refused", {"tls_port": True, "inverter_port": True}, "802 speaks TLS"),
        ("refused", {"inverter_port": True}, "this is the inverter"),
        ("refused", {"plain_port": True}, "port 502 is open"),
    ],
)
def test_a_meter_that_is_not_reached(reach: Reach, more: dict[str, bool], words: str) -> None:
    facts = MeterFacts(MeterAddress("main", "ksem.lan"), reach, **more)  # type: ignore[arg-type]
    (found,) = check_meters(Facts("1", meters=(facts,)))
    assert (found.state, words in found.text, bool(found.remedy)) == ("wrong", True, True), found


@pytest.mark.parametrize(
    ("counters", "state", "words"),
    [
        ({}, "wrong", "never sent"),
        ({"noise": 400}, "wrong", "wrong baud rate"),
        ({"foreign": 40, "noise": 12}, "wrong", "wrong unit id"),
        ({"requests": 900, "noise": 3, "last_request_ago_ms": 60_000}, "wrong", "stopped sending"),
        ({"requests": 900, "refused": {"stale": 900}, "last_request_ago_ms": 80}, "wrong", "900 x stale"),
        ({"requests": 900, "data": 900, "state": "ok", "last_request_ago_ms": 80}, "ok", "100.0 %"),
        ({"port": link("down", Reason.of("port-missing", port="/dev/x"))}, "wrong", "no such port"),
    ],
)
def test_what_the_line_shows_tells_what_is_wrong_with_it(counters: dict[str, object], state: str, words: str) -> None:
    found = only(check_inverters(Facts("1", logins=(LOGIN,), seen_nodes=(node(**counters),))), "inverter")
    assert (found.state, words in found.text) == (state, True), found


def test_noise_on_a_line_that_works_is_worth_a_look() -> None:
    seen = node(requests=100, data=100, state="ok", last_request_ago_ms=80, noise=5)
    findings = list(check_inverters(Facts("1", logins=(LOGIN,), seen_nodes=(seen,))))
    assert [one.state for one in findings if one.check == "inverter"] == ["ok", "warn"]


def test_without_a_broker_nothing_is_said_about_the_halves() -> None:
    down = LoginFacts(
        "rtu", "broker:1883", "rtu", "ksem", up=False, reasons=(Reason.of("broker-login", error="refused"),)
    )
    facts = Facts("1", logins=(down,), wanted_meters=("main",), wanted_nodes=("attic",))
    assert [*check_publishers(facts), *check_inverters(facts)] == []


def test_what_was_given_up_and_is_still_kept_by_the_broker_is_no_fault() -> None:
    meter, gone = MeterSeen("old", "offline", meter_health()), NodeSeen("cellar", "offline")
    facts = Facts("1", logins=(LOGIN,), seen_meters=(meter,), seen_nodes=(gone,))
    assert [one.state for one in (*check_publishers(facts), *check_inverters(facts))] == ["wrong", "wrong"]
    settled = replace(facts, wanted_meters=("main",), wanted_nodes=("attic",))
    found = {one.about: one.state for one in (*check_publishers(settled), *check_inverters(settled))}
    assert found == {"main": "wrong", "old": "note", "attic": "wrong", "cellar": "note"}


def test_a_push_that_is_refused_gives_the_line_to_add() -> None:
    refused = Reason.of("push-refused", address="10.0.0.9", sources='"10.0.0.9"', meter="main")
    flag = CheckFlag("push-refused-0", NOW, refused)
    seen = MeterSeen("main", "online", meter_health(link("waiting", Reason.of("push-not-begun")), (flag,)), alive=True)
    found = only(check_publishers(Facts("1", logins=(LOGIN,), seen_meters=(seen,))), "push")
    assert (found.state, "push_from" in found.remedy) == ("wrong", True)


def test_a_push_switched_off_on_purpose_is_no_fault() -> None:
    seen = MeterSeen("main", "online", meter_health(link("waiting", Reason.of("push-off"))), alive=True)
    assert only(check_publishers(Facts("1", logins=(LOGIN,), seen_meters=(seen,))), "push").state == "note"


def test_a_second_publisher_is_told() -> None:
    seen = MeterSeen("main", "online", meter_health(publishers=("bbbb",)), alive=True)
    findings = list(check_publishers(Facts("1", logins=(LOGIN,), seen_meters=(seen,))))
    assert any(one.state == "wrong" and "second publisher" in one.text for one in findings)


def test_a_right_is_not_missed_where_the_services_own_messages_come_through() -> None:
    """An ACL may be narrower than the shipped one, for one meter's name alone."""
    probe = Probe("ksem/rtu/+/status", taken=False, came_back=False)
    login = LoginFacts("rtu", "b:1883", "rtu", "ksem", up=True, reasons=(), probes=(probe,))
    refused = list(check_broker(Facts("1", logins=(login,))))
    assert "let user rtu write ksem/rtu/+/status" in only(refused, "rights").remedy
    seen = LoginFacts("rtu", "b:1883", "rtu", "ksem", True, (), (probe,), seen_live=frozenset({"ksem/rtu/+/status"}))
    assert only(check_broker(Facts("1", logins=(seen,))), "rights").state == "ok"


def test_a_port_says_who_holds_it_and_what_would_be_better() -> None:
    ours, other = Holder(7, "rtu-server", is_ours=True), Holder(9, "mbusd", is_ours=False)
    port = PortFacts(
        "/dev/ttyUSB0", there=True, holders=(ours, other), latency_ms=16, stable_path="/dev/serial/by-id/usb-x"
    )
    found = list(check_ports(Facts("1", ports=(port,))))
    assert [one.state for one in found] == ["wrong", "warn", "warn"]
    assert "mbusd (process 9)" in found[0].text
    assert "/dev/serial/by-id/usb-x" in found[2].remedy


def test_two_servers_on_one_port_are_told() -> None:
    holders = (Holder(7, "rtu-server", is_ours=True), Holder(8, "rtu-server", is_ours=True))
    (found,) = check_ports(Facts("1", ports=(PortFacts("/dev/ttyAMA0", there=True, holders=holders),)))
    assert (found.state, "7, 8" in found.text) == ("wrong", True)


def test_different_versions_are_listed_and_are_no_fault() -> None:
    seen = MeterSeen("main", "online", meter_health(version="0.9"))
    (found,) = check_versions(Facts("1", seen_meters=(seen,), seen_nodes=(node(),)))
    assert (found.state, "publisher of main 0.9" in found.text) == ("warn", True)


@pytest.mark.parametrize(("ahead", "state"), [(0.2, "ok"), (-7200.0, "note")])
def test_clocks_that_differ_are_only_told(ahead: float, state: str) -> None:
    (found,) = check_clocks(Facts("1", seen_meters=(MeterSeen("main", clock_ahead_s=ahead),)))
    assert found.state == state


def test_the_troubleshooting_page_quotes_what_the_doctor_really_says() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "airbridge" / "doctor").glob("*.py")]
    sources += [
        (ROOT / one).read_text(encoding="utf-8")
        for one in (
            "shared/ksem_contract/reason_catalogue.py",
            "shared/service_runtime/mqtt_reasons.py",
        )
    ]
    text = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources)).replace("{SERVICE_GROUP}", "dialout")
    quotes = re.findall(r"^\| ((?:\*[^*]+\*[^|*]*)+)\|", page, re.MULTILINE)
    phrases = [phrase for cell in quotes for phrase in re.findall(r"\*([^*]+)\*", cell)]
    assert len(phrases) >= 25
    for phrase in phrases:
        for piece in re.split(r"\.\.\.|\d[\d-]*|\(|\)", phrase):
            assert piece.strip() in text, phrase


@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_a_meter_that_takes_one_client_is_not_wrong_while_it_serves_our_publisher(kind: Answer) -> None:
    answer = RegisterAnswer(kind)
    meter = MeterFacts(MeterAddress("main", "10.0.0.2"), "reached", device=answer, head=answer)
    served = MeterSeen("main", status="online", health=meter_health(), alive=True)
    (finding,) = check_meters(Facts("1", meters=(meter,), seen_meters=(served,)))
    assert finding.state == "note"
    assert "one" in finding.text
    for other in (replace(served, alive=False), replace(served, id="attic"), replace(served, health=None)):
        (finding,) = check_meters(Facts("1", meters=(meter,), seen_meters=(other,)))
        assert finding.state == "wrong"


@pytest.mark.parametrize(("block", "state"), [("device", "wrong"), ("energy", "warn")])
def test_a_block_that_the_meter_refuses_is_named_with_its_registers(block: str, state: str) -> None:
    reason = Reason.of("block-refused", registers="8192-8249", block=block, exception=2)
    seen = MeterSeen("main", "online", meter_health(checks=(CheckFlag(f"refused-{block}", NOW, reason),)), alive=True)
    found = only(check_publishers(Facts("1", logins=(LOGIN,), seen_meters=(seen,))), "block")
    assert (found.state, reason.text in found.text) == (state, True)
    assert "firmware" in found.remedy


def test_another_device_is_wrong_whatever_the_publisher_reports() -> None:
    answer = RegisterAnswer("exception", code=2)
    meter = MeterFacts(MeterAddress("main", "10.0.0.2"), "reached", device=answer, head=answer)
    served = MeterSeen("main", status="online", health=meter_health(), alive=True)
    (finding,) = check_meters(Facts("1", meters=(meter,), seen_meters=(served,)))
    assert finding.state == "wrong"


@pytest.mark.parametrize(
    ("service", "state"),
    [
        (ServiceFacts("ksem-dashboard", "failed", "failed", "exit-code", enabled=True), "wrong"),
        (ServiceFacts("ksem-dashboard", "inactive", "dead", "success", enabled=True), "wrong"),
        (ServiceFacts("ksem-dashboard", "inactive", "dead", "success"), "note"),
        (ServiceFacts("ksem-dashboard", "active", "running", "success", enabled=True), "ok"),
    ],
)
def test_a_service_of_this_host_that_does_not_run_is_named(service: ServiceFacts, state: str) -> None:
    (finding,) = check_services(Facts("1", services=(service,)))
    assert (finding.about, finding.state) == ("ksem-dashboard", state)
    assert finding.state == "ok" or "ksem-dashboard" in finding.remedy
