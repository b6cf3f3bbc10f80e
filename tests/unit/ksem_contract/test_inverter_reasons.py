"""The words of each reason: a fragment, and a remedy for whatever is wrong."""

import string

import pytest

from ksem_contract.checks import check_token
from ksem_contract.fields import Fields
from ksem_contract.inverter_reasons import TEMPLATES, Reason, sentence

WELL = {"inverter-agrees", "inverter-comparing", "inverter-starting"}


def params(code: str) -> dict[str, str]:
    template = TEMPLATES[code]
    names = [name for text in template for _, name, _, _ in string.Formatter().parse(text) if name]
    return dict.fromkeys(names, "x")


@pytest.mark.parametrize("code", TEMPLATES)
def test_a_reason_is_a_fragment_with_a_remedy_and_survives_the_way_out_and_back(code: str) -> None:
    reason = Reason.of(code, **params(code))
    assert check_token("code", code) == code
    assert not reason.text.endswith(".")
    assert not reason.remedy.endswith(".")
    assert bool(reason.remedy) == (code not in WELL)
    assert Reason.from_json(Fields(reason.to_json())) == reason


def test_a_code_of_a_later_version_keeps_its_sentence() -> None:
    found = Reason.from_json(Fields({"code": "new-code", "text": "something new", "remedy": "see the manual"}))
    assert sentence([found]) == "something new: see the manual"
