"""Settles where the broker is, and with which login [core]."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from airbridge.setup.meter_questions import parse_place
from airbridge.setup.settings_text import Key
from airbridge.setup.steps import BrokerAnswer, Enter, NewFile, Show, Steps, TryBroker, do, text
from airbridge.setup.wizard_input import ROLES, Address, Existing, Given
from service_runtime.common_settings import MqttSettings

PORT: Final = 1883
TLS_PORT: Final = 8883
LOCAL: Final = (Address("127.0.0.1", 1884), Address("localhost", PORT))
"""The listener that install.sh gives the services of the broker's own host, and any broker's."""


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """A broker that took the login. Without `username` each service has its role's own, where its file is there."""

    host: str
    port: int
    tls: bool
    ca_file: Path | None
    folder: Path
    logins: frozenset[str]
    """Roles that have a password file."""
    username: str | None = None
    password: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Role: the name that its settings log in with, where that is not the role's own."""

    def mqtt(self, service: str) -> MqttSettings:
        """How this service reaches the broker."""
        role = ROLES[service]
        if self.username is not None:
            return self._settings(self.username, self.password, None)
        if role in self.logins:
            return self._settings(self.names.get(role, role), None, self.password_path(role))
        return self._settings(None, None, None)

    def _settings(self, username: str | None, password: str | None, file: Path | None) -> MqttSettings:
        return MqttSettings(
            host=self.host,
            port=self.port,
            username=username,
            password=password,
            password_file=file,
            tls=self.tls,
            ca_file=self.ca_file,
        )

    def password_path(self, role: str) -> Path:
        """Where a role's password is."""
        return self.folder / "logins" / role / "password"

    def settings(self, service: str) -> dict[Key, Any]:
        """For a service's file. What is a default is left to it, but the host: so it shows that this was answered."""
        role = ROLES[service]
        has_file = self.password is not None if self.username is not None else role in self.logins
        return {
            ("mqtt", "host"): self.host,
            ("mqtt", "port"): None if self.port == PORT else self.port,
            ("mqtt", "tls"): True if self.tls else None,
            ("mqtt", "ca_file"): str(self.ca_file) if self.ca_file else None,
            ("mqtt", "username"): self.username or (self.names.get(role, role) if has_file else None),
            ("mqtt", "password_file"): str(self.password_path(role)) if has_file else None,
            ("mqtt", "password"): None,
        }

    def password_files(self) -> Iterator[NewFile]:
        """What is to be written beside the settings: a password never stands in them."""
        if self.username is None or self.password is None:
            return
        for service, role in ROLES.items():
            yield NewFile(f"logins/{role}/password", f"{self.password}\n", service, is_settings=False)


def choose_broker(given: Given, existing: Existing, services: tuple[str, ...]) -> Steps[BrokerChoice]:
    """The broker of this host where there is one, else the user's answer. It has accepted our login."""
    if given.broker is not None:
        return (yield from _log_in(given.broker, given, existing, services))
    for place in (*_known(existing), *LOCAL):
        choice = _choice(place, given, existing)
        answer = yield from _try_all(choice, services)
        if answer.state == "up":
            yield from do(Show(text("broker up", host=place.host, port=place.port), "good"))
            return choice
        if answer.state == "login" and place.port != LOCAL[0].port:
            yield from do(Show(text("broker login", host=place.host, port=place.port)))
            return (yield from _log_in(place, given, existing, services))
    yield from do(Show(text("no broker here"), "note"))
    return (yield from _request(given, existing, services))


def _known(existing: Existing) -> tuple[Address, ...]:
    for service in ROLES:
        values = existing.values(service)
        if ("mqtt", "host") in values:
            return (Address(str(values["mqtt", "host"]), int(values.get(("mqtt", "port"), PORT))),)
    return ()


def _request(given: Given, existing: Existing, services: tuple[str, ...]) -> Steps[BrokerChoice]:
    while True:
        answer = yield from do(Enter("broker", text("broker address?")))
        if answer:
            return (yield from _log_in(parse_place(answer), given, existing, services))


def _log_in(place: Address, given: Given, existing: Existing, services: tuple[str, ...]) -> Steps[BrokerChoice]:
    """Log in as long as it takes. Another address may be named where nobody answers."""
    choice = _choice(place, given, existing)
    while True:
        answer = yield from _try_all(choice, services)
        if answer.state == "up":
            yield from do(Show(text("broker up", host=choice.host, port=choice.port), "good"))
            return choice
        yield from do(Show(text(f"broker {answer.state}", host=choice.host, port=choice.port, why=answer.why), "bad"))
        if given.untested:
            return choice
        if answer.state == "down":
            return (yield from _request(given, existing, services))
        username = yield from do(Enter("username", text("username?"), choice.username))
        password = yield from do(Enter("password", text("password?", username=username), secret=True))
        choice = replace(choice, username=username or None, password=password or None, logins=frozenset(), names={})


def _choice(place: Address, given: Given, existing: Existing) -> BrokerChoice:
    kept = next((one for one in map(existing.values, ROLES) if one.get(("mqtt", "host")) == place.host), {})
    ca_file = given.ca_file or (Path(kept["mqtt", "ca_file"]) if ("mqtt", "ca_file") in kept else None)
    tls = ca_file is not None or bool(kept.get(("mqtt", "tls"))) or place.port == TLS_PORT
    names = {role: existing.values(service).get(("mqtt", "username")) for service, role in ROLES.items()}
    return BrokerChoice(
        host=place.host,
        port=place.port or (TLS_PORT if tls else PORT),
        tls=tls,
        ca_file=ca_file,
        folder=existing.folder,
        logins=existing.logins if given.username is None else frozenset(),
        username=given.username,
        password=given.password,
        names={role: str(name) for role, name in names.items() if name},
    )


def _try_all(choice: BrokerChoice, services: tuple[str, ...]) -> Steps[BrokerAnswer]:
    """Each service's login; the first that is not taken decides."""
    answer = BrokerAnswer("down")
    for mqtt in dict.fromkeys(choice.mqtt(service) for service in services):
        answer = yield from do(TryBroker(mqtt))
        if answer.state != "up":
            return answer
    return answer
