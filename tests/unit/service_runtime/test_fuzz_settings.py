"""The settings harness of `make fuzz`, fed with its seeds and damaged ones."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.fuzz_settings import SEEDS, SERVICES, check
from service_runtime.settings import SettingsError, load


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
def test_every_service_finds_a_seed_that_it_takes(service: type, tmp_path: Path) -> None:
    taken = 0
    for number, seed in enumerate(SEEDS):
        file, *lines = seed.split(b"\0")
        path = tmp_path / str(number)
        path.write_bytes(file)
        try:
            load(service, path=path, environ=dict(line.decode().split("=", 1) for line in lines))
        except SettingsError:
            continue
        taken += 1
    assert taken


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    at=st.integers(0, 2000),
    junk=st.binary(max_size=4),
    drop=st.integers(min_value=0, max_value=4),
)
@pytest.mark.promise(10)
def test_a_damaged_seed_is_read_or_refused_with_reasons(
    tmp_path: Path, seed: bytes, at: int, junk: bytes, drop: int
) -> None:
    cut = at % (len(seed) + 1)
    check(seed[:cut] + junk + seed[cut + drop :], tmp_path)
