"""Runs the app for Home Assistant: `python -m airbridge.homeassistant_app` [shell].

One loop, once a second: take changed options and a changed broker over, start what has ended, answer the watchdog.
"""

import http.server
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final

from airbridge.homeassistant_app import supervisor_api
from airbridge.homeassistant_app.options import BadOptions, plans
from airbridge.homeassistant_app.service_process import ServiceProcess
from service_runtime.clock import uptime

WATCHDOG_PORT: Final = 8100
"""`watchdog` of config.yaml."""
RENEW: Final = 30.0
"""Seconds between two requests for the Supervisor's broker. The options are a file, read in each cycle."""
SERVICES: Final = ("ksem-publisher", "rtu-server", "ksem-dashboard")
_log: Final = logging.getLogger("app")


class App:
    """The services, and what they run by. `url` and `options` are the Supervisor's; tests have their own."""

    def __init__(self, folder: Path, options: Path, url: str) -> None:
        self._options, self._url = options, url
        level = "info"
        try:
            level = str(supervisor_api.read_options(options).get("log_level", level))
        except BadOptions as error:
            _log.error("%s", error)
        self.services = {service: ServiceProcess(service, folder, level) for service in SERVICES}
        self._seen: tuple[Any, Any] | None = None
        self._mqtt: Any = None
        self._renew_at = 0.0
        self._complaint = ""

    def turn(self, now: float) -> None:
        """What is to be done now."""
        try:
            self._renew(now)
        except (BadOptions, supervisor_api.SupervisorAway) as error:
            self._complain(str(error))
        for service in self.services.values():
            service.turn(now)

    def stop(self) -> None:
        """End all."""
        for service in self.services.values():
            service.stop(uptime())

    @property
    def why_not_well(self) -> str:
        """Names what does not run or hangs; empty where all is well."""
        return ", ".join(name for name, service in self.services.items() if not service.is_well)

    def _renew(self, now: float) -> None:
        options = supervisor_api.read_options(self._options)
        if now >= self._renew_at:
            self._renew_at = now + RENEW
            self._mqtt = None if options.get("mqtt_host") else supervisor_api.mqtt_service(self._url)
        if self._seen == (options, self._mqtt):
            return
        wanted = {plan.service: plan for plan in plans(options, self._mqtt)}
        for name, service in self.services.items():
            if name in wanted:
                service.accept(wanted[name])
            else:
                service.plan = None
                service.stop(now)
        self._seen = (options, self._mqtt)
        self._complaint = ""

    def _complain(self, why: str) -> None:
        """Once each."""
        if why != self._complaint:
            _log.error("%s", why)
            self._complaint = why


class _Watchdog(http.server.BaseHTTPRequestHandler):
    """Answers the Supervisor: 200 while every service runs and its loop is alive, else 503 with their names."""

    app: App

    def do_GET(self) -> None:
        """Any path."""
        why = self.app.why_not_well
        body = f"{why or 'ok'}\n".encode()
        self.send_response(503 if why else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """No log line for each request."""


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    folder = Path(os.environ.get("APP_FOLDER", "/run/airbridge"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Path(os.environ.get("APP_OPTIONS", supervisor_api.OPTIONS))
    app = App(folder, options, os.environ.get("APP_SUPERVISOR", supervisor_api.URL))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _Watchdog.app = app
    port = int(os.environ.get("APP_WATCHDOG", str(WATCHDOG_PORT)))
    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), _Watchdog)  # noqa: S104  the Supervisor's network
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not stop.wait(0.5):
        app.turn(uptime())
    app.stop()


if __name__ == "__main__":
    main()
