"""Each scene for some minutes: `make scenes MINUTES=10 SEED=1`. Exit code 1 for a broken promise."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from .run import run
from .scenes import SCENES


def main() -> int:
    """Run the scenes that were chosen."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    chosen = [scene for scene in SCENES if options.only in scene.name]
    print(f"{len(chosen)} scenes, {options.minutes:g} minutes each, seed {seed} (SEED={seed} repeats them)", flush=True)
    broken = False
    for scene in chosen:
        with tempfile.TemporaryDirectory(prefix="scene-") as folder:
            seen = run(scene, Path(folder), 60 * options.minutes, random.Random(f"{seed} {scene.name}"))
        print(seen, *(f"FAILED: {problem}" for problem in seen.problems), sep="\n", flush=True)
        if seen.problems:
            print(seen.logs)
            broken = True
    print("a promise was broken" if broken else "all promises kept")
    return int(broken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.scenes", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each scene")
    parser.add_argument("--seed", type=int, help="of what goes wrong, and when (default: a new one, which is printed)")
    parser.add_argument("--only", default="", metavar="WORDS", help="scenes whose name has these words")
    return parser


if __name__ == "__main__":
    sys.exit(main())
