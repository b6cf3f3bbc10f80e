"""docs/brokers.md: what each broker did in the tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROWS: Final = (
    ("version", "version tested"),
    ("mqtt", "newest MQTT version it took"),
    ("mqtt_refusal", "how it refuses MQTT 5"),
    ("exact", "retained message to an exact topic"),
    ("pattern", "retained message to a pattern"),
    ("kept", "retained messages after its restart"),
    ("copies", "one message, two subscriptions that match"),
    ("will", "last will, retained"),
    ("takeover", "same client id again: the first is cut off"),
    ("large", "a message of 65,536 bytes"),
    ("tls", "TLS with a client certificate"),
    ("chain", "the whole chain: good answers, none wrong or old"),
    ("server_restart", "first good answer after rtu-server's start"),
    ("broker_restart", "good answers again after the broker's restart, its own start included"),
    ("remarks", "to know"),
)

TEMPLATE: Final = Path(__file__).with_suffix(".md")


def render(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """The page; `facts` by broker and row."""
    names = list(facts)
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for key, text in ROWS:
        lines.append(f"| {text} | " + " | ".join(str(facts[name].get(key, "not tried")) or "" for name in names) + " |")
    return TEMPLATE.read_text().replace("<!-- table -->", "\n".join(lines))
