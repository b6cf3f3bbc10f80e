"""Runs all checks, in the order in which a fault travels: settings, meter, push, broker, port, inverter [core]."""

from airbridge.doctor.check_belief import check_belief
from airbridge.doctor.check_broker import check_broker
from airbridge.doctor.check_meter import check_meters
from airbridge.doctor.check_port import check_ports
from airbridge.doctor.check_services import (
    check_clocks,
    check_inverters,
    check_listened,
    check_publishers,
    check_versions,
)
from airbridge.doctor.check_settings import check_services, check_settings
from airbridge.doctor.facts import Facts, Finding


def examine(facts: Facts) -> list[Finding]:
    """Judge everything that was found."""
    checks = (
        check_settings,
        check_services,
        check_meters,
        check_broker,
        check_publishers,
        check_listened,
        check_ports,
        check_inverters,
        check_belief,
        check_versions,
        check_clocks,
    )
    return [finding for check in checks for finding in check(facts)]
