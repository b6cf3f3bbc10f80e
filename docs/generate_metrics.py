"""Writes the table in docs/dashboard.md from ksem_dashboard.metric_table: `python docs/generate_metrics.py`."""

from pathlib import Path

from ksem_dashboard.metric_table import COUNTERS, GAUGES

TARGET = Path(__file__).with_name("dashboard.md")
BEGIN = "<!-- Written by docs/generate_metrics.py from ksem_dashboard/metric_table.py: change it there. -->\n"
END = "<!-- end of what is written -->\n"


def table() -> str:
    """The rows, gauges first."""
    told = [*GAUGES.items(), *((f"{name}_total", what) for name, what in COUNTERS.items())]
    rows = [f"| `{name}` | {', '.join(f'`{one}`' for one in labels)} | {text} |\n" for name, (text, labels) in told]
    return "".join(["| metric | labels | meaning |\n| --- | --- | --- |\n", *rows])


def render(page: str) -> str:
    """The page with its table made anew."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{TARGET}: {len(GAUGES) + len(COUNTERS)} metrics")
