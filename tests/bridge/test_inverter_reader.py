"""The whole chain with the inverter's own word: what is wrong with it is found, and reading it disturbs nobody."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ksem_contract.inverter_health import InverterHealth
from service_runtime.clock import boottime
from tests.bridge.doctor import Said, doctor
from tests.bridge.service import Service
from tests.chain import Chain
from tests.faults.ear import Ear

HEALTH = "ksem/inverter/main/health"
STATUS = "ksem/inverter/main/status"
VALUES = "ksem/inverter/main/values"
FINE = {"inverter-agrees", "inverter-comparing"}


class House:
    """A whole chain at noon, an inverter-reader beside it, and somebody who receives all of it."""

    def __init__(self, chain: Chain, reader: Service, probe: Ear) -> None:
        self.chain, self.reader, self.probe = chain, reader, probe

    def health(self) -> InverterHealth | None:
        last = [one for one in self.probe.received if one.topic == HEALTH]
        return InverterHealth.decode(last[-1].payload) if last else None

    def codes(self) -> set[str]:
        health = self.health()
        return {reason.code for reason in health.reasons} if health else set()

    def await_code(self, code: str, within: float) -> float:
        """Seconds until this reason was published."""
        begun = boottime()
        while code not in self.codes():
            assert boottime() - begun < within, f"{code} never came, but {self.codes()}\n{self.reader.log_text()}"
            time.sleep(0.1)
        return boottime() - begun

    def await_fine(self, within: float = 40.0) -> None:
        begun = boottime()
        while not self.codes() or not self.codes() <= FINE:
            assert boottime() - begun < within, f"{self.health()}\n{self.reader.log_text()}"
            time.sleep(0.1)

    def believe(self, **changes: Any) -> None:
        self.chain.inverter.command("believe", **changes)

    def modbus(self, **changes: Any) -> dict[str, Any]:
        return self.chain.inverter.command("modbus", **changes)


def settings(chain: Chain, more: str = "") -> str:
    return f"""
[mqtt]
host = "127.0.0.1"
port = {chain.broker.port}
[[inverter]]
host = "127.0.0.1"
port = {chain.inverter.modbus_port}
interval = 0.5
{more}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    slow = ("--modbus-port", "0", "--answer-after", "0.02", "0.3")
    with Chain(
        folder, meter_options=("--time-of-day", "12:10"), inverter_options=("--timeout", "0.15", *slow)
    ) as chain:
        chain.start()
        chain.await_well()
        with Ear(chain.broker.port) as probe, Service("inverter_reader", settings(chain), folder) as reader:
            yield House(chain, reader, probe)


@pytest.fixture(autouse=True)
def _healthy(house: House) -> None:
    house.believe(wrong_sign=False, swapped_phases=False, frozen=False, factor=1.0, kind=3, delay=0.4)
    house.modbus(on=True, order="little", one_client=False, answer_after=[0.02, 0.3])
    house.await_fine()


def test_believed_values_are_published_and_are_those_that_were_served(house: House) -> None:
    begun = len(house.probe.received)
    time.sleep(5)  # what is watched is time itself
    came = house.probe.received[begun:]
    believed = [json.loads(one.payload) for one in came if one.topic == VALUES]
    served = {json.loads(one.payload)["power"] for one in house.probe.received if one.topic == "ksem/main/values"}
    assert len(believed) >= 5
    for one in believed:
        assert min(abs(one["power"] - power) for power in served) < 0.2
        assert one["meter_kind"] == 3
        assert one["power_limit"] == 100.0
        assert one["energy_manager"] == 0
    assert not any(one.retained for one in came if one.topic == VALUES)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"wrong_sign": True}, "inverter-wrong-sign"),
        ({"swapped_phases": True}, "inverter-phases-swapped"),
        ({"factor": 1.05}, "inverter-other-power"),
        ({"kind": 0}, "inverter-meter-kind"),
        ({"frozen": True}, "inverter-stands-still"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.slow
def test_each_fault_is_found_within_a_minute_in_words_with_a_remedy(
    house: House, fault: dict[str, Any], code: str
) -> None:
    house.believe(**fault)
    assert house.await_code(code, 60) < 60
    health = house.health()
    assert health is not None
    assert [reason.code for reason in health.reasons] == [code]
    assert health.reasons[0].text
    assert health.reasons[0].remedy


@pytest.mark.slow
def test_a_delay_of_three_seconds_is_found(house: House) -> None:
    house.believe(delay=3.0)
    house.await_code("inverter-lags", 300)
    house.believe(delay=0.4)


def test_a_wrong_meter_is_named_within_seconds(house: House) -> None:
    house.believe(kind=255)
    house.await_code("inverter-meter-kind", 20)


def test_modbus_switched_off_is_named_and_its_return_noticed(house: House) -> None:
    house.modbus(on=False)
    house.await_code("inverter-modbus-off", 10)
    house.probe.await_last(STATUS, b"offline", 5)
    house.modbus(on=True)
    house.await_fine(15)
    house.probe.await_last(STATUS, b"online", 5)


def test_both_byte_orders_are_read(house: House) -> None:
    house.modbus(order="big")
    time.sleep(3)  # what is watched is time itself
    house.await_fine(15)
    health = house.health()
    assert health is not None
    assert health.believed_w is not None


def test_the_reader_never_has_two_requests_open_and_never_writes(house: House) -> None:
    counts = house.modbus(answer_after=[0.3, 0.5])
    time.sleep(3)  # what is watched is time itself
    after = house.modbus()
    assert after["requests"] > counts["requests"]
    assert after["most_open"] == 1
    assert after["writes"] == 0
    assert after["connections"] == counts["connections"]


def test_the_reader_takes_less_than_40_mb(house: House) -> None:
    status = Path(f"/proc/{house.reader.pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert rss <= 40 * 1024


def test_shared_it_leaves_the_only_connection_to_others(house: House, tmp_path: Path) -> None:
    house.reader.freeze()
    try:
        house.modbus(on=False)
        house.modbus(on=True, one_client=True)
        more = settings(house.chain, 'id = "second"\nshare = true')
        with Service("inverter_reader", more, tmp_path) as second:
            second.await_log("inverter second: the inverter is read")
            before = house.modbus()["connections"]
            deadline = boottime() + 15
            while house.modbus()["connections"] < before + 4:
                assert boottime() < deadline, second.log_text()
                time.sleep(0.05)
    finally:
        house.reader.thaw()


def test_stopped_its_status_is_offline_and_the_inverter_still_gets_data(house: House) -> None:
    house.reader.stop()
    house.probe.await_last(STATUS, b"offline", 5)
    house.chain.await_good(10)
    house.chain.assert_never()
    house.reader.start()
    house.await_fine(30)


def look(house: House, *options: str) -> Said:
    broker = f"127.0.0.1:{house.chain.broker.port}"
    return doctor("--broker", broker, "--inverter", f"127.0.0.1:{house.chain.inverter.modbus_port}", *options)


@pytest.mark.slow
def test_the_doctor_compares_without_a_service(house: House) -> None:
    written = look(house)
    texts = [one["text"] for one in written.findings if one["check"] == "belief"]
    assert written.states("belief") == {"ok"}, written.stdout
    assert any(text.startswith("believes ") and "measured last" in text for text in texts)
    assert "it believes what was measured" in texts
    house.believe(wrong_sign=True)
    look(house).assert_found("belief", "the sign is wrong", "sensor position")


def test_the_doctor_names_an_inverter_whose_modbus_is_off(house: House) -> None:
    house.modbus(on=False)
    look(house).assert_found("belief", "Modbus is switched off", "web page")


def test_home_assistant_finds_a_device_of_its_own(house: House) -> None:
    topic = next(
        one.topic for one in house.probe.received if one.topic.startswith("homeassistant/device/ksem_inverter/")
    )
    device = json.loads(house.probe.last(topic) or b"{}")
    assert device["device"]["via_device"] == "airbridge_ksem_main"
    assert device["components"]["believed_power"]["state_topic"] == VALUES
    assert device["components"]["read"]["state_topic"] == STATUS
    assert device["components"]["why"]["state_topic"] == HEALTH
