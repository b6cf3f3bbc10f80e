"""Holds what the wizard knows before its first question: the command line, and the existing settings [core]."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from airbridge.setup import settings_text
from airbridge.setup.settings_text import Key

FILES: Final = {
    "ksem-publisher": "publisher.toml",
    "rtu-server": "rtu-server.toml",
    "ksem-dashboard": "dashboard.toml",
}
"""A service's settings file."""
ROLES: Final = {"ksem-publisher": "publisher", "rtu-server": "rtu", "ksem-dashboard": "dashboard"}
"""The login that a service has at the broker, and the name of the folder that holds it."""
PUSH_PORT: Final = 5020
"""The default of [push] port."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host, and a port where one was named."""

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The command line. The wizard puts no question about a value named there."""

    services: tuple[str, ...] = ()
    meter: Address | None = None
    meter_tls: bool = False
    port: str | None = None
    broker: Address | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    networks: tuple[str, ...] = ()
    """Where to look for the meter; naming one is the consent to look there."""
    scan: bool = True
    """False: look nowhere but where the network announces something."""
    untested: bool = False
    """Write an answer that did not pass its test, too."""
    wait: float = 120.0
    """Seconds to wait for what is set in a menu, before the question whether to wait on."""
    start: bool = True
    """Start the services and run the doctor at the end."""
    change: frozenset[str] = frozenset()

    @property
    def topics(self) -> set[str]:
        """What the command line names, or wants to change."""
        named = {"meter": self.meter or self.networks, "port": self.port, "broker": self.broker or self.username}
        return {topic for topic, value in named.items() if value} | self.change


@dataclass(frozen=True, slots=True)
class Existing:
    """The settings folder as it is."""

    folder: Path
    texts: Mapping[str, str]
    """File name: its text."""
    templates: Mapping[str, str]
    """File name: what a new one begins with."""
    logins: frozenset[str] = frozenset()
    """Roles of which there is a password in `logins/`."""
    services: tuple[str, ...] = ()
    """Installed on this host."""

    def values(self, service: str) -> Mapping[Key, Any]:
        """What a service's file sets. An example file that nobody has changed sets nothing: its address is made up."""
        text = self.texts.get(FILES[service], "")
        return {} if text == self.templates[FILES[service]] else settings_text.values(text)

    def has(self, topic: str, services: tuple[str, ...]) -> bool:
        """Whether this is answered already."""
        if topic == "meter":
            return ("meter", "host") in self.values("ksem-publisher")
        if topic == "port":
            return ("line", "port") in self.values("rtu-server")
        return all(any(table == "mqtt" for table, _ in self.values(service)) for service in services)

    def shown(self, topic: str) -> str:
        """The present answer, for people."""
        if topic == "meter":
            return str(self.values("ksem-publisher").get(("meter", "host"), ""))
        if topic == "port":
            return str(self.values("rtu-server").get(("line", "port"), ""))
        settings = next((one for one in map(self.values, FILES) if ("mqtt", "host") in one), {})
        return f"{settings.get(('mqtt', 'host'), 'localhost')}:{settings.get(('mqtt', 'port'), 1883)}"
