"""Names in the product use the field's words: `lock`, `publish`, `request`, `received`, not the words listed here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "airbridge",
    "inverter_reader",
    "ksem_dashboard",
    "ksem_publisher",
    "ksem_simulators",
    "rtu_server",
    "shared",
    "simulation",
)

WRITE_INSTEAD = {
    "beat": "tick",
    "book": "cache",
    "desk": "data",
    "door": "server",
    "ear": "listener, probe",
    "farewell": "final message",
    "lane": "direction",
    "remark": "anomaly",
    "stray": "trailing",
    "tape": "queue",
    "twin": "other source",
    "witness": "oracle",
    "glance": "poll",
    "nudge": "wake",
    "starved": "no delivery",
    "crowd": "no gap",
    "pulls": "unplug",
    "faces": "views",
    **dict.fromkeys(("ask", "asks", "asked", "asking"), "request, poll"),
    **dict.fromkeys(("hear", "hears", "heard"), "on_x, received"),
    **dict.fromkeys(("say", "says", "said", "saying", "tell", "tells", "told"), "publish, report, log, return"),
}
"""Words that may not come back in names, and the ones to take; plurals count too."""
LOCKS = ("turn", "_turn")
"""Names that no lock may have."""
OF_THE_CONTRACT = {
    "_font_faces": "the @font-face rules of CSS",
}


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something, with its line; names of libraries are their own affair."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).rpartition(".")[2], node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def _instead(name: str) -> str | None:
    """What to write instead of a name; None where it may stay."""
    for word in (part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)):
        if found := WRITE_INSTEAD.get(word) or WRITE_INSTEAD.get(word.removesuffix("s")):
            return found
    return None


def _modules() -> list[Path]:
    return [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_name_in_the_product_uses_a_word_that_was_given_up() -> None:
    wrong = []
    for path in _modules():
        where = path.relative_to(ROOT)
        for name, line in [(path.stem, 1), *_names(ast.parse(path.read_text(encoding="utf-8")))]:
            instead = None if name in OF_THE_CONTRACT else _instead(name)
            if instead is not None:
                wrong.append(f"{where}:{line}: {name}: write {instead}")
    assert not wrong, "\n".join(wrong)


def test_no_lock_is_called_a_turn() -> None:
    wrong = []
    for path in _modules():
        text = path.read_text(encoding="utf-8")
        wrong += [
            f"{path.relative_to(ROOT)}: {name}" for name in LOCKS if re.search(rf"\bwith (self\.)?{name}\b", text)
        ]
    assert not wrong, "\n".join(wrong)
