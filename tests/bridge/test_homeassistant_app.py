"""Home Assistant's app as a process, beside a stand-in of the Supervisor, a real broker, a meter and an inverter."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.bridge.broker import Broker
from tests.bridge.odd_meter import OddMeter
from tests.bridge.setup_bench import Line
from tests.bridge.supervisor_stand_in import Supervisor, await_true

SERVICES = {"ksem-publisher", "rtu-server", "ksem-dashboard"}


class House:
    """All of it. The app's services are up."""

    def __init__(self, supervisor: Supervisor, broker: Broker, meter: OddMeter, line: Line) -> None:
        self.supervisor, self.broker, self.meter, self.line = supervisor, broker, meter, line

    def set_options(self, **more: object) -> None:
        """The options, with these changes."""
        settings = {"meter.0.port": self.meter.port, **more.pop("settings", {})}  # type: ignore[dict-item]
        options = {"meter_host": "127.0.0.1", "serial_port": self.line.path, "log_level": "info", **more}
        self.supervisor.set_options(**options, settings=settings)

    def state(self) -> dict[str, object]:
        """What the page knows, through the ingress."""
        code, text = self.supervisor.ingress("/state.json")
        return dict(json.loads(text)) if code == 200 else {}

    def data_flows(self) -> bool:
        """Whether the meter's values are on the page."""
        return '"flows": true' in json.dumps(self.state()) or '"status": "online"' in json.dumps(self.state())


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder, users={"addons": "secret"}).start()
    with Supervisor(tmp_path) as supervisor, OddMeter() as meter, Line() as line:
        house = House(supervisor, broker, meter, line)
        supervisor.mqtt = {"host": "127.0.0.1", "port": broker.port, "username": "addons", "password": "secret"}
        house.set_options()
        supervisor.start_app()
        await_true(lambda: set(supervisor.processes()) == SERVICES, supervisor.log_text)
        yield house
    broker.stop()


def test_the_meters_data_flows_and_the_page_works_below_the_ingress_path(house: House) -> None:
    await_true(house.data_flows, house.supervisor.log_text)
    code, page = house.supervisor.ingress()
    assert code == 200
    assert 'src="page.js"' in page  # relative: the browser asks below the ingress path
    assert house.supervisor.ingress("/page.js")[0] == 200
    assert house.supervisor.watchdog() == 200
    assert "secret" not in house.supervisor.log_text()


def test_each_service_that_is_killed_is_back_within_five_seconds(house: House) -> None:
    for service in sorted(SERVICES):
        before = house.supervisor.kill(service)
        took = await_true(partial(_is_back, house, service, before), house.supervisor.log_text)
        assert took < 5, service
    await_true(lambda: house.supervisor.watchdog() == 200, house.supervisor.log_text)


def _is_back(house: House, service: str, before: int) -> bool:
    return house.supervisor.processes().get(service, before) != before


def test_changed_options_are_applied_and_only_what_they_concern_starts_anew(house: House) -> None:
    before = house.supervisor.processes()
    house.set_options(on_stale="silent")
    await_true(
        partial(_is_back, house, "rtu-server", before["rtu-server"]),
        house.supervisor.log_text,
    )
    after = house.supervisor.processes()
    assert after["ksem-publisher"] == before["ksem-publisher"]
    assert after["ksem-dashboard"] == before["ksem-dashboard"]


def test_options_that_a_service_refuses_change_nothing_and_are_named(house: House) -> None:
    before = house.supervisor.processes()
    house.set_options(settings={"poll.live": "-1"})
    await_true(lambda: "AIRBRIDGE_POLL__LIVE" in house.supervisor.log_text(), house.supervisor.log_text)
    assert house.supervisor.processes()["ksem-publisher"] == before["ksem-publisher"]


def test_an_adapter_that_is_taken_out_of_the_options_ends_the_inverters_side(house: House) -> None:
    house.set_options(serial_port="")
    await_true(lambda: set(house.supervisor.processes()) == SERVICES - {"rtu-server"}, house.supervisor.log_text)
    await_true(lambda: house.supervisor.watchdog() == 200, house.supervisor.log_text)


def test_without_a_broker_the_remedy_is_logged_once_and_the_app_waits(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.set_options(meter_host="127.0.0.1")
        supervisor.start_app()
        await_true(lambda: "Mosquitto broker" in supervisor.log_text(), supervisor.log_text)
        await_true(lambda: supervisor.watchdog() == 200, supervisor.log_text)
        assert supervisor.log_text().count("Mosquitto broker") == 1
