"""Somebody who holds the simulated broker makes no number; without the check of codes he does."""

import pytest

from ksem_contract.mac import MessageKeys
from simulation.faults import Fault, draw
from simulation.run import run

SEED, SECONDS = "1", 30.0


def _strikes() -> list[Fault]:
    """The first seeds' strikes at the broker, all within one run."""
    found = (fault for seed in range(1, 200) for fault in draw(str(seed), SECONDS) if "garbage" in str(fault))
    return [fault for _, fault in zip(range(4), found, strict=False)]


@pytest.mark.promise(2)
def test_whoever_holds_the_broker_makes_no_number() -> None:
    outcome = run(SEED, SECONDS, _strikes())
    assert outcome.counts["data"] > 100
    assert not [one for one in outcome.violations if one.promise in (1, 2, 3)]


def test_the_adversary_would_be_believed_without_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessageKeys, "check", lambda *_: None)
    assert [one for one in run(SEED, SECONDS, _strikes()).violations if one.promise in (1, 2, 3)]
