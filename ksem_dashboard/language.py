"""Texts in the reader's language: English as it stands in the code, German by tables [core].

What services report comes as reasons with codes (`ksem_contract.reasons`). The dashboard's own texts are looked up by
their English words, as gettext does; a test holds that no text lacks its German.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ksem_contract.reason_catalogue import Template
from ksem_contract.reason_german import GERMAN as GERMAN_REASONS
from ksem_contract.reasons import Reason

_TEXTS: Final[Mapping[str, str]] = {
    # faults
    "meter {meter}": "Zähler {meter}",
    "RTU server {node}": "RTU-Server {node}",
    "inverter {inverter}": "Wechselrichter {inverter}",
    "broker": "Broker",
    "publisher": "Publisher",
    "inverter": "Wechselrichter",
    "Connecting.": "Verbindet sich.",
    "No link to the broker.": "Keine Verbindung zum Broker.",
    "No link to the broker": "Keine Verbindung zum Broker",
    "No inverter is served yet.": "Noch wird kein Wechselrichter bedient.",
    "No data from the meter.": "Keine Daten vom Zähler.",
    "No data from meter {meter}.": "Keine Daten vom Zähler {meter}.",
    "Meter {meter} gives no live data": "Der Zähler {meter} liefert keine Live-Daten",
    "The inverter gets no data.": "Der Wechselrichter bekommt keine Daten.",
    "The inverter at {node} gets no data": "Der Wechselrichter an {node} bekommt keine Daten",
    "Line {line}": "Leitung {line}",
    "Modbus TCP server {line}": "Modbus-TCP-Server {line}",
    "Once its cause is gone, data flows again by itself.": (
        "Sobald die Ursache weg ist, kommen die Daten von selbst wieder."
    ),
    "See the log: journalctl -u ksem-publisher": "Sieh ins Log: journalctl -u ksem-publisher",
    "{text} (since {since} UTC)": "{text} (seit {since} UTC)",
    # the verdict
    "The inverter gets fresh data": "Der Wechselrichter bekommt aktuelle Daten",
    "The meter's data flows": "Die Daten des Zählers kommen an",
    "{verdict}, but something is missing.": "{verdict}, aber etwas fehlt.",
    "All is well. {verdict}.": "Alles in Ordnung. {verdict}.",
    # the chain
    "meter": "Zähler",
    "measures": "misst",
    "no data": "keine Daten",
    "runs": "läuft",
    "has no data": "hat keine Daten",
    "does not run": "läuft nicht",
    "connecting": "verbindet sich",
    "connected": "verbunden",
    "away": "nicht da",
    "waits": "wartet",
    "has no port": "hat keine Schnittstelle",
    "gets data": "bekommt Daten",
    "gets no data": "bekommt keine Daten",
    "does not ask": "fragt nicht an",
    "old": "alt",
    "round trip": "hin und zurück",
    "seen {seconds} s ago": "vor {seconds} s gesehen",
    "seen {minutes} min ago": "vor {minutes} min gesehen",
    "seen {hours} h ago": "vor {hours} h gesehen",
    "believes {power} W": "rechnet mit {power} W",
    "believes {power} W, {seconds} s behind": "rechnet mit {power} W, {seconds} s zurück",
}


@dataclass(frozen=True, slots=True)
class Language:
    """How texts are shown. `tag` as in HTML: `en`, `de`."""

    tag: str
    texts: Mapping[str, str]
    reasons: Mapping[str, Template]

    def text(self, english: str, **params: object) -> str:
        """The text in this language, with its parameters; in English where there is no translation."""
        return self.texts.get(english, english).format(**params)

    def reason(self, reason: Reason) -> Reason:
        """The reason in this language; a code that is not known here keeps its words."""
        return reason.by(self.reasons)


ENGLISH: Final = Language("en", {}, {})
GERMAN: Final = Language("de", MappingProxyType(dict(_TEXTS)), GERMAN_REASONS)


def language_of(tag: str) -> Language:
    """The language of a tag such as `de` or `de-AT`; English for all that is not German."""
    return GERMAN if tag.lower().partition("-")[0] == "de" else ENGLISH
