"""Why an inverter's own values are as they are: codes for programs, sentences and remedies for people.

Codes keep their meaning; sentences may change. Fragments have no capital letter at their begin and no full stop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ksem_contract.fields import Fields, bounded_text
from ksem_contract.message_json import JsonObject


class Template(NamedTuple):
    """The words of one code; `{name}` is a parameter."""

    text: str
    remedy: str = ""


_ONE_CLIENT: Final = (
    "set share = true in inverter-reader.toml, so that the connection is free between two reads, or put a Modbus proxy"
    " between the inverter and its clients"
)
_WIRING: Final = "see rtu-server's health: the line, the wires A and B, and the energy meter set in the inverter's menu"
_SENSOR: Final = (
    "choose KOSTAL Smart Energy Meter as energy meter in the inverter's service menu (an installer's access is needed)"
)

TEMPLATES: Final[Mapping[str, Template]] = {
    "inverter-starting": Template("the inverter has not been read yet"),
    "inverter-not-reached": Template(
        "the inverter can't be reached at {where}: {error}",
        "check its power and network cable, and [[inverter]] host in inverter-reader.toml",
    ),
    "inverter-modbus-off": Template(
        "{where} refuses connections: Modbus is switched off in the inverter",
        "switch on Modbus in the inverter's web page (Settings, Modbus/SunSpec (TCP)), and compare its port with"
        " [[inverter]] port; KOSTAL ships it switched off",
    ),
    "inverter-busy": Template(
        "{where} closes the connection at once: another system holds the only one that the inverter allows", _ONE_CLIENT
    ),
    "inverter-no-answer": Template(
        "{where} accepts connections, and does not answer: {error}",
        "compare [[inverter]] unit with the unit id in the inverter's Modbus settings (71 as shipped)",
    ),
    "inverter-refuses": Template(
        "the inverter refuses to be read: {error}",
        "check that host and port belong to a PLENTICORE or PIKO IQ, and that its software is current",
    ),
    "inverter-byte-order": Template(
        "the inverter sends numbers in {found} byte order, the settings expect {expected}",
        'set byte_order = "auto" in inverter-reader.toml',
    ),
    "inverter-implausible": Template(
        "the inverter's numbers make no sense in any byte order (frequency {frequency} Hz)",
        "check that host and port belong to a PLENTICORE or PIKO IQ",
    ),
    "inverter-meter-kind": Template("the inverter is set to another energy meter: {kind}, not a KSEM", _SENSOR),
    "inverter-without-meter": Template(
        "the inverter believes that it has no meter: it shows 0 for all values", _WIRING
    ),
    "inverter-wrong-sign": Template(
        "the inverter believes {believed} W, {served} W were served: the sign is wrong",
        "set the sensor position to grid connection in the inverter's service menu; check that only one meter is on the"
        " line",
    ),
    "inverter-phases-swapped": Template(
        "the inverter believes the phases in another order: its L1, L2, L3 are the meter's {order}",
        "compare the order of the phases at meter and inverter",
    ),
    "inverter-other-power": Template(
        "the inverter believes {believed} W, {served} W were served ({percent} %)",
        "check that no other meter answers on the inverter's RS485 line, and the meter that is set in its menu",
    ),
    "inverter-stands-still": Template(
        "the inverter's values have not changed for {seconds} s, those that were served have",
        "see rtu-server's health for what the inverter requests; restart the inverter if it requests nothing",
    ),
    "inverter-lags": Template(
        "the inverter believes values that are {seconds} s old (0.5 s are usual)",
        "see the age of data and the turnaround in rtu-server's health; if they are small, the inverter itself is slow",
    ),
    "inverter-no-comparison": Template(
        "no values of meter {meter} arrive to compare with",
        "see the publisher's status and its [values] enabled, and compare [[inverter]] meter with the meter's id",
    ),
    "inverter-agrees": Template("the inverter believes what was served"),
    "inverter-comparing": Template("the inverter is read; the comparison with the meter has begun"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. In a message: `{"code":"inverter-lags","text":"...","remedy":"...","params":{}}`."""

    code: str
    text: str
    remedy: str = ""
    params: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, code: str, **params: object) -> "Reason":
        """The reason `code`. KeyError for a code or a parameter that TEMPLATES does not have."""
        texts = {name: str(value) for name, value in params.items()}
        template = TEMPLATES[code]
        return cls(code, template.text.format_map(texts), template.remedy.format_map(texts), tuple(texts.items()))

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            "code": self.code,
            "text": bounded_text(self.text),
            "remedy": bounded_text(self.remedy),
            "params": dict(self.params),
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "Reason":
        """From a message; a code that this version does not know is kept with its sentence."""
        params = fields.part("params") if "params" in fields.names() else None
        return cls(
            code=fields.token("code"),
            text=fields.text("text"),
            remedy=fields.text("remedy"),
            params=tuple((name, params.text(name)) for name in params.names()) if params else (),
        )


def find_reason(reasons: Iterable[Reason], *codes: str) -> Reason | None:
    """The first reason that has one of these codes."""
    return next((reason for reason in reasons if reason.code in codes), None)


def without(reasons: Iterable[Reason], *codes: str) -> tuple[Reason, ...]:
    """The reasons that have none of these codes."""
    return tuple(reason for reason in reasons if reason.code not in codes)


def sentence(reasons: Iterable[Reason]) -> str:
    """All reasons as one text: the field `why` beside them."""
    return "; ".join(map(str, reasons))
