"""One login at a broker [shell]."""

import logging
import secrets
import threading
from typing import Final

from airbridge.setup.steps import BrokerAnswer
from service_runtime import mqtt_reasons
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink

PATIENCE: Final = 8.0
"""Seconds until it is clear whether a login works: each step of the link's own gives up after 2."""
_REFUSED: Final = (0x86, 0x87)
"""MQTT 5's reason codes of a wrong name or password; mosquitto 2.0 sends the second one (not authorised)."""
_log: Final = logging.getLogger("airbridge.setup")


def log_in(mqtt: MqttSettings) -> BrokerAnswer:
    """Connect once, subscribe, and leave."""
    answers: list[tuple[bool, str]] = []
    settled = threading.Event()

    def on_link(up: bool, why: str) -> None:
        answers.append((up, why))
        settled.set()

    _log.addHandler(logging.NullHandler())
    _log.propagate = False  # the screen shows the reason
    client_id = f"airbridge-setup-{secrets.token_hex(8)}"
    link = MqttLink(
        mqtt,
        client_id=client_id,
        will=None,
        subscriptions=[f"{mqtt.prefix}/+/status"],
        on_message=lambda _: None,
        on_link=on_link,
        log=_log,
    )
    link.start()
    try:
        settled.wait(PATIENCE)
    finally:
        link.stop()
    up, why = answers[0] if answers else (False, mqtt_reasons.no_answer(mqtt))
    if up:
        return BrokerAnswer("up")
    refusals = {mqtt_reasons.refusal(code, mqtt, client_id) for code in _REFUSED}
    return BrokerAnswer("login" if why in refusals else "down", why)
