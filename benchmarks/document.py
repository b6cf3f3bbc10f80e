"""Writes a run's results into docs/performance-tables.md: `python -m benchmarks.document build/bench`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

_DOCUMENT: Final = Path("docs/performance-tables.md")
_PICTURE: Final = Path("docs/performance.svg")
_BEGIN: Final = "<!-- results: written by benchmarks/document.py -->"
_END: Final = "<!-- end of results -->"


def main(folder: Path) -> None:
    results = json.loads((folder / "bench.json").read_text())
    text = (folder / "bench.txt").read_text().strip("\n")
    before, _, rest = _DOCUMENT.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n{_results(results, text)}\n{_END}{after}")
    shutil.copyfile(folder / "bench.svg", _PICTURE)


def _results(results: dict[str, Any], text: str) -> str:
    machine = ", ".join(f"{key}: {value}" for key, value in results["machine"].items())
    rows = "\n".join(_row(verdict) for verdict in results["verdicts"])
    return f"""
## Results

{machine}. A {results["mode"]} run of {results["seconds"] // 60} minutes.

![Turnaround on the paced line](performance.svg)

| what is aimed at | measured | limit | |
| --- | --- | --- | --- |
{rows}

<details><summary>All tables of this run</summary>

```text
{text}
```

</details>
"""


def _row(verdict: dict[str, Any]) -> str:
    sign = ">=" if verdict["at_least"] else "<="
    measured = "-" if verdict["measured"] is None else f"{verdict['measured']:.3g}"
    word = {True: "holds", False: "**missed**", None: "not measured"}[verdict["holds"]]
    return f"| {verdict['what']} | {measured} | {sign} {verdict['limit']:g} {verdict['unit']} | {word} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
