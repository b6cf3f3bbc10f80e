"""Makes the services' settings from the app's options and the Supervisor's broker [core]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service_runtime.setting import toml_word

PAGE_PORT: Final = 8099
"""`ingress_port` of config.yaml."""
PUSH_PORT: Final = 5020
"""The container's side of `ports` in config.yaml."""
INGRESS: Final = "172.30.32.2"
"""Where Home Assistant's ingress comes from; nobody else may see the page (Home Assistant's developer documentation,
"Presenting your app", Ingress)."""
NODE: Final = "homeassistant"
"""The node's name: the container's host name is no name for people."""


class BadOptions(Exception):
    """The options can't be used; the text names the option and the remedy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one service is to run. `settings`: its file, which may hold the broker's password."""

    service: str
    settings: str = field(repr=False)
    environ: Mapping[str, str]
    port: str | None = None
    """The serial port that it opens."""


def plans(options: Mapping[str, Any], mqtt: Mapping[str, Any] | None) -> tuple[Plan, ...]:
    """Which services run, and how. `mqtt`: what the Supervisor reports of the MQTT service; None: there is none."""
    broker = _broker(options, mqtt)
    environ = _environ(options)
    made = [Plan("ksem-publisher", _publisher(options) + broker, environ)]
    port = options.get("serial_port")
    if port:
        made.append(Plan("rtu-server", _rtu_server(options, str(port)) + broker, environ, str(port)))
    made.append(Plan("ksem-dashboard", _dashboard() + broker, environ))
    return tuple(made)


def _publisher(options: Mapping[str, Any]) -> str:
    host = str(options.get("meter_host") or "").strip()
    if not host:
        raise BadOptions("meter_host is empty: put the KSEM's address there (your router lists it)")
    meter = {"host": host, "tls": bool(options.get("meter_tls", False))}
    return _table("[[meter]]", meter) + _table("[push]", {"port": PUSH_PORT})


def _rtu_server(options: Mapping[str, Any], port: str) -> str:
    unit = {"on_stale": str(options.get("on_stale", "exception-4"))}
    return _table("[node]", {"name": NODE}) + _table("[[line]]", {"port": port}) + _table("[[line.unit]]", unit)


def _dashboard() -> str:
    page = {"listen": "0.0.0.0", "port": PAGE_PORT, "proxy": INGRESS}  # noqa: S104  the proxy alone gets answers
    return _table("[dashboard]", page)


def _broker(options: Mapping[str, Any], mqtt: Mapping[str, Any] | None) -> str:
    """The options' broker, where they name one; else the Supervisor's."""
    if options.get("mqtt_host"):
        broker = {key: options.get(f"mqtt_{key}") for key in ("host", "port", "username", "password")}
        broker["tls"] = options.get("mqtt_tls")
    elif mqtt is not None:
        broker = {key: mqtt.get(key) for key in ("host", "port", "username", "password")}
        broker["tls"] = mqtt.get("ssl")
    else:
        raise BadOptions(
            "there is no MQTT broker: install the app Mosquitto broker and start it, or name one in mqtt_host"
        )
    return _table("[mqtt]", {key: value for key, value in broker.items() if value not in (None, "", False)})


def _environ(options: Mapping[str, Any]) -> Mapping[str, str]:
    """`settings` of the options, each `poll.live` and a value, as the variables that beat the file."""
    more: Sequence[Mapping[str, Any]] = options.get("settings") or ()
    return {f"AIRBRIDGE_{str(one['name']).replace('.', '__').upper()}": str(one["value"]) for one in more}


def _table(header: str, values: Mapping[str, Any]) -> str:
    lines = [header, *(f"{key} = {toml_word(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n\n"
