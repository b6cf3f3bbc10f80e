"""Mutates the cores, one place at a time, and runs the simulation on each: `make mutants`.

A mutation changes one comparison, sum, constant, condition or return of a core. Which ones are drawn follows from a
seed. A survivor is printed with its place: either the simulation has a hole, or the place makes no difference.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from .altered import HOME, SEEDS, judge, sources

CORES: Final = (
    "block_publisher", "freshness", "line", "live", "poll_live", "poll_plan", "poll_reads", "push_agreement",
    "push_assembler", "push_cycle", "register_cache", "reply_cache", "responder", "rtu",
)  # fmt: skip
"""Modules that decide what an inverter gets and when, by name: they may move."""
_SWAPPED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed place."""

    path: Path
    line: int
    what: str
    text: str
    """The whole module, changed."""


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Give every mutation of a module."""
    tree = ast.parse((HOME / path).read_text())
    for number, node in enumerate(ast.walk(tree)):
        what = _way(node)
        if what:
            changed = deepcopy(tree)
            target = next(each for at, each in enumerate(ast.walk(changed)) if at == number)
            _change(target)
            line = getattr(node, "lineno", 0)
            yield Mutant(path, line, what, ast.unparse(ast.fix_missing_locations(changed)))


def _way(node: ast.AST) -> str:
    """Return how a node is changed, in words; empty where it is not."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _swap(node.ops[0])
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in _SWAPPED:
        return _swap(node.op)
    if isinstance(node, ast.If | ast.IfExp):
        return "condition always false"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return "not left out"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return f"call of {ast.unparse(node.value.func)} left out"
    return ""


def _swap(op: ast.AST) -> str:
    return f"{type(op).__name__} becomes {_SWAPPED[type(op)].__name__}"


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops = [_swapped(node.ops[0])]  # type: ignore[list-item]
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = _swapped(node.op)  # type: ignore[assignment]
    elif isinstance(node, ast.If | ast.IfExp):
        node.test = ast.Constant(value=False)
    elif isinstance(node, ast.UnaryOp):
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(value=None)


def _swapped(op: ast.AST) -> ast.AST:
    return _SWAPPED[type(op)]()


def cores() -> list[Path]:
    """Return the modules that are mutated; ValueError where a name stands for none or for several."""
    found = [path for path in sources() if path.stem in CORES]
    if len(found) != len(CORES):
        raise ValueError(f"no module, or several, for each of {', '.join(CORES)}: {found}")
    return found


def draw(number: int, seed: str) -> list[Mutant]:
    """Return so many mutations of the cores, drawn evenly over all places."""
    every = [mutant for path in cores() for mutant in mutants_of(path)]
    return Random(seed).sample(every, min(number, len(every)))


def main() -> int:
    """Exit code 1 where more than one in twenty survives."""
    parser = argparse.ArgumentParser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", default="1", help="which places are drawn")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"tried for each (default {SEEDS}, a day)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default 2)")
    options = parser.parse_args()
    mutants = draw(options.number, options.seed)
    survivors = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        under_way = {pool.submit(judge, {one.path: one.text}, seeds=options.seeds): one for one in mutants}
        for done in as_completed(under_way):
            one, verdict = under_way[done], done.result()
            survivors += not verdict.found
            found = f"{verdict.seconds:6.1f} s" if verdict.found else "survives"
            print(f"{found}  {one.path}:{one.line}: {one.what}  {verdict.what}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants found")
    return int(20 * survivors > len(mutants))


if __name__ == "__main__":
    sys.exit(main())
