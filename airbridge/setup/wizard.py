"""`airbridge setup` as a core: which question comes next, what an answer is worth, what is written [core].

The order is that of the data: what this host runs, the meter, the port, the broker. Each answer is tested before the
next question. Then what is to be set in the meter's and the inverter's menus is shown, and awaited. Only then all files
are written, at once; the services start anew and the doctor has the last word.
"""

from dataclasses import dataclass
from typing import Any, Final

from airbridge.setup import settings_text
from airbridge.setup.broker_questions import BrokerChoice, choose_broker
from airbridge.setup.meter_questions import MeterChoice, choose_meter, show_meter_menu
from airbridge.setup.port_questions import PortChoice, choose_port, show_inverter_menu
from airbridge.setup.settings_text import Key
from airbridge.setup.steps import (
    Choose,
    Confirm,
    NewFile,
    Option,
    Restart,
    RunDoctor,
    Save,
    Show,
    Steps,
    do,
    text,
)
from airbridge.setup.wizard_input import FILES, Existing, Given

WELL, WRONG, NOT_SAVED = 0, 1, 4
"""All is well; the doctor found something; nothing was written."""

TOPICS: Final = {"meter": "ksem-publisher", "port": "rtu-server"}
"""What can be changed alone, and the service that it belongs to. The broker belongs to all."""


@dataclass
class Choices:
    """What is to be written; None: it stays as it is."""

    meter: MeterChoice | None = None
    port: PortChoice | None = None
    broker: BrokerChoice | None = None


def setup(given: Given, existing: Existing) -> Steps[int]:
    """Run through all questions; returns the exit code."""
    yield from do(Show(text("welcome"), "title"))
    services = given.services or existing.services or (yield from _choose_services())
    topics = yield from _choose_topics(given, existing, services)
    chosen = Choices()
    if "meter" in topics:
        chosen.meter = yield from choose_meter(given, existing)
    if "port" in topics:
        chosen.port = yield from choose_port(given, existing)
    if "broker" in topics:
        chosen.broker = yield from choose_broker(given, existing, services)
    if chosen.meter is not None:
        yield from show_meter_menu(chosen.meter, given, existing)
    if chosen.port is not None:
        chosen.port = yield from show_inverter_menu(chosen.port, given)
    return (yield from _save(chosen, given, existing, services))


def _choose_services() -> Steps[tuple[str, ...]]:
    options = (
        Option("both", text("part both")),
        Option("publisher", text("part publisher")),
        Option("rtu-server", text("part rtu-server")),
    )
    answer = yield from do(Choose("services", text("which part"), options, "both"))
    both = ("ksem-publisher", "rtu-server")
    return {"both": both, "publisher": both[:1], "rtu-server": both[1:]}[answer]


def _choose_topics(given: Given, existing: Existing, services: tuple[str, ...]) -> Steps[set[str]]:
    """The questions to put: all that is missing; where nothing is, the one thing that shall change."""
    possible = [topic for topic, service in TOPICS.items() if service in services] + ["broker"]
    named = set(possible) & given.topics
    missing = {topic for topic in possible if not existing.has(topic, services)}
    if named or missing:
        return named | missing
    options = [Option(topic, text(f"change {topic}", now=existing.shown(topic))) for topic in possible]
    options += [Option("all", text("change all")), Option("nothing", text("change nothing"))]
    answer = yield from do(Choose("change", text("what to change"), tuple(options), "nothing"))
    return set(possible) if answer == "all" else {answer} - {"nothing"}


def _save(chosen: Choices, given: Given, existing: Existing, services: tuple[str, ...]) -> Steps[int]:
    try:
        files = tuple(_files(chosen, existing, services))
    except settings_text.UnreadableSettings as error:
        yield from do(Show(text("unreadable", why=str(error)), "bad"))
        return NOT_SAVED
    if not files:
        yield from do(Show(text("nothing changes")))
    else:
        yield from do(Show(text("will write", files=", ".join(one.name for one in files))))
        for service, key, value in _shown_changes(chosen, services):
            yield from do(Show(text("one change", file=FILES[service], key=key, value=value)))
        if not (yield from do(Confirm("save", text("save?"), default=True))):
            yield from do(Show(text("not saved"), "note"))
            return NOT_SAVED
        mistakes = yield from do(Save(files))
        for mistake in mistakes:
            yield from do(Show(text("mistake", line=mistake), "bad"))
        if mistakes:
            return NOT_SAVED
        yield from do(Show(text("saved"), "good"))
    if not given.start:
        return WELL
    if files:
        for trouble in (yield from do(Restart(services))):
            yield from do(Show(text("mistake", line=trouble), "bad"))
    yield from do(Show(text("doctor comes"), "title"))
    return WELL if (yield from do(RunDoctor())) else WRONG


def changes_of(chosen: Choices, services: tuple[str, ...]) -> dict[str, dict[Key, Any]]:
    """What each service's file shall hold."""
    settings: dict[str, dict[Key, Any]] = {service: {} for service in services}
    if chosen.meter is not None:
        settings["ksem-publisher"] |= chosen.meter.settings()
    if chosen.port is not None:
        settings["rtu-server"] |= chosen.port.settings()
    if chosen.broker is not None:
        for service in services:
            settings[service] |= chosen.broker.settings(service)
    return settings


def _files(chosen: Choices, existing: Existing, services: tuple[str, ...]) -> list[NewFile]:
    files = [] if chosen.broker is None else [one for one in chosen.broker.password_files() if one.service in services]
    for service, changes in changes_of(chosen, services).items():
        name = FILES[service]
        old = existing.texts.get(name, "")
        new = settings_text.change(old or existing.templates[name], changes)
        if changes and new != old:
            files.append(NewFile(name, new, service))
    return files


def _shown_changes(chosen: Choices, services: tuple[str, ...]) -> list[tuple[str, str, object]]:
    return [
        (service, f"[{table}] {key}", value)
        for service, changes in changes_of(chosen, services).items()
        for (table, key), value in changes.items()
        if value is not None
    ]
