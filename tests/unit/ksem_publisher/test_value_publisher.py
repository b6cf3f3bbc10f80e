"""Decoded values: what stands in the JSON, and for how long."""

import json
from collections.abc import Sequence

import pytest

from ksem_contract.blocks import ENERGY, LIVE
from ksem_contract.topics import Topics
from ksem_publisher.block_publisher import Message
from ksem_publisher.value_publisher import COUNTERS_FOR, ValuePublisher


class Broker:
    def __init__(self) -> None:
        self.received: list[Message] = []

    def publish(self, messages: Sequence[Message]) -> bool:
        self.received += messages
        return True

    def newest_json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads([one[1] for one in self.received if one[0] == "ksem/main/values"][-1])
        return found


def energy_registers(tenths_of_wh: int) -> tuple[int, ...]:
    words = [0] * ENERGY.count
    words[2:4] = divmod(tenths_of_wh, 65536)  # 512-515: import, 64 bits
    return tuple(words)


def test_the_json_carries_the_newest_counters_while_they_are_young() -> None:
    broker, now = Broker(), 100.0
    values = ValuePublisher("main", Topics(), broker.publish, 1.0, lambda: now)
    broker.publish(values.live((0,) * LIVE.count, now))
    assert "energy_import" not in broker.newest_json()
    values.energy(energy_registers(12_345_678), now, now)
    broker.publish(values.live((0,) * LIVE.count, now))
    assert broker.newest_json()["energy_import"] == 1234.5678
    now += COUNTERS_FOR + 1
    broker.publish(values.live((0,) * LIVE.count, now))
    assert "energy_import" not in broker.newest_json()
    assert "power" in broker.newest_json()


@pytest.mark.promise(8)
def test_a_counter_that_steps_back_is_in_neither_the_json_nor_a_topic() -> None:
    broker, now = Broker(), 100.0
    values = ValuePublisher("main", Topics(), broker.publish, 1.0, lambda: now)
    values.energy(energy_registers(20_000), now, now)
    broker.received.clear()
    assert values.energy(energy_registers(10_000), now, now)
    broker.publish(values.live((0,) * LIVE.count, now))
    assert "energy_import" not in broker.newest_json()
    assert "energy_export" in broker.newest_json()
    assert "ksem/main/value/energy_import" not in [topic for topic, *_ in broker.received]
