"""The page's own texts: each that is marked for translation, or stands in its HTML, has its German."""

import re
from html.parser import HTMLParser
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "ksem_dashboard" / "page"
GERMAN = dict(
    re.findall(r'^\s+"((?:[^"\\]|\\.)*)":\s*"((?:[^"\\]|\\.)*)"', (PAGE / "german.js").read_text(), re.MULTILINE)
)
SAME = {"KSEM AirBridge"}
"""Names."""


def keys_in(script: str) -> set[str]:
    """The keys of all t`...`, with {0} for the first value and so on."""
    found = set()
    for start in (match.end() for match in re.finditer(r"(?<![\w$])t`", script)):
        key, values, at, depth = "", 0, start, 0
        while depth or script[at] != "`":
            if script.startswith("${", at) and not depth:
                key, values, depth, at = f"{key}{{{values}}}", values + 1, 1, at + 2
                continue
            if depth:
                depth += {"{": 1, "}": -1}.get(script[at], 0)
            else:
                key += script[at]
            at += 1
        found.add(key)
    return found


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("title", "noscript")
        self.found.update(value for name, value in attrs if name == "aria-label" and value)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("title", "noscript")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.add(data.strip())


def test_each_marked_text_of_the_scripts_has_its_german() -> None:
    keys = set().union(*(keys_in((PAGE / name).read_text()) for name in ("page.js", "draw.js", "past.js")))
    assert len(keys) > 60
    assert keys - set(GERMAN) == set()


def test_each_text_of_the_html_has_its_german() -> None:
    texts = _Texts()
    texts.feed((PAGE / "index.html").read_text())
    words = {text for text in texts.found if re.search(r"[A-Za-z]{2}", text)}
    assert words - set(GERMAN) - SAME == set()


def test_a_translation_has_the_values_of_its_english() -> None:
    for english, german in GERMAN.items():
        assert set(re.findall(r"\{\d\}", english)) == set(re.findall(r"\{\d\}", german)), english
