"""Settings tables that several services share, and the names of all tables."""

from pathlib import Path

import attrs

from ksem_contract.mac import KEYLESS, MessageKeys, parse_keys
from service_runtime.setting import between, not_empty, one_of, port, readable_file, setting, topic_prefix

# One file or one environment may serve all services: each ignores the tables of the others and refuses unknown ones.
KNOWN_TABLES = frozenset(
    {
        "meter",
        "push",
        "poll",
        "checks",
        "demand",
        "values",
        "openwb",
        "node",
        "line",
        "tcp",
        "freshness",
        "inverter",
        "dashboard",
        "notify",
        "history",
        "mqtt",
        "recorder",
        "homeassistant",
        "integrity",
    }
)


@attrs.frozen(kw_only=True)
class MqttSettings:
    """The table [mqtt]: where the broker is and how to log in."""

    host: str = setting(default="localhost", help="the broker's host name or address", allowed=not_empty())
    port: int = setting(default=1883, help="the broker's port; with TLS usually 8883", allowed=port())
    username: str | None = setting(default=None, help="the name to log in with", allowed=not_empty())
    password: str | None = setting(default=None, help="the password; better in password_file", secret=True)
    password_file: Path | None = setting(default=None, help="a file that holds the password alone")
    prefix: str = setting(default="ksem", help="the first part of every topic", allowed=topic_prefix())
    version: int | str = setting(
        default="auto",
        help="the MQTT version: auto tries 5 and takes 3.1.1 where the broker refuses 5; 3 (also written 311) is 3.1.1",
        allowed=one_of("auto", 5, 3, 311),
    )
    tls: bool = setting(default=False, help="encrypt the connection")
    ca_file: Path | None = setting(
        default=None, help="the CA that signed the broker's certificate; else the system's", allowed=readable_file()
    )
    cert_file: Path | None = setting(
        default=None, help="this client's certificate, where the broker requires one", allowed=readable_file()
    )
    key_file: Path | None = setting(default=None, help="the private key of cert_file", allowed=readable_file())
    keepalive: int = setting(
        default=2, help="seconds of silence after which the link is probed", allowed=between(1, 600, "seconds")
    )

    def __attrs_post_init__(self) -> None:
        mistakes = []
        if self.password is not None and self.username is None:
            mistakes.append("username is needed where a password is given")
        if (self.cert_file is None) != (self.key_file is None):
            mistakes.append("cert_file and key_file: give both or neither")
        if not self.tls and (self.ca_file or self.cert_file):
            mistakes.append("tls must be true where ca_file or cert_file is given")
        if mistakes:
            raise ValueError(*mistakes)

    def current_password(self) -> str | None:
        """Return the password as its file holds it now, so that a corrected one needs no restart.

        A file that is gone or half written gives the loaded password; the broker refuses one that is old.
        """
        if self.password_file is None:
            return self.password
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n") or self.password
        except (OSError, UnicodeDecodeError):
            return self.password


@attrs.frozen(kw_only=True)
class RecorderSettings:
    """The table [recorder]: the last minutes on the wires, written to a file after a fault."""

    enabled: bool = setting(default=True, help="keep the last minutes, where there is a folder to write them to")
    directory: Path | None = setting(
        default=None, help="the folder for them; else the one that systemd gives the service, else nothing is kept"
    )


@attrs.frozen(kw_only=True)
class IntegritySettings:
    """The table [integrity]: how the two services authenticate each other's messages."""

    key_file: Path | None = setting(
        default=None,
        help="a file with the key that both services share, hex, or with two while it changes, one a line; none: the"
        " code in blocks and pongs shows damage alone",
        allowed=readable_file(),
    )

    def __attrs_post_init__(self) -> None:
        try:
            self.read_keys()
        except (OSError, ValueError) as error:
            raise ValueError(f'key_file = "{self.key_file}": {why_no_keys(error)}') from None

    def read_keys(self) -> MessageKeys:
        """Return the keys that the file holds now. OSError or ValueError where it can't be used."""
        return KEYLESS if self.key_file is None else parse_keys(self.key_file.read_text(encoding="ascii"))


def why_no_keys(error: OSError | ValueError) -> str:
    """Return why a key file can't be used, without any of its text."""
    if isinstance(error, OSError):
        return f"can't be read: {error.strerror}"
    return "it holds something else than hex digits" if isinstance(error, UnicodeDecodeError) else str(error)


@attrs.frozen(kw_only=True)
class HomeAssistantSettings:
    """The table [homeassistant]: device discovery."""

    discovery: bool = setting(default=True, help="announce the device to Home Assistant")
    prefix: str = setting(default="homeassistant", help="Home Assistant's discovery prefix", allowed=topic_prefix())
