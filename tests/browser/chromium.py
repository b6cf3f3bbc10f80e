"""A headless Chromium, steered over chromedriver's own HTTP (W3C WebDriver) with nothing but the standard library."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bridge.broker import accepts, free_port

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Chromium:
    """One page in one window. Everything it keeps is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._session = ""

    def __enter__(self) -> Self:
        driver = shutil.which("chromedriver")
        assert driver is not None, "apt-get install chromium chromium-driver"
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "chromedriver.log").open("wb") as log:
            self._process = subprocess.Popen([driver, f"--port={self._port}"], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not accepts("127.0.0.1", self._port):
            assert time.monotonic() < deadline, "chromedriver does not listen"
            time.sleep(0.05)
        options = {"args": [*FLAGS, f"--user-data-dir={self._folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self._session = self._request("POST", "/session", wanted)["sessionId"]
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            if self._session:
                self._request("DELETE", self._path())
        finally:
            self._process.terminate()
            self._process.wait(10)

    def open(self, address: str) -> None:
        self._request("POST", self._path("url"), {"url": address})

    def run(self, script: str) -> Any:
        """What a function with this body returns in the page."""
        return self._request("POST", self._path("execute/sync"), {"script": script, "args": []})

    def look(self, width: int, height: int | None = None, *, dark: bool = False, sharp: float = 1.0) -> bytes:
        """A picture (PNG) of the page this wide; the whole page where no height is given."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height or 800, "deviceScaleFactor": sharp, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", size)
        if height is None:
            size["height"] = int(self.run("return document.documentElement.scrollHeight"))
            self._tell("Emulation.setDeviceMetricsOverride", size)
        time.sleep(0.7)  # the plot is drawn anew, and transitions end
        return base64.b64decode(self._request("GET", self._path("screenshot")))

    def network(self, *, offline: bool) -> None:
        """Cut the page off from everything, or let it on again."""
        self._tell(
            "Network.emulateNetworkConditions",
            {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        )

    def console(self) -> list[str]:
        """What the page complained of since the last call."""
        return [entry["message"] for entry in self._request("POST", self._path("se/log"), {"type": "browser"})]

    def _tell(self, command: str, parameters: dict[str, Any]) -> None:
        self._request("POST", self._path("goog/cdp/execute"), {"cmd": command, "params": parameters})

    def _path(self, rest: str = "") -> str:
        return f"/session/{self._session}" + (f"/{rest}" if rest else "")

    def _request(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=None if content is None else json.dumps(content).encode(),
            method=method,
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode(errors='replace')[:500]}") from None
