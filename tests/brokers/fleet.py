"""Three NATS nodes with deploy/fleet's own files, on loopback; only paths and ports differ."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bridge.broker import free_port

from .programs import Nats

ROOT: Final = Path(__file__).parents[2]
FLEET: Final = ROOT / "deploy" / "fleet"
NODES: Final = ("centre-1", "centre-2", "centre-3")


def run_house(folder: Path, *words: str) -> None:
    """deploy/fleet/house, as its user runs it."""
    subprocess.run([sys.executable, str(FLEET / "house"), "--folder", str(folder), *words], check=True)


class Node:
    """One nats-server."""

    def __init__(self, folder: Path, name: str, files: Path) -> None:
        self.name, self.folder, self.files = name, folder, files
        self.port, self.client_port, self.http_port, self.route_port = (free_port() for _ in range(4))
        self.routes: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = (FLEET / "nats.conf").read_text()
        for old, new in (
            ('"0.0.0.0:4222"', f'"127.0.0.1:{self.client_port}"'),
            ('"127.0.0.1:8222"', f'"127.0.0.1:{self.http_port}"'),
            ('"0.0.0.0:6222"', f'"127.0.0.1:{self.route_port}"'),
            ('"0.0.0.0:8883"', f'"127.0.0.1:{self.port}"'),
            ('"/data"', f'"{self.folder / "data"}"'),
            ('"certs/ca.pem"', f'"{self.files / "ca.pem"}"'),
            ('"certs/node.', f'"{self.files / "nodes" / self.name}.'),
        ):
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / "nats.conf").write_text(text)
        (self.folder / "houses.conf").write_text((self.files / "houses.conf").read_text())
        routes = json.dumps([f"nats://127.0.0.1:{port}" for port in self.routes])
        environ = {**os.environ, "NODE": self.name, "ROUTES": routes}
        with (self.folder / "log").open("ab") as log:
            command = [str(Nats.program()), "-c", str(self.folder / "nats.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def is_well(self) -> bool:
        """Whether it is part of a cluster with a leader."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log_text(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


class Cluster:
    """The centre. `files` holds what deploy/fleet/house made."""

    def __init__(self, folder: Path, *, houses: int, readers: tuple[str, ...] = ("telegraf",)) -> None:
        self.files = folder / "fleet"
        self.houses = [f"house-{number}" for number in range(1, houses + 1)]
        self.nodes = [Node(folder / name, name, self.files) for name in NODES]
        for node in self.nodes:
            node.routes = [other.route_port for other in self.nodes if other is not node]
        run_house(self.files, "init", *NODES)
        addresses = " ".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        run_house(self.files, "add", "--reader", *readers)
        for house in (self.houses[first : first + 50] for first in range(0, houses, 50)):
            home = str(self.files / "houses" / "HERE")
            run_house(self.files, "add", "--addresses", addresses, "--install", home, *house)

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        self.await_well()
        return self

    def await_well(self, patience: float = 60.0) -> None:
        deadline = time.monotonic() + patience
        while not all(node.is_well() for node in self.nodes):
            assert time.monotonic() < deadline, self.nodes[0].log_text()[-3000:]
            time.sleep(0.1)

    def bridge(self, house: str) -> str:
        """The bridge's lines for the house's mosquitto."""
        home = self.files / "houses" / house
        return (home / "bridge.conf").read_text().replace(str(home.parent / "HERE"), str(home))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.kill()
