"""No reason lacks its German words."""

import string

import pytest

from ksem_contract.reason_catalogue import ENGLISH, Template
from ksem_contract.reason_german import GERMAN
from ksem_contract.reasons import Reason


def names(template: Template) -> list[set[str]]:
    return [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in template]


def test_both_languages_know_the_same_codes() -> None:
    assert set(GERMAN) == set(ENGLISH)


@pytest.mark.parametrize("code", ENGLISH)
def test_each_sentence_has_its_parameters_and_a_remedy_where_the_english_one_has(code: str) -> None:
    ours, theirs = GERMAN[code], ENGLISH[code]
    assert set.union(*names(ours)) == set.union(*names(theirs))
    assert bool(ours.remedy) == bool(theirs.remedy)
    assert bool(ours.meaning) == bool(theirs.meaning)
    assert not ours.text.endswith(".")
    assert not ours.remedy.endswith(".")


def test_a_reason_is_shown_in_german_with_what_it_was_made_with() -> None:
    reason = Reason.of("port-missing", port="/dev/ttyUSB0").by(GERMAN)
    assert reason.text == "/dev/ttyUSB0: diese Schnittstelle gibt es nicht"
    assert reason.remedy.startswith("stecke den Adapter ein")
