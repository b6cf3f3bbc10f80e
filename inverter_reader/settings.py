"""Settings of the inverter reader, read from inverter-reader.toml."""

from collections import Counter
from typing import Literal, cast

import attrs

from ksem_contract.topics import is_node
from service_runtime.common_settings import HomeAssistantSettings, MqttSettings
from service_runtime.setting import between, name, not_empty, one_of, port, setting


@attrs.frozen(kw_only=True)
class InverterSettings:
    """A table [[inverter]]: one inverter's own Modbus TCP server."""

    id: str = setting(default="main", help="the inverter's name in topics", allowed=name())
    host: str = setting(help="the inverter's address or host name", allowed=not_empty())
    port: int = setting(default=1502, help="its Modbus TCP port, as set in its web page", allowed=port())
    unit: int = setting(default=71, help="its Modbus unit id, as set in its web page", allowed=between(1, 255))
    byte_order: str = setting(
        default="auto",
        help="order of its 32-bit numbers: little (CDAB, as shipped), big (ABCD), or auto: as it sends them",
        allowed=one_of("auto", "little", "big"),
    )
    interval: float = setting(default=1.0, help="seconds between two reads", allowed=between(0.5, 60, "seconds"))
    timeout: float = setting(default=2.0, help="seconds to wait for an answer", allowed=between(0.5, 5, "seconds"))
    meter: str = setting(default="main", help="id of the meter whose values it gets", allowed=name())
    share: bool = setting(
        default=False,
        help="close the connection after each read, where another system (evcc, openWB) wants the inverter's only one",
    )

    @property
    def order(self) -> Literal["auto", "little", "big"]:
        """`byte_order`, typed."""
        return cast("Literal['auto', 'little', 'big']", self.byte_order)

    def __attrs_post_init__(self) -> None:
        if not is_node(self.id):
            raise ValueError(f'id: an inverter is not called "{self.id}", topics of a meter have such a level')


@attrs.frozen(kw_only=True)
class InverterReaderSettings:
    """All of inverter-reader.toml."""

    inverter: tuple[InverterSettings, ...] = setting(help="the inverters", allowed=not_empty())
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
    homeassistant: HomeAssistantSettings = setting(factory=HomeAssistantSettings, help="device discovery")

    def __attrs_post_init__(self) -> None:
        twice = [key for key, count in Counter(one.id for one in self.inverter).items() if count > 1]
        if twice:
            raise ValueError(f"inverter: each id once, {', '.join(twice)} is there twice")
