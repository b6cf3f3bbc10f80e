"""Texts in messages can't steer the terminal that shows them."""

from ksem_contract.message_fields import printable


def test_control_characters_are_taken_out_of_texts_at_any_depth() -> None:
    found = printable({"why": "a\x1b[31mb\x9bc\u202ed\n", "units": [{"last": "\x07x"}], "n": 1, "k\x1b": None})
    assert found == {"why": "a[31mbcd", "units": [{"last": "x"}], "n": 1, "k": None}
