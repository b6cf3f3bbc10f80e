"""docs/promises.md names tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = re.split(r"^## (?=\d)", (ROOT / "docs" / "promises.md").read_text(), flags=re.MULTILINE)[1:]


def named(promise: str) -> Iterator[tuple[str, str]]:
    """File and name of each test: `- `FILE`: `NAME`, `NAME``, over several lines."""
    for bullet in re.split(r"^- ", promise, flags=re.MULTILINE)[1:]:
        file, *names = re.findall(r"`([^`]+)`", bullet)
        assert names, f"no test after {file}"
        yield from ((file, name) for name in names)


def test_there_are_ten_promises_each_with_tests() -> None:
    assert [int(promise.split(".", 1)[0]) for promise in PROMISES] == list(range(1, 11))
    assert all(len(list(named(promise))) > 1 for promise in PROMISES)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.splitlines()[0])
def test_every_test_that_is_named_exists(promise: str) -> None:
    missing = []
    for file, name in named(promise):
        path = ROOT / file
        if not path.exists() or not re.search(rf"^(async )?(def {name}\(|{name} = )", path.read_text(), re.MULTILINE):
            missing.append(f"{file}::{name}")
    assert not missing
