"""The dashboard as a process, beside the real services: what it answers, and that it stays small and harmless."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ksem_dashboard.service import REQUEST_WITHIN
from tests.browser.dashboard import DashboardService
from tests.chain import Chain, kinds


class Scene:
    """The chain and its dashboard."""

    def __init__(self, chain: Chain, dashboard: DashboardService, health_file: Path) -> None:
        self.chain, self.dashboard, self.health_file = chain, dashboard, health_file

    def await_health(self, status: int, within: float = 10.0, words: str = "") -> str:
        """Wait until /healthz answers with this status, and with these words in it; what it says."""

        def written() -> str:
            found: tuple[int, str, object] = self.dashboard.get("healthz")
            return found[1] if found[0] == status and words in found[1] else ""

        text: str = await_true(written, within)
        return text


def await_true(holds: Callable[[], Any], within: float) -> Any:
    deadline = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("dashboard")
    health_file = folder / "health"
    with Chain(folder / "chain") as chain:
        chain.start()
        with DashboardService(folder, chain.broker, environ={"HEALTH_FILE": str(health_file)}) as dashboard:
            dashboard.await_log("the page is at")
            chain.await_good()
            scene = Scene(chain, dashboard, health_file)
            scene.await_health(200)
            yield scene


def events(scene: Scene, wanted: str, count: int, within: float = 10.0) -> list[Any]:
    """So many events of this name, as a browser gets them."""
    found: list[Any] = []
    with closing(http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=within)) as connection:
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        name = ""
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name == wanted:
                found.append(json.loads(line.removeprefix("data: ")))
    return found


def test_health_is_good_while_data_flows_and_bad_with_the_reason_while_it_does_not(scene: Scene) -> None:
    assert scene.await_health(200, words="inverter") == "All is well. The inverter gets fresh data.\n"
    await_true(lambda: " ok " in scene.health_file.read_text(), 3)
    scene.chain.publisher.stop()
    assert scene.await_health(503, within=3) == "The publisher of meter main is gone.\n"
    await_true(lambda: " bad " in scene.health_file.read_text(), 3)
    scene.chain.publisher.start()
    scene.await_health(200)


def test_health_is_bad_while_the_broker_is_away(scene: Scene) -> None:
    # A broker that ends may deliver the publisher's last will first.
    scene.chain.broker.stop()
    try:
        scene.await_health(503, within=5, words="no link to the broker")
    finally:
        scene.chain.broker.start()
    scene.await_health(200, within=15)


def test_metrics_are_what_prometheus_reads(scene: Scene) -> None:
    # The RTU server tells its counters every 10 s.
    await_true(lambda: sum(unit["requests"] for unit in scene.dashboard.state()["nodes"]["attic"]["units"]), 15)
    await_true(lambda: bool(re.search(r"^ksem_push_up\S* 1", scene.dashboard.get("metrics")[1], re.MULTILINE)), 15)
    status, text, headers = scene.dashboard.get("metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    assert samples["ksem_meter_fresh"] == samples["ksem_node_online"] == samples["ksem_push_up"] == 1
    assert 0 <= samples["ksem_block_age_seconds"] < 60
    assert samples["ksem_requests_total"] > 0
    assert samples["ksem_turnaround_seconds_count"] >= samples["ksem_inverter_data_age_seconds_count"] > 0
    assert samples["ksem_inverter_data_age_seconds_sum"] > 0
    assert abs(samples["ksem_power_watts"]) < 30_000


def test_events_bring_each_cycle_and_the_state_of_all(scene: Scene) -> None:
    begun = time.monotonic()
    reported = events(scene, "live", 10)
    assert time.monotonic() - begun < 5
    assert all(one["fresh"] and one["age_ms"] < 1000 and "power" in one["values"] for one in reported)
    assert [one["at"] for one in reported] == sorted(one["at"] for one in reported)
    (state,) = events(scene, "state", 1)
    assert state["verdict"]["state"] == "ok"
    assert state["meters"]["main"]["chains"][0]["parts"][0]["condition"] == "up"
    (history,) = events(scene, "history", 1)
    assert len(history["points"]) == history["slots"] - 1


def test_a_page_that_reads_nothing_delays_nobody(scene: Scene) -> None:
    with socket.create_connection(("127.0.0.1", scene.dashboard.web_port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stuck.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = time.monotonic()
        assert len(events(scene, "live", 10)) == 10
        assert time.monotonic() - begun < 5


def test_only_so_many_pages_are_served_at_once(scene: Scene) -> None:
    pages = []
    try:
        for _ in range(32):
            page = http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=5)
            page.request("GET", "/events")
            assert page.getresponse().status == 200
            pages.append(page)
        assert scene.dashboard.get("events")[0] == 503
        assert scene.dashboard.get("healthz")[0] == 200
    finally:
        for page in pages:
            page.close()
    await_true(lambda: is_let_in(scene), 5)


def is_let_in(scene: Scene) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=5)) as page:
        page.request("GET", "/events")
        return page.getresponse().status == 200


@pytest.mark.parametrize("path", ["", "style.css", "page.js", "draw.js", "ages.js", "icon.svg"])
def test_the_page_allows_nothing_but_its_own_files(scene: Scene, path: str) -> None:
    status, _, headers = scene.dashboard.get(path)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_through_it(scene: Scene, method: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=5)) as connection:
        connection.request(method, "/state.json")
        assert connection.getresponse().status == 405


@pytest.mark.parametrize("path", ["/", "/state.json", "/metrics", "/events", "/healthz"])
def test_a_foreign_host_name_is_refused(scene: Scene, path: str) -> None:
    for host, status in (("evil.example", 421), ("localhost", 200)):
        with closing(http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=5)) as connection:
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status


def test_a_connection_without_a_whole_request_is_closed(scene: Scene) -> None:
    with ExitStack() as stack:
        opened = []
        for sent in (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", scene.dashboard.web_port), timeout=20))
            silent.sendall(sent)
            opened.append(silent)
        for silent in opened:
            while silent.recv(4096):
                pass


@pytest.mark.promise(10)
def test_silent_connections_without_number_lock_nobody_out_for_long(scene: Scene) -> None:
    opened = [socket.create_connection(("127.0.0.1", scene.dashboard.web_port), timeout=5) for _ in range(200)]
    try:
        scene.await_health(200, within=4 * REQUEST_WITHIN)
        assert all(silent.recv(1) == b"" for silent in opened)
    finally:
        for silent in opened:
            silent.close()


def test_the_limit_holds_for_pages_that_open_at_the_same_moment(scene: Scene) -> None:
    address = ("127.0.0.1", scene.dashboard.web_port)
    opened = [socket.create_connection(address, timeout=5) for _ in range(80)]
    try:
        for page in opened:
            page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sum(b" 200 " in page.recv(15) for page in opened) == 32
    finally:
        for page in opened:
            page.close()
    await_true(lambda: is_let_in(scene), 5)


def test_it_stays_below_45_megabytes(scene: Scene) -> None:
    for _ in range(20):
        scene.dashboard.get("metrics")
    assert scene.dashboard.memory_mb() <= 45


def test_stopping_it_is_quick_and_changes_nothing_for_the_inverter(scene: Scene) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", scene.dashboard.web_port, timeout=5)) as page:
        page.request("GET", "/events")
        page.getresponse().readline()
        scene.chain.inverter.command("reset")
        begun = time.monotonic()
        assert scene.dashboard.stop() == 0
        assert time.monotonic() - begun < 2
    got = scene.chain.watch(2.0)
    scene.dashboard.start()
    scene.dashboard.await_log("the page is at", times=2)
    assert kinds(got) == {"good"}


def started(folder: Path, settings: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = folder / "dashboard.toml"
    path.write_text(settings)
    command = [sys.executable, "-m", "ksem_dashboard", "--config", str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, env={**os.environ, **environ}
    )


def test_bad_settings_end_it_with_2_and_all_mistakes(tmp_path: Path) -> None:
    ended = started(tmp_path, '[dashboard]\nport = 99999\nmeter = ["main"]\n[mqtt]\nport = 0\n')
    assert ended.returncode == 2
    assert all(word in ended.stderr for word in ("[dashboard] port", "meter", "[mqtt] port", "3 mistakes"))


def test_a_port_that_is_taken_ends_it_with_1_and_the_reason(tmp_path: Path, scene: Scene) -> None:
    ended = started(tmp_path, f"[dashboard]\nport = {scene.dashboard.web_port}\n")
    assert ended.returncode == 1
    assert f"can't listen on 127.0.0.1 port {scene.dashboard.web_port}" in ended.stderr
    assert "Address already in use" in ended.stderr


def test_systemd_is_told(tmp_path: Path, scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        address = tmp_path / "notify"
        systemd.bind(str(address))
        systemd.settimeout(10)
        reported = ""
        environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1000000"}
        with DashboardService(tmp_path, scene.chain.broker, environ=environ) as dashboard:
            while not all(word in reported for word in ("READY=1", "STATUS=All is well", "WATCHDOG=1")):
                reported += systemd.recv(4096).decode() + "\n"
            dashboard.stop()
        assert reported.index("READY=1") < reported.index("STATUS=All is well")
