"""Reasons have codes for programs and sentences for people, and nobody confuses the two."""

import ast
import re
import string
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate_reason_table import PAGE, table, with_table
from ksem_contract.health import LinkHealth
from ksem_contract.message_fields import Fields, InvalidMessage
from ksem_contract.reason_catalogue import ENGLISH, Template
from ksem_contract.reasons import MAX_REASONS, Reason, find_reason, reasons_json, sentence, without

ROOT = Path(__file__).parents[3]
PRODUCT = ("airbridge", "ksem_dashboard", "ksem_publisher", "rtu_server", "inverter_reader", "shared")
SENTENCES = {"why", "remedy", "link_why", "port_why", "broker_why", "why_closed", "sentence"}
"""Names that hold words for people."""
MATCHERS = {"startswith", "endswith", "partition", "rpartition", "split", "removeprefix", "find", "index", "casefold"}
SEARCHES = {"search", "match", "fullmatch", "findall"}
SEEKERS = {"find_reason", "without"}


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def fields_of(template: Template) -> set[str]:
    texts = (template.text, template.remedy)
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_each_code_is_made_somewhere_with_all_its_parameters_and_none_is_unknown() -> None:
    made: defaultdict[str, list[str]] = defaultdict(list)
    for path, tree in parsed():
        for call in _calls(tree, "of"):
            if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
                continue
            if call.func.value.id != "Reason":
                continue
            for code in _texts(call.args[0], tree):
                made[code].append(f"{path}:{call.lineno}")
                assert code in ENGLISH, f"{path}:{call.lineno}: {code} is not in the catalogue"
                given = {word.arg for word in call.keywords}
                if None not in given:  # `**parameters` are looked at by those who run this
                    assert given == fields_of(ENGLISH[code]), f"{path}:{call.lineno}: parameters of {code}"
    assert set(ENGLISH) - set(made) == set(), "codes that nobody makes"


def test_each_code_that_a_program_looks_for_is_in_the_catalogue() -> None:
    found = 0
    for path, tree in parsed():
        for where, code in (*_compared(tree), *_sought(tree)):
            found += 1
            assert code in ENGLISH, f"{path}:{where}: {code} is not in the catalogue"
    assert found >= 10


def test_no_program_matches_a_sentence() -> None:
    wrong = [f"{path}:{where}" for path, tree in parsed() for where in _matched_sentences(tree)]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        'if "off" in health.why: pass',
        'if why == "off": pass',
        'if push.link.why.startswith("off"): pass',
        'cause, _, rest = health.why.partition("; ")',
        'if "off" in why.lower(): pass',
        'if reason.text == "off": pass',
        're.search("off", view.port_why)',
        'if "off" in sentence(health.reasons): pass',
    ],
)
def test_a_program_that_would_match_a_sentence_is_noticed(text: str) -> None:
    assert list(_matched_sentences(ast.parse(text)))


def test_codes_are_words_that_stay_and_sentences_are_fragments() -> None:
    for code, template in ENGLISH.items():
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", code), code
        assert len(code) <= 40
        assert template.meaning or template.text.replace("{error}", "")
        assert not template.text.endswith((".", ":")), code
        assert not template.remedy.endswith("."), code


def test_the_contract_page_lists_every_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page, table()), "run: python docs/generate_reason_table.py"


def test_a_reason_has_its_sentence_and_its_remedy_and_survives_a_message() -> None:
    reason = Reason.of("port-missing", port="/dev/ttyUSB0")
    assert reason.text == "/dev/ttyUSB0: no such port"
    assert str(reason) == f"{reason.text}: {reason.remedy}"
    assert read_reasons([reason.to_json()]) == (reason,)


def test_a_code_of_a_later_version_is_kept_with_its_sentence() -> None:
    sent = {"code": "of-next-year", "text": "a sentence", "remedy": "a remedy"}
    (reason,) = read_reasons([sent])
    assert (reason.code, str(reason)) == ("of-next-year", "a sentence: a remedy")
    assert reason.by(ENGLISH) == reason


def test_a_second_catalogue_tells_the_same_in_another_language() -> None:
    german = {"push-arrives": Template("alle {period} ms ein ganzer Zyklus")}
    assert Reason.of("push-arrives", period=200).by(german).text == "alle 200 ms ein ganzer Zyklus"
    untranslated = Reason.of("push-stopped")
    assert untranslated.by(german) == untranslated
    lacking = Reason("push-arrives", "a whole cycle")
    assert lacking.by(german) == lacking


@pytest.mark.parametrize("code", ["", "Push", "push stopped", "x" * 41, "-x"])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidMessage, match="code"):
        read_reasons([{"code": code, "text": "", "remedy": ""}])


def test_more_reasons_than_a_message_may_hold_are_refused_and_never_sent() -> None:
    many = [Reason.of("push-stopped")] * 20
    assert len(reasons_json(many)) == MAX_REASONS
    with pytest.raises(InvalidMessage, match="at most"):
        read_reasons([reason.to_json() for reason in many])


def test_reasons_are_found_and_left_out_by_code() -> None:
    reasons = (Reason.of("push-arrives", period=200), Reason.of("push-energy-partly", registers="512-515"))
    assert find_reason(reasons, "push-off", "push-arrives") == reasons[0]
    assert find_reason(reasons, "push-off") is None
    assert sentence(without(reasons, "push-arrives")) == "registers 512-515 are not pushed but polled"


def read_reasons(found: list[object]) -> tuple[Reason, ...]:
    """The reasons of a link's health that holds these."""
    link = {"state": "down", "since": "2026-11-22T10:00:00Z", "why": "", "changes": 1, "reasons": found}
    return LinkHealth.from_json(Fields(link)).reasons


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in names:
                yield node


def _texts(node: ast.AST, tree: ast.Module) -> Iterator[str]:
    """The texts that an expression may be: a literal, one of several, or those of a table that gives a name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, tree)
        yield from _texts(node.orelse, tree)
    elif isinstance(node, ast.Tuple):
        for one in node.elts:
            yield from _texts(one, tree)
    elif isinstance(node, ast.Name):
        yield from _named_texts(node.id, tree)


def _named_texts(name: str, tree: ast.Module) -> Iterator[str]:
    """Of a name that is given a tuple of texts, or one of a table's texts (`code = TABLE.get(...)`)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.AnnAssign | ast.Assign):
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if not isinstance(target, ast.Name) or target.id != name:
            continue
        value = node.value
        assert value is not None
        if isinstance(value, ast.Dict):
            for one in value.values:
                yield from _texts(one, tree)
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "get":
            yield from _texts(value.func.value, tree)
        else:
            yield from _texts(value, tree)


def _compared(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "code":
            for other in node.comparators:
                yield from ((node.lineno, text) for text in _texts(other, tree))


def _sought(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for call in _calls(tree, *SEEKERS):
        for argument in call.args[1:]:
            yield from ((call.lineno, text) for text in _texts(argument, tree))


def _matched_sentences(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            texts = any(isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value for side in sides)
            if texts and any(_is_sentence(side) for side in sides):
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in MATCHERS and _is_sentence(node.func.value):
                yield node.lineno
            if node.func.attr in SEARCHES and any(_is_sentence(argument) for argument in node.args):
                yield node.lineno


def _is_sentence(node: ast.expr) -> bool:
    """Whether this expression holds words for people: of a reason, a health message, or a variable named so."""
    if isinstance(node, ast.Call):  # `why.lower()`, `str(reason)`, `sentence(reasons)`
        called = node.func
        if isinstance(called, ast.Attribute):
            return _is_sentence(called.value)
        names = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
        return isinstance(called, ast.Name) and (called.id == "sentence" or (called.id == "str" and "reason" in names))
    if isinstance(node, ast.Attribute):
        return node.attr in SENTENCES or (node.attr == "text" and _is_reason(node.value))
    return isinstance(node, ast.Name) and node.id in SENTENCES


def _is_reason(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in {"reason", "cause", "effect", "first", "login"}
