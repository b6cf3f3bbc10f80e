"""The page in German: no text of the dashboard's own lacks its words."""

import ast
import string
from dataclasses import replace
from pathlib import Path

import pytest

from ksem_contract.reasons import Reason
from ksem_dashboard.chain import chains
from ksem_dashboard.faults import find_faults, judge
from ksem_dashboard.language import ENGLISH, GERMAN, language_of
from tests.unit.ksem_dashboard.house import TCP_UNIT, House, port_down

PACKAGE = Path(__file__).resolve().parents[3] / "ksem_dashboard"


def texts_in(path: Path) -> set[str]:
    """What is handed to `text(...)`: a literal, or one of two."""
    found = set()
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("text", "_text"):
            for node in ast.walk(call.args[0]) if call.args else ():
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


@pytest.mark.parametrize("name", ["faults.py", "chain.py", "views.py"])
def test_each_text_of_the_code_has_its_german(name: str) -> None:
    found = texts_in(PACKAGE / name)
    assert found
    assert found <= set(GERMAN.texts)


def test_a_translation_has_the_parameters_of_its_english() -> None:
    for english, german in GERMAN.texts.items():
        names = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, german)]
        assert names[0] == names[1], english


def test_each_fixed_text_of_the_chain_has_its_german() -> None:
    tree = ast.parse((PACKAGE / "chain.py").read_text(encoding="utf-8"))
    parts = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Part"]
    shown = {
        node.value
        for call in parts
        for argument in call.args[3:4]
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    }
    assert len(shown) > 5
    assert shown <= set(GERMAN.texts)


@pytest.mark.parametrize(
    ("tag", "language"), [("de", GERMAN), ("de-AT", GERMAN), ("DE", GERMAN), ("fr", ENGLISH), ("", ENGLISH)]
)
def test_a_browsers_tag_chooses_the_language(tag: str, language: object) -> None:
    assert language_of(tag) is language


def test_a_fault_its_remedy_and_the_verdict_are_german() -> None:
    house = House().run_well()
    port = port_down(Reason.of("tcp-port-closed", address="0.0.0.0:1502", error="in use"))
    house.node(tcp=(replace(TCP_UNIT, port=port, state="down"),))
    faults = find_faults(house.state, house.now, GERMAN)
    assert [fault.text for fault in faults] == [
        "Modbus-TCP-Server readers: auf 0.0.0.0:1502 kann nicht gehorcht werden: in use."
    ]
    assert faults[0].remedy.startswith("Korrigiere listen und port")
    assert faults[0].code == "tcp-port-closed"
    assert judge(house.state, faults, GERMAN).text == "Der Wechselrichter bekommt aktuelle Daten, aber etwas fehlt."


def test_the_chain_is_german() -> None:
    house = House().run_well()
    (chain,) = chains(house.state, house.state.meters["main"], house.now, GERMAN)
    assert [part.text for part in chain.parts][:3] == ["misst", "läuft", "verbunden"]
    assert chain.parts[0].name == "Zähler"
