"""Calls the Supervisor's API, as far as the app needs it [shell].

Nothing else here knows what the Supervisor's answers look like.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from airbridge.homeassistant_app.options import BadOptions

URL: Final = "http://supervisor"
OPTIONS: Final = Path("/data/options.json")
_PATIENCE: Final = 5.0


class SupervisorAway(Exception):
    """The Supervisor did not answer; the text gives the reason."""


def read_options(path: Path = OPTIONS) -> Mapping[str, Any]:
    """What the user has set."""
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadOptions(f"{path}: {error}") from error
    if not isinstance(options, dict):
        raise BadOptions(f"{path}: no JSON object")
    return options


def mqtt_service(url: str = URL, token: str | None = None) -> Mapping[str, Any] | None:
    """Broker and login of the MQTT service; None where no app provides one."""
    token = token if token is not None else os.environ.get("SUPERVISOR_TOKEN", "")
    request = urllib.request.Request(f"{url}/services/mqtt", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            data = json.loads(answer.read(100_000))["data"]
    except urllib.error.HTTPError as error:
        if error.code == 400:  # "Service not enabled": no app provides it
            return None
        raise SupervisorAway(f"{url}/services/mqtt: {error.code} {error.reason}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SupervisorAway(f"{url}/services/mqtt: {error}") from error
    return data if isinstance(data, dict) and data.get("host") else None
