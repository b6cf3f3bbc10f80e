"""docker-compose.yml without Docker: its variables are settings that the services take, its containers are confined."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from inverter_reader.settings import InverterReaderSettings
from ksem_dashboard.settings import KsemDashboardSettings
from ksem_dashboard.web import is_known_host
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.settings import load

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
_is_variable = re.compile(r"\$\{([A-Z_]+)(:[-+])?((?:[^{}]|\{[^{}]*\})*)\}")


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:+instead}`, as compose does it."""

    def value(found: re.Match[str]) -> str:
        name, how, word = found.groups()
        given = variables.get(name, "")
        if how == ":-":
            return given or interpolated(word, variables)
        if how == ":+":
            return interpolated(word, variables) if given else ""
        return given

    return _is_variable.sub(value, text)


def environment(service: str, variables: Mapping[str, str], login: Path) -> dict[str, str]:
    made = {name: interpolated(str(value), variables) for name, value in SERVICES[service]["environment"].items()}
    return {name: value.replace("/run/login", str(login)) for name, value in made.items()}


@pytest.fixture
def login(tmp_path: Path) -> Path:
    for name in ("password", "ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("secret\n")
    return tmp_path


def test_the_example_has_three_lines_and_nothing_else_is_needed() -> None:
    assert EXAMPLE.keys() == {"COMPOSE_PROFILES", "METER_HOST", "SERIAL_PORT"}


@pytest.mark.parametrize("more", [{}, {"MQTT_TLS": "true", "MQTT_PORT": "8883"}], ids=["plain", "tls"])
def test_the_example_becomes_settings_of_both_services(login: Path, more: dict[str, str]) -> None:
    variables = EXAMPLE | more
    publisher = load(PublisherSettings, path=None, environ=environment("publisher", variables, login))
    server = load(RtuServerSettings, path=None, environ=environment("rtu-server", variables, login))
    assert publisher.meter[0].host == EXAMPLE["METER_HOST"]
    assert server.line[0].port == "/host" + EXAMPLE["SERIAL_PORT"]
    for settings in (publisher, server):
        assert settings.mqtt.password == "secret"
        assert settings.mqtt.tls is bool(more)
        assert settings.mqtt.port == int(more.get("MQTT_PORT", "1883"))


def test_both_services_use_the_key_that_pairing_made(login: Path) -> None:
    (login / "message.key").write_text("11" * 32)
    for variables, key_file in ((EXAMPLE, None), ({**EXAMPLE, "MESSAGE_KEY": "true"}, login / "message.key")):
        publisher = load(PublisherSettings, path=None, environ=environment("publisher", variables, login))
        server = load(RtuServerSettings, path=None, environ=environment("rtu-server", variables, login))
        assert publisher.integrity.key_file == server.integrity.key_file == key_file


def test_the_demos_variables_are_settings_of_both_services_without_any_env_file(login: Path) -> None:
    publisher = load(PublisherSettings, path=None, environ=environment("demo-publisher", {}, login))
    server = load(RtuServerSettings, path=None, environ=environment("demo-rtu-server", {}, login))
    assert server.line[0].unit[0].meter == publisher.meter[0].id


def test_the_inverter_readers_variables_are_its_settings(login: Path) -> None:
    made = environment("inverter-reader", EXAMPLE | {"INVERTER_HOST": "192.168.1.60"}, login)
    settings = load(InverterReaderSettings, path=None, environ=made)
    assert (settings.inverter[0].host, settings.inverter[0].port) == ("192.168.1.60", 1502)
    assert (settings.mqtt.host, settings.mqtt.username, settings.mqtt.password) == ("mosquitto", "inverter", "secret")


@pytest.mark.parametrize("more", [{}, {"MQTT_TLS": "true", "MQTT_PORT": "8883"}], ids=["plain", "tls"])
def test_the_dashboards_variables_are_its_settings(login: Path, more: dict[str, str]) -> None:
    made = environment("dashboard", EXAMPLE | more, login)
    settings = load(KsemDashboardSettings, path=None, environ=made)
    assert (settings.dashboard.listen, settings.dashboard.port) == ("0.0.0.0", 8080)
    assert (settings.mqtt.host, settings.mqtt.username, settings.mqtt.password) == ("mosquitto", "dashboard", "secret")


@pytest.mark.parametrize("more", [{}, {"DASHBOARD_HOST": "pi.local"}])
def test_the_dashboard_answers_to_its_containers_name_and_the_hosts(login: Path, more: dict[str, str]) -> None:
    """Each container has a host name of its own, which nobody uses."""
    settings = load(KsemDashboardSettings, path=None, environ=environment("dashboard", EXAMPLE | more, login))
    assert "dashboard" in SERVICES
    for header in ("127.0.0.1:8080", "localhost:8080", "dashboard:8080", *more.values()):
        assert is_known_host(header, {"localhost", *settings.dashboard.hosts})


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_without_root_rights_and_writable_files(service: str) -> None:
    found = SERVICES[service]
    assert found["user"].split(":")[0] not in {"0", "root"}
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert "privileged" not in found
    assert "devices" not in found, "fixed at start: an adapter that is plugged in again would not come back"
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["stop_grace_period"] == "2s"
    assert found["restart"] == ("no" if service in {"logins", "pair"} else "unless-stopped")


def test_nothing_listens_beyond_this_host_unless_asked_to() -> None:
    ports = [interpolated(port, {}) for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_images_are_built_of_all_packages_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {path.split("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert packages <= {line.removeprefix("!") for line in lines if line.startswith("!")}


@pytest.mark.parametrize("extra", ["publisher", "rtu-server", "dashboard", "tools"])
def test_what_is_installed_is_made_for_no_processor_in_particular(extra: str) -> None:
    """So that arm64, amd64 and a 32-bit Raspberry Pi get the same, and nothing has to be compiled there."""
    needed = set(distributions("ksem-airbridge", {"", extra}))
    assert len(needed) > 3
    for name in needed:
        wheel = importlib.metadata.distribution(name).read_text("WHEEL") or ""
        tags = re.findall(r"^Tag: (\S+)$", wheel, re.MULTILINE)
        assert tags, name
        assert all(tag.endswith("-none-any") for tag in tags), f"{name}: {tags}"


def test_what_is_installed_is_locked_by_hash_with_what_builds_it() -> None:
    lines = [line for line in (ROOT / "locked.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    locked = {canonicalize_name(line.split("==")[0]): line.split(" ")[0].split("==")[1] for line in lines}
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert locked.items() <= {canonicalize_name(name): version for name, version in pinned.items()}.items()
    needed = {*distributions("ksem-airbridge", {"", "tools", "dashboard"}), "hatchling"}
    assert {canonicalize_name(name) for name in needed} - {"ksem-airbridge"} <= locked.keys()


def distributions(name: str, extras: set[str]) -> Iterator[str]:
    """A distribution and all that it needs."""
    yield name
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if any(requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield from distributions(requirement.name, {"", *requirement.extras})
