"""A healthy house for a long time: the inverter reader reports none of its faults.

`make healthy MINUTES=60` runs both houses for an hour; without MINUTES each takes a minute.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from ksem_contract.inverter_health import InverterHealth
from service_runtime.clock import boottime
from tests.bridge.service import Service
from tests.chain import Chain
from tests.faults.ear import Ear

MINUTES: Final = float(os.environ.get("MINUTES", "1"))
HEALTH: Final = "ksem/inverter/main/health"
FINE: Final = {"inverter-agrees", "inverter-comparing"}
HOUSES: Final = {
    # Clouds, an oven that heats for 55 of 90 s, a kettle, a battery that follows.
    "a day's moving power": (("--time-of-day", "12:01"), ()),
    # Nothing moves in what the inverter shows: its registers stand still all night.
    "a night's constant load": (("--time-of-day", "2:00", "--constant-load", "347"), ("--believes-beyond", "20")),
}


def settings(chain: Chain) -> str:
    return f"""
[mqtt]
host = "127.0.0.1"
port = {chain.broker.port}
[[inverter]]
host = "127.0.0.1"
port = {chain.inverter.modbus_port}
"""


@pytest.mark.slow
@pytest.mark.timeout(120 + 90 * MINUTES)
@pytest.mark.parametrize("house", HOUSES)
def test_no_fault_is_reported_of_a_healthy_inverter(house: str, tmp_path: Path) -> None:
    meter, inverter = HOUSES[house]
    served = ("--timeout", "0.15", "--modbus-port", "0", "--answer-after", "0.02", "0.5")
    with Chain(tmp_path, meter_options=meter, inverter_options=(*served, *inverter)) as chain:
        chain.start().await_well()
        with Ear(chain.broker.port) as probe, Service("inverter_reader", settings(chain), tmp_path) as reader:
            probe.await_last(HEALTH, is_comparing, 30)
            checked = len(probe.payloads(HEALTH))
            begun = boottime()
            while boottime() - begun < 60 * MINUTES:
                probe.await_next(HEALTH, 30)
                for payload in probe.payloads(HEALTH)[checked:]:
                    last = InverterHealth.decode(payload)
                    assert {reason.code for reason in last.reasons} <= FINE, f"{last}\n{reader.log_text()}"
                    checked += 1
        chain.assert_never()
    minutes = (boottime() - begun) / 60
    print(f"{house}: {minutes:.1f} minutes, {checked} messages, {last.reads} reads, {last.delay}")
    assert last.reads > 50 * MINUTES
    assert last.failures == 0


def is_comparing(payload: bytes) -> bool:
    return {reason.code for reason in InverterHealth.decode(payload).reasons} == {"inverter-agrees"}
