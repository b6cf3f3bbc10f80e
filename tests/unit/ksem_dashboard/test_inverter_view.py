"""The page shows what the inverter believes, and says when that is wrong, with the remedy."""

import pytest

from ksem_contract.reasons import Reason
from ksem_dashboard.chain import chains
from ksem_dashboard.faults import find_faults, judge
from ksem_dashboard.report import report

from .house import House

WRONG_SIGN = Reason.of("inverter-wrong-sign", believed=347, served=-351)


def last_part(house: House) -> tuple[str, str]:
    (chain,) = chains(house.state, house.state.meters["main"], house.now)
    return chain.parts[-1].condition, chain.parts[-1].text


def test_the_chains_end_shows_what_the_inverter_believes_and_how_far_it_is_behind() -> None:
    house = House().run_well()
    assert last_part(house) == ("up", "gets data")
    house.inverter()
    assert last_part(house) == ("up", "believes -347 W, 0.9 s behind")
    assert find_faults(house.state, house.now) == []
    house.pass_time(6)
    assert last_part(house) == ("up", "gets data"), "what was read 6 s ago is not shown as the present"


@pytest.mark.parametrize(
    ("reason", "severity"),
    [
        (WRONG_SIGN, "bad"),
        (Reason.of("inverter-phases-swapped", order="L2, L3, L1"), "bad"),
        (Reason.of("inverter-other-power", believed=105, served=100, percent="+5.0"), "bad"),
        (Reason.of("inverter-stands-still", seconds=20), "bad"),
        (Reason.of("inverter-lags", seconds="3.1"), "warn"),
        (Reason.of("inverter-meter-kind", kind="SDM 630"), "warn"),
        (Reason.of("inverter-modbus-off", where="192.0.2.60:1502", error="refused"), "warn"),
    ],
)
def test_each_reason_is_a_fault_with_its_remedy(reason: Reason, severity: str) -> None:
    house = House().run_well()
    house.inverter(state="down", reasons=(reason,))
    (fault,) = find_faults(house.state, house.now)
    assert (fault.severity, fault.where) == (severity, "inverter roof")
    assert fault.text.lower().startswith(reason.text[:20].lower())
    assert fault.remedy
    assert last_part(house)[0] == "warned"
    assert judge(house.state, [fault]).state == severity


def test_a_reader_that_has_ended_is_named_and_its_last_report_is_no_news() -> None:
    house = House().run_well()
    house.inverter(state="down", reasons=(WRONG_SIGN,))
    house.inverter(b"offline", state="down", reasons=(WRONG_SIGN,))
    house.pass_time(40)
    house.health()
    house.node()
    (fault,) = find_faults(house.state, house.now)
    assert "inverter-reader" in fault.remedy
    assert fault.severity == "warn"


def test_the_state_as_json_has_it() -> None:
    house = House().run_well()
    house.inverter()
    found = report(house.state, house.now)["inverters"]["roof"]
    assert found["believed_w"] == -347.0
    assert found["delay"]["p50_ms"] == 900
    assert found["reasons"] == []


def test_an_inverter_that_the_broker_forgot_is_forgotten() -> None:
    house = House().run_well()
    house.inverter()
    house.receive("ksem/inverter/roof/status", b"")
    assert not house.state.inverters
