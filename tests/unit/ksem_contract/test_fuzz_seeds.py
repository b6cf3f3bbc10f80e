import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

_HARNESS: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[3] / "fuzz" / "fuzz_contract.py"))


@pytest.mark.parametrize("kind", _HARNESS["MESSAGES"], ids=lambda kind: kind.__name__)
def test_every_decoder_finds_a_seed_that_it_reads(kind: type) -> None:
    assert any(_HARNESS["check_message"](kind, seed) for seed in _HARNESS["SEEDS"])


@given(
    seed=st.sampled_from(_HARNESS["SEEDS"]), at=st.integers(0, 2000), junk=st.binary(max_size=4), drop=st.integers(0, 4)
)
@pytest.mark.promise(10)
def test_a_damaged_seed_is_read_or_refused(seed: bytes, at: int, junk: bytes, drop: int) -> None:
    cut = at % (len(seed) + 1)
    _HARNESS["check"](seed[:cut] + junk + seed[cut + drop :])


def test_a_message_that_comes_back_changed_is_caught() -> None:
    class Forgetful:
        def __init__(self, payload: bytes) -> None:
            self.payload = payload

        def encode(self) -> bytes:
            return b""

        @classmethod
        def decode(cls, payload: bytes) -> "Forgetful":
            return cls(payload)

    with pytest.raises(AssertionError, match="came back as"):
        _HARNESS["check_message"](Forgetful, b"x")
