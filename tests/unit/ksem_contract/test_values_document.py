import runpy
from pathlib import Path

_DOCS = Path(__file__).parents[3] / "docs"


def test_docs_values_md_is_what_the_table_says() -> None:
    page = runpy.run_path(str(_DOCS / "generate_values.py"))["render"]()
    assert (_DOCS / "values.md").read_text(encoding="utf-8") == page, "run: python docs/generate_values.py"
