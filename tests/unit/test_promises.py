"""docs/promises.md states the promises; docs/promise-tests.md lists the tests that prove them."""

import re

from docs.generate_promises import ROOT, TARGET, page, proofs

HEADINGS = re.compile(r"^## (\d+)\. ", re.MULTILINE)


def stated() -> list[int]:
    """The numbers of the promises, in the order of the page."""
    return [int(number) for number in HEADINGS.findall((ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))]


def test_there_are_ten_promises_each_with_tests() -> None:
    marked = [proof.promise for path in (ROOT / "tests").rglob("test_*.py") for proof in proofs(path)]
    assert stated() == list(range(1, 11))
    assert set(marked) == set(stated())
    assert all(marked.count(number) > 1 for number in stated())


def test_the_list_of_tests_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run: python docs/generate_promises.py"


def test_marks_on_functions_methods_classes_and_assigned_tests_are_found() -> None:
    path = ROOT / "tests" / "data" / "promise_marks.txt"
    assert [(proof.promise, proof.name) for proof in sorted(proofs(path))] == [
        (1, "test_function"),
        (2, "TestAssigned"),
        (3, "TestClass"),
        (3, "test_function"),
        (4, "test_method"),
    ]
