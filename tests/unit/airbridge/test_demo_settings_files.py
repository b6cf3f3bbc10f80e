"""The services read what the demo writes: with their own settings classes."""

from pathlib import Path

from airbridge.demo.options import Address
from airbridge.demo.settings_files import mqtt_settings, publisher_toml, rtu_server_toml
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.settings import load


def _file(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_the_publisher_reads_its_file(tmp_path: Path) -> None:
    mqtt = mqtt_settings(Address("192.0.2.1", 1884), prefix="ksem-demo", username=None, password_file=None)
    text = publisher_toml(Address("192.0.2.7", 1502), Address("127.0.0.1", 5999), mqtt)
    settings = load(PublisherSettings, path=_file(tmp_path, text), environ={})
    (meter,) = settings.meter
    assert (meter.id, meter.host, meter.port) == ("main", "192.0.2.7", 1502)
    assert (settings.push.listen, settings.push.port) == ("127.0.0.1", 5999)
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.prefix) == ("192.0.2.1", 1884, "ksem-demo")
    assert not settings.homeassistant.discovery


def test_the_rtu_server_reads_its_file(tmp_path: Path) -> None:
    secret = tmp_path / 'a "quoted" name'
    secret.write_text("s3cret\n")
    mqtt = mqtt_settings(Address("127.0.0.1", 1883), prefix="ksem", username="me", password_file=secret)
    assert mqtt.password == "s3cret"
    text = rtu_server_toml("/dev/serial/by-id/usb-x", mqtt, low_latency=False)
    assert "s3cret" not in text
    settings = load(RtuServerSettings, path=_file(tmp_path, text), environ={})
    (line,) = settings.line
    assert (line.port, line.low_latency, line.unit[0].id, line.unit[0].meter) == (
        "/dev/serial/by-id/usb-x",
        False,
        1,
        "main",
    )
    assert (settings.mqtt.username, settings.mqtt.password) == ("me", "s3cret")
