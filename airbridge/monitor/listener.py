"""Brings the broker's messages into the state that the dashboard shows, too [shell]."""

import logging
import secrets
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Final, Self

from ksem_contract.reasons import Reason
from ksem_dashboard.picture import BridgeState
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

_log: Final = logging.getLogger("airbridge.monitor")


class Listener:
    """Fills `state` from the broker; `take_in` is called by whoever shows it."""

    def __init__(self, mqtt: MqttSettings, state: BridgeState) -> None:
        self._picture = state
        self._news: SimpleQueue[Incoming | tuple[bool, tuple[Reason, ...]]] = SimpleQueue()
        _log.addHandler(logging.NullHandler())
        _log.propagate = False  # the screen shows the link; log lines would tear it
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-monitor-{secrets.token_hex(4)}",
            will=None,
            subscriptions=state.subscriptions,
            on_message=self._news.put,
            on_link=lambda up, reasons: self._news.put((up, reasons)),
            log=_log,
        )

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._link.stop()

    def take_in(self, patience: float) -> None:
        """Take in what has come; wait so long for the first of it."""
        until = boottime() + patience
        while True:
            try:
                one = self._news.get(timeout=max(0.0, until - boottime()))
            except Empty:
                return
            if isinstance(one, Incoming):
                self._picture.on_message(
                    one.topic,
                    one.payload,
                    retained=one.retained,
                    now=one.received,
                    local=datetime.now().astimezone(),
                )
            else:
                self._picture.on_link(*one, boottime())
