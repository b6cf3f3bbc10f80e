"""Tests one login at a broker [shell]."""

import logging
import secrets
import threading
from typing import Final

from airbridge.setup.steps import BrokerAnswer
from ksem_contract.reasons import Reason, find_reason, sentence
from service_runtime import mqtt_reasons
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink

LOGIN_PATIENCE: Final = 8.0
"""Seconds until it is clear whether a login works: each step of the link's own gives up after 2."""
_log: Final = logging.getLogger("airbridge.setup")


def log_in(mqtt: MqttSettings) -> BrokerAnswer:
    """Connect once, subscribe, and leave."""
    answers: list[tuple[bool, tuple[Reason, ...]]] = []
    settled = threading.Event()

    def on_link(up: bool, reasons: tuple[Reason, ...]) -> None:
        answers.append((up, reasons))
        settled.set()

    _log.addHandler(logging.NullHandler())
    _log.propagate = False  # the screen shows the reason
    link = MqttLink(
        mqtt,
        client_id=f"airbridge-setup-{secrets.token_hex(8)}",
        will=None,
        subscriptions=[f"{mqtt.prefix}/+/status"],
        on_message=lambda _: None,
        on_link=on_link,
        log=_log,
    )
    link.start()
    try:
        settled.wait(LOGIN_PATIENCE)
    finally:
        link.stop()
    up, reasons = answers[0] if answers else (False, (mqtt_reasons.no_answer(mqtt),))
    if up:
        return BrokerAnswer("up")
    return BrokerAnswer("login" if find_reason(reasons, "broker-login") else "down", sentence(reasons))
