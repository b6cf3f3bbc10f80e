"""The dashboard as a process, and what its page shows, for tests with a browser and without."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.bridge.broker import Broker, free_port
from tests.bridge.service import Service


class DashboardService(Service):
    """ksem-dashboard on a free port of 127.0.0.1."""

    def __init__(self, folder: Path, broker: Broker, *, more: str = "", environ: dict[str, str] | None = None) -> None:
        self.web_port = free_port()
        settings = (
            f'[dashboard]\nport = {self.web_port}\n{more}\n[mqtt]\nhost = "{broker.host}"\nport = {broker.port}\n'
        )
        super().__init__("ksem_dashboard", settings, folder, environ=environ)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web_port}/"

    def get(self, path: str = "") -> tuple[int, str, dict[str, str]]:
        """Status, body and headers (lower case) of an answer."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, answer.read().decode(), headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("state.json")[1])
        return found

    def memory_mb(self) -> float:
        """Resident memory, the peak."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
