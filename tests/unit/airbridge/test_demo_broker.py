from pathlib import Path

import pytest

from airbridge.demo import processes
from airbridge.demo.options import Address

_PLACE = Address("127.0.0.1", 18830)


def test_where_there_is_no_broker_the_ways_to_get_one_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SEARCH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(processes.NoBroker, match=r"apt-get install mosquitto.*ksem-airbridge\[demo\].*--broker"):
        processes.own_broker(tmp_path, _PLACE)


def test_a_broker_of_the_demo_listens_on_loopback_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SEARCH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.4.0")
    program = processes.own_broker(tmp_path, _PLACE)
    assert program.name.startswith("iotcore 0.4.0 (from pip")
    config = Path(program.argv[-1]).read_text()
    assert config.count("listen = ") == 1
    assert 'listen = "127.0.0.1:18830"' in config
