import re
from pathlib import Path

from ksem_dashboard.web import FILES, HEADERS

_PAGE = Path(__file__).parents[3] / "ksem_dashboard" / "page"


def test_the_whole_page_is_small() -> None:
    assert sum((_PAGE / name).stat().st_size for name, _ in FILES.values()) <= 130_000


def test_every_file_is_served_and_every_served_file_is_there() -> None:
    assert {name for name, _ in FILES.values()} == {path.name for path in _PAGE.iterdir()}


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    markup = (_PAGE / "index.html").read_text(encoding="utf-8")
    for name, _ in FILES.values():
        text = (_PAGE / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(^|\s)//.*", "", text).replace("\\/\\/", ""), name
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", markup)
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_text_from_mqtt_never_becomes_markup() -> None:
    for path in _PAGE.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()), path


def test_every_symbol_that_is_used_is_defined() -> None:
    markup = (_PAGE / "index.html").read_text(encoding="utf-8")
    defined = set(re.findall(r'<symbol id="i-([a-z]+)"', markup))
    assert {"ok", "warn", "bad", "unknown", "meter", "publisher", "broker", "node", "inverter"} == defined
