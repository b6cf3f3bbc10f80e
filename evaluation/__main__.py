"""Evaluates, and writes docs/evaluation.md and its plot: `python -m evaluation --help`."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .document import page
from .plot import plot
from .run import evaluate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("--seed", default="1", help="of loads, clouds, outages and chains (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="folder to write to (default docs)")
    options = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor(options.jobs) as pool:
        found = evaluate(options.seed, pool)
    (options.to / "evaluation.svg").write_text(plot(found))
    (options.to / "evaluation.md").write_text(page(found))
    print(f"{options.to / 'evaluation.md'} written in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
