"""What this host gives the other one, and where it keeps what the other one gave [shell]."""

import ipaddress
import os
import re
import secrets
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import attrs

from airbridge.doctor.gather_host import env_file
from airbridge.pairing.line import Pairing
from airbridge.setup.save import save
from airbridge.setup.settings_text import change
from airbridge.setup.steps import NewFile
from service_runtime.common_settings import IntegritySettings, MqttSettings
from service_runtime.setting import setting
from service_runtime.settings import SettingsError, load

ROLE: Final = "rtu"
KEY_NAME: Final = "message.key"
LOOPBACK_PORT: Final = 1884
"""The shipped broker's listener for services on its own host."""
PORT, TLS_PORT = 1883, 8883
_CERTIFICATES: Final = re.compile(r"-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]+-----\n")
_SERVICES: Final = {"publisher": "ksem-publisher", "rtu": "rtu-server"}
_FILES: Final = {"publisher": "publisher.toml", "rtu": "rtu-server.toml"}


class Unpaired(Exception):
    """It can't be done here; each of `args` names what is missing and the remedy."""


@attrs.frozen(kw_only=True)
class _Settings:
    """The tables of publisher.toml that count here."""

    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
    integrity: IntegritySettings = setting(factory=IntegritySettings, help="the key")


@dataclass(frozen=True, slots=True)
class Shown:
    """A line's content, and the services whose settings were changed for it."""

    pairing: Pairing
    changed: tuple[str, ...]


def show(folder: Path, *, broker: str | None, port: int | None, tls: bool) -> Shown:
    """Collect what the other host needs from the settings in `folder`; make the key where there is none."""
    found = _load(folder / _FILES["publisher"])
    pairing = collect(folder / "logins", found.mqtt, broker=broker, port=port, tls=tls or found.mqtt.tls, key="")
    key_file = found.integrity.key_file
    key = key_file.read_text(encoding="ascii") if key_file else f"{secrets.token_hex(32)}\n"
    changed = {} if key_file else _with_key(folder, "publisher", key)
    if (folder / _FILES["rtu"]).exists() and not _load(folder / _FILES["rtu"]).integrity.key_file:
        changed |= _with_key(folder, "rtu", key)
    _save(folder, [file for files in changed.values() for file in files])
    return Shown(replace(pairing, key=key), tuple(_SERVICES[role] for role in changed))


def show_logins(logins: Path, *, broker: str, port: int | None, tls: bool) -> Pairing:
    """The same where the settings are in the environment, as containers have them; the key goes to both logins."""
    place = logins / "publisher" / KEY_NAME
    key = _read(place, "") or f"{secrets.token_hex(32)}\n"
    pairing = collect(logins, MqttSettings(), broker=broker, port=port, tls=tls, key=key)
    for role in _SERVICES:
        write_files(logins / role, {KEY_NAME: key})
    return pairing


def collect(logins: Path, mqtt: MqttSettings, *, broker: str | None, port: int | None, tls: bool, key: str) -> Pairing:
    """Put a line's content together. `mqtt`: how the publisher reaches the broker."""
    login = logins / ROLE
    own = is_loopback(mqtt.host)
    if tls and own and broker is None:
        raise Unpaired("give --broker NAME: with TLS it must be a name or address that the broker's certificate holds")
    cert, cert_key = (_read(login / name, "") if tls else "" for name in ("cert.pem", "key.pem"))
    password = "" if cert else _read(login / "password", "").rstrip("\r\n")
    if not (password or cert):
        raise Unpaired(f"{login}/password is missing: the other host's login. On the broker's host: make-users {ROLE}")
    usual = TLS_PORT if tls else PORT
    return Pairing(
        host=broker or (own_address() if own else mqtt.host),
        port=port or (usual if own and mqtt.port in (LOOPBACK_PORT, PORT) else mqtt.port),
        prefix=mqtt.prefix,
        username=ROLE,
        key=key,
        password=password,
        tls=tls,
        ca=_pem(_read(login / "ca.pem", "") or _read(mqtt.ca_file, "")) if tls else "",
        cert=_pem(cert),
        cert_key=_pem(cert_key) if cert else "",
    )


def take(folder: Path, pairing: Pairing, template: str) -> None:
    """Write login, key, certificates and rtu-server.toml, all or nothing. `template`: the settings of a new file."""
    name = _FILES["rtu"]
    beaten = folder / "rtu-server.env"
    rivals = [one for one in env_file(beaten) if one.startswith(("AIRBRIDGE_MQTT__", "AIRBRIDGE_INTEGRITY__"))]
    if rivals:
        raise Unpaired(f"{beaten} sets {', '.join(sorted(rivals))}, which beats the settings file: remove these lines")
    login = f"logins/{ROLE}"
    text = _read(folder / name, "") or template
    files = [
        NewFile(f"{login}/{one}", content, _SERVICES[ROLE], is_settings=False) for one, content in pairing.files.items()
    ]
    changed = change(text, pairing.settings(str(folder / login)))
    _save(folder, [*files, NewFile(name, changed, _SERVICES[ROLE], is_settings=False)])


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write files into a login's folder, readable by its group alone."""
    for name, content in files.items():
        new = folder / f"{name}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(content)
        os.chown(new, -1, folder.stat().st_gid)
        new.chmod(0o640)
        new.replace(folder / name)


def is_loopback(host: str) -> bool:
    """Whether this is a host's name for itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_address() -> str:
    """Return this host's address in its network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): it only chooses a route, nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        raise Unpaired("this host's address can't be found: give --broker ADDRESS") from None


def _load(path: Path) -> _Settings:
    try:
        return load(_Settings, path=path, environ={**env_file(path.with_suffix(".env")), **os.environ})
    except SettingsError as error:
        raise Unpaired(*error.mistakes) from None


def _with_key(folder: Path, role: str, key: str) -> dict[str, list[NewFile]]:
    """The key file of a service on this host, and its settings with it."""
    name, service = f"logins/{role}/{KEY_NAME}", _SERVICES[role]
    text = (folder / _FILES[role]).read_text(encoding="utf-8")
    changed = change(text, {("integrity", "key_file"): str(folder / name)})
    return {
        role: [
            NewFile(name, key, service, is_settings=False),
            NewFile(_FILES[role], changed, service, is_settings=False),
        ]
    }


def _save(folder: Path, files: list[NewFile]) -> None:
    mistakes = save(folder, tuple(files)) if files else ()
    if mistakes:
        raise Unpaired(*mistakes)


def _read(path: Path | None, missing: str) -> str:
    """A file's text. Where the file is not there, `missing`."""
    try:
        return missing if path is None else path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return missing


def _pem(text: str) -> str:
    """The certificates and keys in a file, without the words that may stand around them."""
    return "".join(_CERTIFICATES.findall(text))
