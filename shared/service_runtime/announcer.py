"""Announces a service's devices to Home Assistant: on each connection, and when Home Assistant starts."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_contract.home_assistant import Discovery, birth_topic, removal
from service_runtime.common_settings import HomeAssistantSettings
from service_runtime.mqtt_session import Incoming


class Link(Protocol):
    """`MqttLink`, or a stand-in."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool: ...


class Announcer:
    """With `discovery = false` it takes the devices away, in case an earlier start announced them."""

    def __init__(self, settings: HomeAssistantSettings, devices: Callable[[], Sequence[Discovery]]) -> None:
        self._settings = settings
        self._devices = devices
        self._due = False

    @property
    def subscriptions(self) -> list[str]:
        """The topics it needs."""
        return [birth_topic(self._settings.prefix)] if self._settings.discovery else []

    def again(self) -> None:
        """Announce with the next `tick`: the broker is new, or the devices have changed."""
        self._due = True

    def on_message(self, message: Incoming) -> bool:
        """Return whether the message was Home Assistant's, and note its birth."""
        if message.topic != birth_topic(self._settings.prefix):
            return False
        if message.payload == b"online":
            self._due = True
        return True

    def tick(self, link: Link) -> None:
        """Publish what is due; call it about once a second."""
        if not self._due:
            return
        self._due = False  # first: another thread may set it while we publish
        devices = self._devices()
        if not self._settings.discovery:
            devices = [removal(device) for device in devices]
        published = [link.publish(one.topic, one.payload, qos=1, retain=True) for one in devices]
        self._due = self._due or not all(published)
