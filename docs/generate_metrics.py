"""Writes the table in docs/dashboard.md from ksem_dashboard.metrics: `python docs/generate_metrics.py`."""

from pathlib import Path

from ksem_dashboard.metrics import COUNTERS, GAUGES, HISTOGRAMS

TARGET = Path(__file__).with_name("dashboard.md")
BEGIN = "<!-- Written by docs/generate_metrics.py from ksem_dashboard/metrics.py: change it there. -->\n"
END = "<!-- end of what is written -->\n"


def table() -> str:
    """The rows: gauges, counters, histograms."""
    reported = [
        *((name, "gauge", what) for name, what in GAUGES.items()),
        *((f"{name}_total", "counter", what) for name, what in COUNTERS.items()),
        *((name, "histogram", what) for name, what in HISTOGRAMS.items()),
    ]
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{one}`' for one in labels)} | {text} |\n"
        for name, kind, (text, labels) in reported
    ]
    return "".join(["| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n", *rows])


def render(page: str) -> str:
    """The page with its table made anew."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{TARGET}: {len(GAUGES) + len(COUNTERS) + len(HISTOGRAMS)} metrics")
