"""A wizard driven by a script: results by step, and everything that was shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airbridge.doctor.facts import MeterAddress, MeterFacts, RegisterAnswer
from airbridge.setup.settings_text import EMPTY
from airbridge.setup.steps import (
    Adapter,
    BrokerAnswer,
    Choose,
    Confirm,
    Enter,
    FindAnnounced,
    LineAnswer,
    ListAdapters,
    ListenToLine,
    ListNetworks,
    LookAtMeter,
    PushAnswer,
    Restart,
    RunDoctor,
    Save,
    ScanNetworks,
    Show,
    Step,
    TryBroker,
    WaitForPush,
)
from airbridge.setup.texts import render
from airbridge.setup.wizard import setup
from airbridge.setup.wizard_input import Existing, Given
from tests.bridge.odd_meter import ksem_image

FTDI = Adapter("/dev/serial/by-id/usb-FTDI_A1", "/dev/ttyUSB0", "FTDI", "FT232R USB UART", "A1", "0403:6001")
CH340 = Adapter("/dev/serial/by-path/usb-1", "/dev/ttyUSB1", "1a86", "USB Serial", "", "1a86:7523")
STICK = Adapter("/dev/serial/by-id/usb-dresden_ConBee_II", "/dev/ttyACM0", "dresden", "ConBee II", "DE1", "1cf1:0030")
WELL: Mapping[type, Any] = {
    Show: None,
    FindAnnounced: (),
    ListNetworks: ("192.168.1.0/24",),
    ListAdapters: (FTDI,),
    TryBroker: BrokerAnswer("up"),
    ListenToLine: LineAnswer("requests", units=(1,)),
    WaitForPush: PushAnswer("pushed", "192.168.1.50"),
    Save: (),
    Restart: (),
    RunDoctor: True,
}
"""A house in which all is as it should be."""


def ksem(host: str, *, tls: bool = False, serial: str = "71234567") -> MeterFacts:
    """What a KSEM answers."""
    image = ksem_image(0, serial)
    words = {
        start: tuple(image.get(at, 0) for at in range(start, start + count)) for start, count in ((0, 28), (8192, 58))
    }
    return MeterFacts(
        MeterAddress("main", host, 802 if tls else 502, tls=tls),
        "reached",
        device=RegisterAnswer("registers", words[8192]),
        head=RegisterAnswer("registers", words[0]),
        own_address="192.168.1.2",
    )


def refuses(host: str, port: int = 502, **more: Any) -> MeterFacts:
    """A device whose port is closed."""
    return MeterFacts(MeterAddress("main", host, port), "refused", "connection refused", **more)


def other(host: str) -> MeterFacts:
    """A Modbus device that has none of a KSEM's registers."""
    refused = RegisterAnswer("exception", code=2)
    return MeterFacts(MeterAddress("main", host), "reached", device=refused, head=refused)


def existing(folder: Path = Path("/etc/ksem-airbridge"), **texts: str) -> Existing:
    """A settings folder: `publisher="..."`, `rtu_server="..."`."""
    return Existing(folder, {f"{name.replace('_', '-')}.toml": text for name, text in texts.items()}, EMPTY)


class Script:
    """Plays one run. `results`: by step type, or `(type, ...)`'s list in order, or a function of the step.

    `answers`: by the question's key, one value or a list of them; a question without an answer takes its default.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None, results: Mapping[type, Any] | None = None) -> None:
        self._answers = {
            key: list(value) if isinstance(value, list) else [value] for key, value in (answers or {}).items()
        }
        self._results: dict[type, Any] = {**WELL, **(results or {})}
        self.shown: list[str] = []
        self.questions: list[str] = []
        self.steps: list[Step[Any]] = []
        self.saved: dict[str, str] = {}

    def run(self, given: Given, found: Existing) -> int:
        """To the end; returns the exit code."""
        wizard = setup(given, found)
        try:
            step = next(wizard)
            while True:
                step = wizard.send(self.result(step))
        except StopIteration as end:
            return int(end.value)

    def result(self, step: Step[Any]) -> Any:
        """What this step gives."""
        self.steps.append(step)
        if isinstance(step, Show):
            self.shown.append(render(step.text))
        if isinstance(step, Save):
            self.saved = {file.name: file.content for file in step.files}
        if isinstance(step, Confirm | Choose | Enter):
            render(step.text)
            self.questions.append(step.key)
            given = self._answers.get(step.key)
            assert given or step.default is not None, f"nothing to answer {step}"
            return given.pop(0) if given else step.default
        result = self._results[type(step)]
        if isinstance(result, list):
            return result.pop(0) if len(result) > 1 else result[0]
        return result(step) if isinstance(result, Callable) else result  # type: ignore[arg-type]

    def has_shown(self, *words: str) -> bool:
        """Whether one text holds all of these."""
        return any(all(word in text for word in words) for text in self.shown)


def all_devices(*found: MeterFacts) -> Mapping[type, Any]:
    """What a search finds, and what a look at one of these addresses does."""
    by_host = {one.place.host: one for one in found}

    def look(step: LookAtMeter) -> MeterFacts:
        place = step.place
        return by_host.get(place.host, MeterFacts(place, "timeout", "no answer within 2 s"))

    return {ScanNetworks: found, LookAtMeter: look}
