"""docker-compose.yml for real: `make test-platform`, or `python -m tests.platform.compose`. Root, Debian.

The demo becomes healthy, its inverter gets good answers, a stopped publisher makes the inverter's side unhealthy within
10 s, nothing runs as root. Then both halves and the dashboard with a `.env` of three lines, and an adapter that comes
and goes. Then each half on its own. Then what docs/docker.md tells about encryption, logins and backup.
"""

import argparse
import json
import os
import shutil
import stat
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.platform.checkout import ROOT
from tests.platform.compose_cabinet import Adapter, Cabinet, judged_bad
from tests.platform.compose_page import the_page
from tests.platform.compose_project import Project, brought_up, check_confinement, print_line
from tests.platform.docker_engine import DockerEngine, install_packages, run

UNHEALTHY_WITHIN = 10.0
STOPPED_WITHIN = 2.0
DEMO = ("mosquitto", "demo-meter", "demo-line", "demo-inverter", "demo-publisher", "demo-rtu-server")
CHECKED = ("mosquitto", "demo-publisher", "demo-rtu-server", "demo-inverter")
"""Those with a health check."""


def ask_inverter(project: Project, do: str, **parameters: Any) -> dict[str, Any]:
    code = (
        "import json, pathlib, sys; from ksem_simulators.process import ControlClient;"
        "print(json.dumps(ControlClient(pathlib.Path('/demo/ask')).command(sys.argv[1], **json.loads(sys.argv[2]))))"
    )
    reported = project.compose("exec", "-T", "demo-inverter", "python3", "-c", code, do, json.dumps(parameters))
    answer: dict[str, Any] = json.loads(reported.splitlines()[-1])
    return answer


def demo(engine: DockerEngine) -> None:
    with brought_up(Project(engine, "demo")) as project:
        for service in CHECKED:
            project.until_health(service, "healthy", 60.0)
        print_line("healthy: " + ", ".join(CHECKED))
        check_confinement(project, DEMO)

        ask_inverter(project, "reset")
        seen = ask_inverter(project, "await", outcome="good", count=60, seconds=20)
        assert seen["reached"], seen
        status = ask_inverter(project, "status")
        assert not judged_bad(status["outcomes"]), status["problems"]
        print_line(f"inverter: {status['outcomes']}, age {status['age_ms']}, turnaround {status['turnaround_ms']}")

        stop_publisher(project)
        check_stops(project, "demo-rtu-server", "demo-publisher", "mosquitto")


def check_stops(project: Project, *services: str) -> None:
    for service in services:
        took = timed(lambda service=service: project.compose("stop", service))  # type: ignore[misc]
        assert took < STOPPED_WITHIN + 1.0, f"{service} took {took:.1f} s to stop"  # 1 s for compose itself
        code = project.inspect(service)["State"]["ExitCode"]
        assert code == 0, f"{service} was killed after its grace period (exit code {code})"
        print_line(f"{service} stopped in {took:.1f} s, exit code {code}")


def stop_publisher(project: Project) -> None:
    ask_inverter(project, "reset")
    begun = time.monotonic()
    project.compose("stop", "demo-publisher")
    project.until_health("demo-rtu-server", "unhealthy", UNHEALTHY_WITHIN)
    took = time.monotonic() - begun
    assert took < UNHEALTHY_WITHIN, took
    print_line(f"publisher stopped: the inverter's side is unhealthy after {took:.1f} s")
    print_line(f"  because: {project.last_check('demo-rtu-server')}")
    outcomes = ask_inverter(project, "status")["outcomes"]
    assert not judged_bad(outcomes), outcomes
    assert outcomes.get("exception-4"), outcomes
    print_line(f"inverter meanwhile: {outcomes}")
    project.compose("start", "demo-publisher")
    took = max(project.until_health(service, "healthy", 20.0) for service in ("demo-rtu-server", "demo-publisher"))
    print_line(f"publisher started: both sides healthy again after {took:.1f} s")


def timed(do: Callable[[], object]) -> float:
    begun = time.monotonic()
    do()
    return time.monotonic() - begun


def both_halves(engine: DockerEngine) -> None:
    """`.env.example`'s three lines."""
    with ExitStack() as stack:
        cabinet = Cabinet(stack)
        project = Project(
            engine, COMPOSE_PROFILES="publisher,rtu,dashboard", METER_HOST="127.0.0.1", SERIAL_PORT=str(Adapter.name)
        )
        stack.enter_context(brought_up(project))
        services = ("mosquitto", "publisher", "rtu-server", "dashboard")
        for service in services:
            project.until_health(service, "healthy", 60.0)
        print_line("both halves and the dashboard healthy with a .env of three lines")
        check_confinement(project, services)
        check_devices(project, stack)
        check_page()
        for service in ("publisher", "rtu-server"):
            check_doctor(project, service)

        cabinet.adapter.unplug()
        project.until_health("rtu-server", "unhealthy", 15.0)
        print_line(f"adapter unplugged: {project.last_check('rtu-server')}")
        cabinet.adapter.plug()
        took = project.until_health("rtu-server", "healthy", 20.0)
        print_line(f"adapter plugged in again: healthy after {took:.1f} s, the container was not touched")
        cabinet.check_answers()
        check_stops(project, "dashboard")


def check_devices(project: Project, stack: ExitStack) -> None:
    """Nodes that appear while the container runs: a serial adapter's may be opened, another kind's may not."""
    for name, number, expected in (
        ("usb", os.makedev(188, 200), "No such device"),  # let through; there is no such adapter
        ("fuse", os.makedev(10, 229), "Operation not permitted"),
    ):
        node = Path(f"/dev/airbridge-test-{name}")
        os.mknod(node, 0o660 | stat.S_IFCHR, number)
        stack.callback(node.unlink)
        shutil.chown(node, "root", "dialout")
        node.chmod(0o660)
        reported = project.compose("exec", "-T", "rtu-server", "sh", "-c", f"cat /host{node}", check=False)
        assert expected in reported, reported
    print_line("the RTU server sees the host's /dev live, and the kernel lets it open serial adapters only")


def check_page() -> None:
    with urllib.request.urlopen("http://127.0.0.1:8080/healthz", timeout=5) as answer:
        print_line(f"dashboard, from this host: {answer.status} {answer.read().decode().strip()}")


def check_doctor(project: Project, service: str) -> None:
    """From within one half, of both."""
    reported = project.compose("exec", "-T", service, "airbridge", "doctor", "--json")
    states = {(one["check"], one["state"]) for one in json.loads(reported)["findings"]}
    assert states >= {("push", "ok"), ("inverter", "ok")}, reported
    assert not [one for one in states if one[1] == "wrong"], reported
    print_line(f"doctor in {service}: {', '.join(sorted(f'{check} {state}' for check, state in states))}")


def two_hosts(engine: DockerEngine) -> None:
    """One half in a project of its own, as on another host: it knows the broker's address and its password."""
    with ExitStack() as stack:
        cabinet = Cabinet(stack)
        meters_side = Project(engine, COMPOSE_PROFILES="publisher", METER_HOST="127.0.0.1", MQTT_LISTEN="0.0.0.0")
        stack.enter_context(brought_up(meters_side))
        login = cabinet.folder / "rtu-login"
        login.mkdir(mode=0o700)
        shown = ("run", "--rm", "--no-deps", "--entrypoint", "cat", "logins", "/logins/rtu/password")
        (login / "password").write_text(meters_side.compose(*shown).splitlines()[-1] + "\n")
        for path in (login, *login.iterdir()):
            os.chown(path, 10001, -1)
        inverters_side = Project(
            engine,
            name="ksem-airbridge-inverter",
            COMPOSE_PROFILES="rtu",
            SERIAL_PORT=str(Adapter.name),
            MQTT_HOST=own_address(),
            RTU_LOGIN=str(login),
        )
        stack.enter_context(brought_up(inverters_side))
        assert inverters_side.compose("ps", "--services") == "rtu-server"
        meters_side.until_health("publisher", "healthy", 30.0)
        inverters_side.until_health("rtu-server", "healthy", 30.0)
        print_line("two halves, each on its own: healthy")
        cabinet.check_answers()


def own_address() -> str:
    return run("hostname", "-I").split()[0]


PARTS = {"demo": demo, "both": both_halves, "two-hosts": two_hosts, "page": the_page}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=Path("/var/tmp/airbridge-platform"), help="what is made only once"
    )
    parser.add_argument("--only", choices=PARTS, help="one part")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("tests.platform.compose: root is needed, for a Docker Engine of its own", file=sys.stderr)
        return 2
    install_packages()
    print_line("base images ...")
    run(ROOT / "tests" / "platform" / "base-images", options.cache)
    with DockerEngine(options.cache) as engine:
        version = engine.docker("version", "--format", "{{.Server.Version}}")
        print_line(f"Docker Engine {version}, {engine.docker('compose', 'version')}")
        for name, part in PARTS.items():
            if options.only in (None, name):
                part(engine)
    print_line("all good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
