"""Writes the table of reasons in docs/contract.md from their catalogue: `python docs/generate_reason_table.py`."""

import sys
from pathlib import Path
from typing import Final

from ksem_contract.reason_catalogue import ENGLISH

PAGE: Final = Path(__file__).resolve().parent / "contract.md"
BEGIN: Final = "<!-- made from shared/ksem_contract/reason_catalogue.py by docs/generate_reason_table.py -->"
END: Final = "<!-- end of the reasons -->"


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| code | what it means | remedy |", "| --- | --- | --- |"]
    for code, template in ENGLISH.items():
        lines.append(f"| `{code}` | {_cell(template.meaning or template.text)} | {_cell(template.remedy)} |")
    return "\n".join(lines)


def with_table(page: str, made: str) -> str:
    """Return the page with the table between its marks renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def _cell(text: str) -> str:
    """Text as it stands in a cell; parameters are in italics."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return escaped.replace("{", "*").replace("}", "*")


def main() -> int:
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
