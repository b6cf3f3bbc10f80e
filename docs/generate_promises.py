"""Writes docs/promise-tests.md from the `promise` markers of the tests: `python docs/generate_promises.py`."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = Path(__file__).with_name("promise-tests.md")
HEAD: Final = """\
# The tests that prove each promise

<!-- Written by docs/generate_promises.py from the markers `@pytest.mark.promise(...)`: change them at the tests. -->

[promises.md](promises.md) states the promises. Each test below fails when its promise is broken.
"""


class Proof(NamedTuple):
    """A test that proves a promise."""

    promise: int
    file: str
    name: str


def page(tests: Path = ROOT / "tests") -> str:
    """The whole page."""
    found = sorted(proof for path in tests.rglob("test_*.py") for proof in proofs(path))
    numbers = sorted({proof.promise for proof in found})
    return HEAD + "".join(_section(number, [proof for proof in found if proof.promise == number]) for number in numbers)


def proofs(path: Path) -> Iterator[Proof]:
    """The marked tests of one file: functions, methods, classes, and `TestX = mark(...)(...)`."""
    file = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name, marks = _marked(node)
        yield from (Proof(number, file, name) for mark in marks for number in _numbers(mark))


def _marked(node: ast.AST) -> tuple[str, Iterable[ast.expr]]:
    """What a statement defines, and the marks on it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name, node.decorator_list
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, [node.value.func]
    return "", ()


def _numbers(mark: ast.expr) -> list[int]:
    """The numbers of `pytest.mark.promise(1, 5)`; none of another decorator."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != "pytest.mark.promise":
        return []
    return [int(ast.literal_eval(number)) for number in mark.args]


def _section(number: int, found: list[Proof]) -> str:
    names = defaultdict(list)
    for proof in found:
        names[proof.file].append(proof.name)
    lines = [f"- `{file}`\n" + "".join(f"  - `{name}`\n" for name in names[file]) for file in names]
    return f"\n## Promise {number}\n\n" + "".join(lines)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
