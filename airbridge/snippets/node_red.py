"""Makes a Node-RED flow to import: it gives all values as an object, and a warning when they stop."""

import json
from typing import Any

from airbridge.snippets.place import LIVE_TIMEOUT, Address


def render_node_red(place: Address) -> str:
    """The flow, as JSON. Node-RED imports no logins: a comment in the flow has what to type in."""
    notes = [f"In the node of the broker, Security: user {place.username}."] if place.username else []
    if place.tls:
        notes.append("The TLS node reads its files under /data: correct the paths to where you put them.")
    notes += place.login_notes("")
    flow = "airbridge-flow"
    broker: dict[str, Any] = {
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
    secure = {
        "id": "airbridge-tls",
        "type": "tls-config",
        "name": "KSEM AirBridge",
        "ca": "/data/ca.pem",
        "cert": "/data/cert.pem",
        "key": "/data/key.pem",
        "verifyservercert": True,
    }
    if place.tls:
        broker["tls"] = secure["id"]
    comment = {
        "id": "airbridge-login",
        "type": "comment",
        "z": flow,
        "name": "How to log in",
        "info": "\n\n".join(notes),
        "x": 140,
        "y": 20,
        "wires": [],
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
        *([secure] if place.tls else []),
        comment,
        _node_red_listener(flow, "airbridge-values", "all values", place.values, "json", 80, ["airbridge-stopped"]),
        _node_red_listener(flow, "airbridge-status", "live data", place.status, "utf8", 200, []),
        stopped,
        show,
    ]
    return json.dumps(nodes, indent=2) + "\n"


def _node_red_listener(
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
