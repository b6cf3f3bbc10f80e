"""What rtu-server.toml may say."""

from pathlib import Path

import pytest

from ksem_contract.topics import RESERVED_NODES
from rtu_server.settings import MAX_UNITS, RtuServerSettings, fit_node_name
from service_runtime.settings import SettingsError, load

LINE = '[[line]]\nport = "/dev/null"\n'


def loaded(text: str, folder: Path) -> RtuServerSettings:
    path = folder / "rtu-server.toml"
    path.write_text(text)
    return load(RtuServerSettings, path=path, environ={})


@pytest.mark.parametrize("name", sorted(RESERVED_NODES))
def test_a_node_is_not_called_as_a_level_of_a_meter_s_topics(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f'"{name}"'):
        loaded(f'{LINE}[node]\nname = "{name}"\n', tmp_path)
    assert fit_node_name(f"{name.upper()}.lan") == f"node-{name}"


def test_a_unit_shows_no_meter_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='not called "rtu"'):
        loaded(f'{LINE}[[line.unit]]\nmeter = "rtu"\n', tmp_path)


def test_there_are_no_more_units_than_health_can_tell_of(tmp_path: Path) -> None:
    units = "".join(f"[[line.unit]]\nid = {number}\n" for number in range(1, MAX_UNITS + 1))
    assert loaded(LINE + units, tmp_path)
    with pytest.raises(SettingsError, match="a second node"):
        loaded(f"{LINE}{units}[[tcp]]\n", tmp_path)
