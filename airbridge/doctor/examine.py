"""Runs all checks, and renders what they found as text for people and as JSON [core].

The checks run in the order in which a fault travels: settings, meter, push, broker, port, inverter.
"""

import json
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from airbridge.doctor.check_broker import check_broker
from airbridge.doctor.check_inverter import check_belief, check_inverters, check_ports
from airbridge.doctor.check_meter import check_meters
from airbridge.doctor.check_services import (
    check_clocks,
    check_listened,
    check_publishers,
    check_versions,
)
from airbridge.doctor.check_settings import check_services, check_settings
from airbridge.doctor.facts import Facts, Finding, State, count, is_well


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


_MARKS: Final[dict[State, tuple[str, str]]] = {
    "ok": ("ok   ", "green"),
    "note": ("note ", "cyan"),
    "warn": ("mind ", "yellow"),
    "wrong": ("WRONG", "bold red"),
}


def report(findings: Sequence[Finding]) -> Text:
    """One line a check, the remedy below what is not well, and what it comes to."""
    text = Text()
    for finding in findings:
        mark, style = _MARKS[finding.state]
        text.append(mark, style)
        text.append(f"  {finding.check:<9} ", "dim")
        text.append(f"{finding.about}: ", "bold")
        text.append(f"{finding.text}\n")
        if finding.remedy and finding.state != "ok":
            text.append(f"{'':16} -> {finding.remedy}\n", "italic")
    text.append("\n")
    text.append(*_summary(findings))
    return text


def _summary(findings: Sequence[Finding]) -> tuple[str, str]:
    wrong, mind = count(findings, "wrong"), count(findings, "warn")
    better = f"; {mind} could be better" if mind else ""
    if not is_well(findings):
        return (
            f"{wrong} of {len(findings)} lines are wrong{better}. Begin with the first: others often follow from it.",
            "red",
        )
    return f"All is well ({len(findings)} lines){better}.", "green"


def as_json(findings: Sequence[Finding], version: str, time: str) -> str:
    """`{"v":1,"version","time","well":true,"findings":[{"check","about","state","text","remedy"}]}`."""
    listed = [
        {
            "check": one.check,
            "about": one.about,
            "state": one.state,
            "text": one.text,
            "remedy": one.remedy,
        }
        for one in findings
    ]
    message = {"v": 1, "version": version, "time": time, "well": is_well(findings), "findings": listed}
    return json.dumps(message, indent=2, ensure_ascii=False)
