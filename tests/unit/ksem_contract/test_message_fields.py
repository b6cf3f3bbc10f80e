"""A field's type is its codec: what is written is read again; what does not fit is named by its way from the top."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from ksem_contract.declared import FLAT, OMITTED, Declared, Moment, Rule, Token
from ksem_contract.message_fields import MAX_TEXT, Fields, InvalidMessage
from ksem_contract.registers import RegisterRange


@dataclass(frozen=True, slots=True)
class Inner(Declared):
    word: str
    since: Moment


@dataclass(frozen=True, slots=True)
class Outer(Declared):
    session: Token
    count: int
    rate: float | None
    well: bool
    kind: Literal["a", "b"] | None
    beside: Annotated[Inner, FLAT]
    parts: tuple[Inner, ...]
    groups: tuple[RegisterRange, ...]
    by_name: Mapping[str, int]
    few: Annotated[tuple[int, ...], Rule(shorten=lambda values: values[:2])] = ()
    later: Annotated[int, OMITTED] = 0


WHEN = "2026-11-22T10:00:00.000Z"
INNER = Inner("word", WHEN)
MESSAGE = Outer("aaaa", 3, None, True, "b", INNER, (INNER, INNER), (RegisterRange(0, 28),), {"x": 1}, (1, 2))
WRITTEN = {
    "session": "aaaa",
    "count": 3,
    "rate": None,
    "well": True,
    "kind": "b",
    "word": "word",
    "since": WHEN,
    "parts": [{"word": "word", "since": WHEN}] * 2,
    "groups": [[0, 27]],
    "by_name": {"x": 1},
    "few": [1, 2],
}


def test_a_message_is_written_and_read_by_the_types_of_its_fields() -> None:
    assert MESSAGE.to_json() == WRITTEN
    assert Outer.from_json(Fields(WRITTEN)) == MESSAGE


def test_a_field_with_a_default_may_be_missing_and_one_that_is_omitted_is_written_once_it_differs() -> None:
    shorter = {name: value for name, value in WRITTEN.items() if name != "few"}
    assert Outer.from_json(Fields(shorter)).few == ()
    assert Outer.from_json(Fields(WRITTEN | {"later": 7})).to_json()["later"] == 7


def test_what_is_too_much_is_shortened_before_it_is_written() -> None:
    long = Outer("aaaa", 3, 1.5, False, None, Inner("w" * 5000, WHEN), (), (), {}, (1, 2, 3, 4))
    written = long.to_json()
    assert (len(written["word"]), written["few"]) == (MAX_TEXT, [1, 2])


@pytest.mark.parametrize(
    ("change", "way"),
    [
        ({"session": "no token!"}, "session"),
        ({"count": True}, "count"),
        ({"rate": -1}, "rate"),
        ({"well": 1}, "well"),
        ({"kind": "c"}, "kind"),
        ({"since": "yesterday"}, "since"),
        ({"parts": {}}, "parts"),
        ({"parts": [{"word": "word", "since": WHEN}, {"word": 1, "since": WHEN}]}, r"parts\[1\]\.word"),
        ({"groups": [[0, 27], [28]]}, r"groups\[1\]"),
        ({"groups": [[9, 3]]}, r"groups\[0\]"),
        ({"by_name": {"x": None}}, r"by_name\.x"),
        ({"few": [1, "2"]}, r"few\[1\]"),
    ],
)
def test_what_does_not_fit_is_named_by_its_way_from_the_top(change: dict[str, object], way: str) -> None:
    with pytest.raises(InvalidMessage, match=f"^{way} "):
        Outer.from_json(Fields(WRITTEN | change))


def test_a_field_without_a_default_must_be_there() -> None:
    for name in WRITTEN.keys() - {"few"}:
        with pytest.raises(InvalidMessage, match=f"^{name} is missing"):
            Outer.from_json(Fields({key: value for key, value in WRITTEN.items() if key != name}))
