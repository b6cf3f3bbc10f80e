"""Home Assistant's rules on when a device is announced and taken away.

From its documentation of MQTT, "birth and last will messages" and "discovery messages and availability".
"""

from ksem_contract.home_assistant import Discovery
from service_runtime.announcer import Announcer
from service_runtime.common_settings import HomeAssistantSettings
from service_runtime.mqtt_session import Incoming

DEVICE = Discovery("homeassistant/device/ksem_publisher/airbridge_ksem_main/config", b"{}")


class Broker:
    def __init__(self) -> None:
        self.received: list[tuple[str, bytes, int, bool]] = []
        self.takes = True

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        self.received.append((topic, payload, qos, retain))
        return self.takes


def announcer(*, discovery: bool = True) -> Announcer:
    return Announcer(HomeAssistantSettings(discovery=discovery), lambda: [DEVICE])


def incoming(payload: bytes, topic: str = "homeassistant/status") -> Incoming:
    return Incoming(topic=topic, payload=payload, retained=False, received=0.0)


def test_a_device_is_announced_retained_on_each_connection() -> None:
    broker, one = Broker(), announcer()
    one.again()
    one.tick(broker)
    one.tick(broker)
    assert broker.received == [(DEVICE.topic, DEVICE.payload, 1, True)]
    one.again()
    one.tick(broker)
    assert len(broker.received) == 2


def test_it_is_announced_again_on_home_assistants_birth_and_not_on_its_death() -> None:
    broker, one = Broker(), announcer()
    assert one.subscriptions == ["homeassistant/status"]
    assert one.on_message(incoming(b"offline"))
    one.tick(broker)
    assert broker.received == []
    assert one.on_message(incoming(b"online"))
    one.tick(broker)
    assert [topic for topic, *_ in broker.received] == [DEVICE.topic]
    assert not one.on_message(incoming(b"online", "ksem/main/status"))


def test_what_the_link_did_not_take_is_announced_with_the_next_tick() -> None:
    broker, one = Broker(), announcer()
    broker.takes = False
    one.again()
    one.tick(broker)
    broker.takes = True
    one.tick(broker)
    one.tick(broker)
    assert len(broker.received) == 2


def test_without_discovery_an_empty_retained_message_takes_the_device_away() -> None:
    broker, one = Broker(), announcer(discovery=False)
    assert one.subscriptions == []
    one.again()
    one.tick(broker)
    assert broker.received == [(DEVICE.topic, b"", 1, True)]
