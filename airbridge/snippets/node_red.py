"""A Node-RED flow to import: all values as an object, and a word when they stop."""

import json
from typing import Any

from airbridge.snippets.place import LIVE_TIMEOUT, Place


def render(place: Place) -> str:
    """The flow, as JSON. A login is set in the broker's node: Node-RED never imports passwords."""
    flow = "airbridge-flow"
    broker = {
        "id": "airbridge-broker",
        "type": "mqtt-broker",
        "name": "KSEM AirBridge",
        "broker": place.broker,
        "port": str(place.port),
        "usetls": place.tls,
        "protocolVersion": "4",
        "cleansession": True,
        "keepalive": "60",
    }
    stopped = {
        "id": "airbridge-stopped",
        "type": "trigger",
        "z": flow,
        "name": f"nothing for {LIVE_TIMEOUT} s",
        "op1": "",
        "op1type": "nul",
        "op2": "stopped",
        "op2type": "str",
        "duration": str(LIVE_TIMEOUT),
        "units": "s",
        "extend": True,
        "x": 380,
        "y": 140,
        "wires": [["airbridge-show"]],
    }
    show = {"id": "airbridge-show", "type": "debug", "z": flow, "name": "meter", "x": 580, "y": 100, "wires": []}
    nodes: list[dict[str, Any]] = [
        {"id": flow, "type": "tab", "label": f"KSEM {place.meter}"},
        broker,
        _listener(flow, "airbridge-values", "all values", place.values, "json", 80, ["airbridge-stopped"]),
        _listener(flow, "airbridge-status", "live data", place.status, "utf8", 200, []),
        stopped,
        show,
    ]
    return json.dumps(nodes, indent=2) + "\n"


def _listener(
    flow: str, ident: str, name: str, topic: str, datatype: str, height: int, more: list[str]
) -> dict[str, Any]:
    return {
        "id": ident,
        "type": "mqtt in",
        "z": flow,
        "name": name,
        "topic": topic,
        "qos": "0",
        "datatype": datatype,
        "broker": "airbridge-broker",
        "x": 140,
        "y": height,
        "wires": [["airbridge-show", *more]],
    }
