"""A stand-in of Home Assistant's Supervisor: its API, its options file, and its ingress as a proxy below a path."""

import contextlib
import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bridge.broker import free_port

TOKEN = "supervisor-token"
PREFIX = "/api/hassio_ingress/3Ei9vEj1wBC0"


class Supervisor:
    """Serves `/services/mqtt` as the Supervisor does, and everything below PREFIX from the page's port."""

    def __init__(self, folder: Path) -> None:
        self.options_file = folder / "options.json"
        self.mqtt: dict[str, Any] | None = None
        self.page_port, self.watchdog_port, self.push_port = free_port(), free_port(), free_port()
        self._folder = folder
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._app: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "app.log"

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def set_options(self, **options: Any) -> None:
        """Write the options as the Supervisor does; the page and the push get ports of their own."""
        ports = {"dashboard.port": self.page_port, "dashboard.proxy": "127.0.0.1", "push.port": self.push_port}
        more = [{"name": name, "value": str(value)} for name, value in {**ports, **options.pop("settings", {})}.items()]
        new = self.options_file.with_suffix(".new")
        new.write_text(json.dumps({**options, "settings": more}))
        new.replace(self.options_file)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._app is not None and self._app.poll() is None:
            self._app.terminate()
            self._app.wait(20)
        self._server.shutdown()
        self._server.server_close()

    def start_app(self) -> None:
        """As its container would run it."""
        environ = {
            **os.environ,
            "SUPERVISOR_TOKEN": TOKEN,
            "APP_USER": "0",  # Python may lie where nobody else may go
            "APP_FOLDER": str(self._folder / "run"),
            "APP_OPTIONS": str(self.options_file),
            "APP_SUPERVISOR": self.url,
            "APP_WATCHDOG": str(self.watchdog_port),
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "airbridge.homeassistant_app"]
            self._app = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def log_text(self) -> str:
        """What the app and its services logged."""
        return self._log.read_text() if self._log.exists() else ""

    def watchdog(self) -> int:
        """The status that the Supervisor's watchdog gets; 0 where nobody answers."""
        with contextlib.suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.watchdog_port}/health", timeout=5) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code
        return 0

    def ingress(self, path: str = "/") -> tuple[int, str]:
        """What a browser gets through the ingress, under a name that the page does not know."""
        request = urllib.request.Request(f"{self.url}{PREFIX}{path}", headers={"Host": "my-home.example:8123"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def processes(self) -> dict[str, int]:
        """Process id by service, of those that run."""
        assert self._app is not None
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self._app.pid and "--config" in words:
                    found[Path(words[words.index("--config") + 1]).stem] = int(entry.name)
        return found

    def kill(self, service: str) -> int:
        """Kill -9; returns the process id that it had."""
        pid = self.processes()[service]
        os.kill(pid, signal.SIGKILL)
        return pid

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        supervisor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith(PREFIX):
                    self._proxy()
                elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self._reply(401, b'{"result": "error", "message": "unauthorized"}')
                elif self.path != "/services/mqtt":
                    self._reply(404, b"{}")
                elif supervisor.mqtt is None:
                    self._reply(400, b'{"result": "error", "message": "Service not enabled"}')
                else:
                    self._reply(200, json.dumps({"result": "ok", "data": supervisor.mqtt}).encode())

            def _proxy(self) -> None:
                """As supervisor/api/ingress.py: the browser's headers go on, its Host too, with X-Ingress-Path."""
                peer = http.client.HTTPConnection("127.0.0.1", supervisor.page_port, timeout=5)
                headers = {**self.headers, "X-Ingress-Path": PREFIX, "X-Forwarded-For": "192.168.1.77"}
                try:
                    peer.request("GET", self.path.removeprefix(PREFIX) or "/", headers=headers)
                    answer = peer.getresponse()
                    self._reply(answer.status, answer.read(65536), answer.getheader("content-type", "text/plain"))
                except OSError as error:
                    self._reply(502, str(error).encode())
                finally:
                    peer.close()

            def _reply(self, code: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


def await_true(holds: Callable[[], bool], what: Callable[[], object], within: float = 60.0) -> float:
    """Wait for something; returns the seconds it took. `what`: shown where it does not come."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within, what()
        time.sleep(0.1)
    return time.monotonic() - begun
