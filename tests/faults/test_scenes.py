"""The scenes of `make scenes`, each for some seconds: what goes wrong again and again, with real processes."""

import random
from pathlib import Path

import pytest

from tests.chain import FaultRow
from tests.scenes.run import run
from tests.scenes.scenes import SCENES, Scene

SECONDS = 18.0
LONGEST = 5.0
"""Seconds that one fault may last here."""


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name.replace(" ", "-"))
@pytest.mark.promise(1, 2, 3, 4, 5, 7, 9)
def test_what_goes_wrong_again_and_again_breaks_no_promise(
    scene: Scene, tmp_path: Path, kept_rows: list[object]
) -> None:
    seen = run(scene, tmp_path, SECONDS, random.Random(1), LONGEST)
    assert seen.problems == [], f"{seen}\n{seen.logs}"
    kept_rows.append(FaultRow(f"again and again: {scene.name}", "scene", seen.status["outcomes"], seen.oldest_ms))
