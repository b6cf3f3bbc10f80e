"""Settles which serial port leads to the inverter, and at which speed it sends its requests there [core]."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from airbridge.setup.settings_text import Key
from airbridge.setup.steps import (
    Adapter,
    Choose,
    Confirm,
    LineAnswer,
    LineMode,
    ListAdapters,
    ListenToLine,
    Option,
    Show,
    Steps,
    Text,
    do,
    text,
)
from airbridge.setup.wizard_input import Existing, Given
from modbus_codec.rtu import Noise, Reply, Request

_OTHER_DEVICES: Final = (
    (
        "Zigbee",
        r"zigbee|conbee|raspbee|zbdongle|sonoff.*(dongle|plus)|slzb|zigstar|zigate|tubeszb|cc2[56]\d\d|efr32|ezsp",
    ),
    ("Zigbee or Thread", r"skyconnect|home_?assistant|zbt-[12]|thread"),
    ("Z-Wave", r"z-?wave|zwa-2|aeotec|zooz|nortek|zst\d"),
    ("LTE modem", r"modem|\blte\b|huawei|quectel|sierra"),
    ("GPS receiver", r"gps|u-blox|gnss"),
    ("microcontroller", r"arduino|esp32|\bmcu\b|raspberry_pi_pico|jtag"),
    ("meter's optical head", r"\bir[_-]?head|lesekopf|volkszaehler"),
)
"""What else is plugged in by USB and speaks something else, by the texts of its USB descriptor. The Zigbee and Z-Wave
names are those by which Home Assistant's own discovery knows them (core: `zha/manifest.json` and
`zwave_js/manifest.json`)."""
_OTHER_IDS: Final = {"1cf1:0030": "Zigbee", "0658:0200": "Z-Wave", "303a:4001": "Z-Wave", "0451:16a8": "Zigbee"}
"""USB vendor and product ids that belong to one kind of stick (ConBee, Z-Stick, ZWA-2, CC2531; same source)."""


def other_device(adapter: Adapter) -> str:
    """What kind of stick this is, where it is known to be no RS485 adapter; else an empty text."""
    if adapter.usb_id in _OTHER_IDS:
        return _OTHER_IDS[adapter.usb_id]
    texts = "_".join((adapter.maker, adapter.product, adapter.path.rpartition("/")[2])).replace(" ", "_").lower()
    return next((kind for kind, pattern in _OTHER_DEVICES if re.search(pattern, texts)), "")


def is_candidate(adapter: Adapter) -> bool:
    """Whether it may be taken without a question: a USB adapter that nobody else holds and that is no known stick."""
    free = adapter.ours or not adapter.holders
    return bool(adapter.usb_id) and free and adapter.interface == 0 and not other_device(adapter)


AGAIN: Final = "again"
FIRST_LISTEN: Final = 3.0
"""Seconds: a Plenticore requests every 160 ms."""


@dataclass(frozen=True, slots=True)
class PortChoice:
    """The port that was chosen. `may_listen`: nobody else holds it, so that the setup may."""

    path: str
    mode: LineMode
    may_listen: bool

    def settings(self) -> dict[Key, Any]:
        """For rtu-server.toml. What is a Plenticore's is left to the defaults."""
        keys = ("baudrate", "parity", "stopbits")
        changed = {key: getattr(self.mode, key) for key in keys}
        defaults = {key: getattr(PLENTICORE, key) for key in keys}
        return {
            ("line", "port"): self.path,
            **{("line", key): None if changed[key] == defaults[key] else changed[key] for key in keys},
        }


def choose_port(given: Given, existing: Existing) -> Steps[PortChoice]:
    """Take the one adapter that fits, or let the user choose."""
    mode = _mode_of(existing)
    while True:
        adapters = yield from do(ListAdapters())
        if given.port is not None:
            return PortChoice(given.port, mode, may_listen=(yield from _report_named(given.port, adapters)))
        path = yield from _choose(adapters, existing)
        if path != AGAIN:
            chosen = next(one for one in adapters if one.path == path)
            return PortChoice(path, mode, may_listen=(yield from _report(chosen)))


def _mode_of(existing: Existing) -> LineMode:
    values = existing.values("rtu-server")
    named = {key: values[("line", key)] for key in ("baudrate", "parity", "stopbits") if ("line", key) in values}
    return replace(PLENTICORE, **named)


def _choose(adapters: tuple[Adapter, ...], existing: Existing) -> Steps[str]:
    for one in adapters:
        kind = other_device(one)
        if kind:
            yield from do(Show(text("adapter other", path=one.path, name=one.label, kind=kind)))
        elif one.holders and not one.ours:
            yield from do(Show(text("adapter held", path=one.path, name=one.label, holder=_holder(one)), "bad"))
    good = [one for one in adapters if is_candidate(one)]
    if not adapters:
        yield from do(Show(text("no adapter"), "bad"))
    if len(good) == 1:
        return good[0].path
    options = tuple(Option(one.path, _shown(one)) for one in (*good, *(o for o in adapters if o not in good)))
    now = existing.shown("port")
    default = now if now in {one.path for one in good} else None
    return (
        yield from do(Choose("port", text("which adapter"), (*options, Option(AGAIN, text("look again"))), default))
    )


def _report_named(path: str, adapters: tuple[Adapter, ...]) -> Steps[bool]:
    adapter = next((one for one in adapters if path in (one.path, one.device)), None)
    if adapter is None:
        yield from do(Show(text("port not listed", path=path)))
        return True
    return (yield from _report(adapter))


def _report(adapter: Adapter) -> Steps[bool]:
    yield from do(Show(text("adapter taken", path=adapter.path, name=adapter.label), "good"))
    if not adapter.holders:
        return True
    name = "adapter ours" if adapter.ours else "adapter held"
    kind = "note" if adapter.ours else "bad"
    shown = text(name, path=adapter.path, name=adapter.label, holder=_holder(adapter))
    yield from do(Show(shown, "note" if kind == "note" else "bad"))
    return False


def show_inverter_menu(port: PortChoice, given: Given) -> Steps[PortChoice]:
    """Listen for the inverter; where it is silent, show its menu and wait. Returns the port at the speed it has."""
    if not port.may_listen:
        return port
    answer = yield from do(ListenToLine(port.path, port.mode, min(FIRST_LISTEN, given.wait or FIRST_LISTEN)))
    shown = False
    while answer.state != "requests":
        yield from do(Show(text(f"line {answer.state}", path=port.path, why=answer.why), "bad"))
        if answer.state == "failed" or given.wait <= 0:
            return port
        if not shown:
            yield from do(Show(text("inverter menu"), "todo"))
            shown = True
        elif not (yield from do(Confirm("wait", text("wait on?"), default=False))):
            return port
        answer = yield from do(ListenToLine(port.path, port.mode, given.wait))
    units = ", ".join(map(str, answer.units))
    yield from do(Show(text("line requests", mode=str(answer.mode), units=units), "good"))
    if 1 not in answer.units:
        yield from do(Show(text("other unit", units=units), "todo"))
    return replace(port, mode=answer.mode)


def _holder(adapter: Adapter) -> str:
    return ", ".join(f"{program} ({pid})" for pid, program in adapter.holders)


def _shown(adapter: Adapter) -> Text:
    if kind := other_device(adapter):
        return text("adapter other", path=adapter.path, name=adapter.label, kind=kind)
    if adapter.holders and not adapter.ours:
        return text("adapter held", path=adapter.path, name=adapter.label, holder=_holder(adapter))
    return text("adapter", path=adapter.path, name=adapter.label)


PLENTICORE: Final = LineMode()
OTHERS: Final = (
    LineMode(19200, "N", 2),
    LineMode(9600, "N", 1),
    LineMode(19200, "E", 1),
    LineMode(9600, "N", 2),
    LineMode(57600, "N", 2),
    LineMode(115200, "N", 1),
)
"""What other inverters use, the likely ones first. A receiver takes 8N2 for 8N1: stop bits need no trial."""
NOISE: Final = 4
"""Bytes from which a line is not silent: fewer come from plugging in."""
ENOUGH: Final = 2
"""Requests that decide: one can come about by chance, at a wrong speed."""


class LineScan:
    """Takes what was received at one speed after the other. The first round listens long, the others shortly."""

    def __init__(self, first: LineMode, seconds: float) -> None:
        self._modes = [first, *(one for one in (PLENTICORE, *OTHERS) if one != first)]
        self._seconds = seconds
        self._noise = 0
        self._requests: list[int] = []
        self._at = 0

    @property
    def mode(self) -> LineMode:
        """The speed to listen at now."""
        return self._modes[self._at]

    @property
    def seconds(self) -> float:
        """How long to listen at it. A Plenticore requests some six times a second."""
        return self._seconds if self._at == 0 else min(2.0, self._seconds)

    def receive(self, frames: Sequence[Request | Reply | Noise]) -> LineAnswer | None:
        """Take what the frame reader found; returns the answer as soon as it is clear."""
        for frame in frames:
            if isinstance(frame, Request):
                self._requests.append(frame.unit)
            elif isinstance(frame, Noise):
                self._noise += len(frame.data)
        if len(self._requests) >= ENOUGH:
            return LineAnswer("requests", self.mode, tuple(sorted(set(self._requests))))
        return None

    def end_of_turn(self) -> LineAnswer | None:
        """Go on to the next speed; returns the answer where no other speed would help."""
        if self._noise < NOISE and not self._requests:
            return LineAnswer("silent", self.mode)
        self._requests.clear()
        self._at += 1
        if self._at < len(self._modes):
            return None
        self._at = 0
        return LineAnswer("noise", self.mode)
