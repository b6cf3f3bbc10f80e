"""The Debian packages on a Debian 13 that runs: installed, started, killed, stopped, removed."""

import importlib.metadata
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .house import PORT, House
from .machine import HOST, until

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
UNITS = ("ksem-publisher", "rtu-server")
DASHBOARD = "ksem-dashboard"
SHARE = "/usr/share/ksem-airbridge"
PUBLISHER = f"""
[[meter]]
host = "{HOST}"
[mqtt]
username = "publisher"
password_file = "/etc/ksem-airbridge/logins/publisher/password"
"""
RTU_SERVER = f"""
[[line]]
port = "{PORT}"
[mqtt]
username = "rtu"
password_file = "/etc/ksem-airbridge/logins/rtu/password"
"""
PAGE = """
[mqtt]
username = "dashboard"
password_file = "/etc/ksem-airbridge/logins/dashboard/password"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A Debian 13 with the package and mosquitto; no settings yet."""
    folder = tmp_path_factory.mktemp("debian-13")
    subprocess.run([ROOT / "deploy/packaging" / "build-deb", sys.executable, folder], check=True)
    with House("trixie", folder) as house:
        for package in folder.glob("*.deb"):
            shutil.copy(package, house.machine.tree)
        print("\n" + house.machine.apt_install(archive(house, "ksem-airbridge"), "mosquitto"))
        yield house


def archive(house: House, package: str) -> str:
    """A package of ours, as apt takes a file."""
    return f"./{next(house.machine.tree.glob(f'{package}_*.deb')).name}"


@pytest.fixture(scope="module")
def running(house: House) -> House:
    """The same, set up as docs/install.md tells, and running."""
    machine = house.machine
    machine.run("cp", f"{SHARE}/mosquitto/conf.d/ksem-airbridge.conf", "/etc/mosquitto/conf.d/")
    machine.run(f"{SHARE}/mosquitto/make-users", "--acl", f"{SHARE}/mosquitto/acl")
    machine.run("systemctl", "restart", "mosquitto")
    for unit, name, text in ((UNITS[0], "publisher", PUBLISHER), (UNITS[1], "rtu-server", RTU_SERVER)):
        machine.run("install", "-m", "640", "-g", unit, f"{SHARE}/{name}.toml", "/etc/ksem-airbridge/")
        machine.write(f"etc/ksem-airbridge/{name}.toml", text)
    machine.run("systemctl", "start", *UNITS)
    return house


@pytest.fixture(scope="module")
def page(running: House) -> House:
    """The same with the dashboard's package, set up as docs/install.md tells."""
    machine = running.machine
    machine.apt_install(archive(running, DASHBOARD.replace("ksem-", "ksem-airbridge-")))
    machine.run("systemctl", "start", DASHBOARD)
    assert machine.show(DASHBOARD, "ConditionResult") == "no"  # no settings yet
    machine.run("chgrp", "-R", DASHBOARD, "/etc/ksem-airbridge/logins/dashboard")
    machine.run("install", "-m", "640", "-g", DASHBOARD, f"{SHARE}/dashboard.toml", "/etc/ksem-airbridge/")
    machine.write("etc/ksem-airbridge/dashboard.toml", PAGE)
    machine.run("systemctl", "start", DASHBOARD)
    return running


def test_the_package_brings_debians_own_libraries(house: House) -> None:
    wanted = ("python3-pymodbus", "python3-paho-mqtt", "python3-serial", "python3-attr")
    versions = house.machine.run("dpkg-query", "--show", *wanted, "ksem-airbridge", "mosquitto", "python3", "systemd")
    print("\n" + versions)
    assert "python3-pymodbus\t3.8.6" in versions
    assert not house.machine.run("find", "/usr/local/lib", "-name", "*.py")
    assert house.machine.attempt("python3", "-c", "import starlette")[0] != 0  # the dashboard's alone


def test_its_commands_tell_the_version_of_the_project(house: House) -> None:
    version = importlib.metadata.version("ksem-airbridge")
    assert house.machine.run("dpkg-query", "--show", "--showformat=${Version}", "ksem-airbridge") == version
    for command in UNITS:
        assert house.machine.run(command, "--version") == f"{command} {version}"


def test_its_code_is_compiled_where_the_services_may_not_write(house: House) -> None:
    assert house.machine.run("find", f"{SHARE}/python/rtu_server", "-name", "service.*.pyc")


@pytest.mark.parametrize("unit", UNITS)
def test_without_settings_a_service_is_skipped_and_does_not_loop(house: House, unit: str) -> None:
    house.machine.run("systemctl", "start", unit)
    assert house.machine.show(unit, "ActiveState") == "inactive"
    assert house.machine.show(unit, "ConditionResult") == "no"
    assert house.machine.show(unit, "NRestarts") == "0"
    assert house.machine.run("systemctl", "is-enabled", unit) == "enabled"


def test_both_become_active_and_the_inverter_gets_good_answers(running: House) -> None:
    for unit in UNITS:
        running.machine.await_active(unit)
    print(f"\nfirst good answer after {running.await_good(100):.1f} s; {running.assert_never_bad()}")


def test_a_status_line_tells_the_live_state(running: House) -> None:
    for unit in UNITS:
        until(f"{unit} has a status", lambda unit=unit: running.machine.show(unit, "StatusText") != "", 10)  # type: ignore[misc]
        print(f"\n{unit}: {running.machine.show(unit, 'StatusText')}")


def test_the_doctor_finds_all_well(running: House) -> None:
    running.await_good()
    code, written = running.machine.attempt("airbridge", "doctor", "--json")
    states = [(one["check"], one["state"]) for one in json.loads(written)["findings"]]
    assert (code, [state for state in states if state[1] == "wrong"]) == (0, []), written
    assert {("settings", "ok"), ("meter", "ok"), ("push", "ok"), ("port", "ok"), ("inverter", "ok")} <= set(states)


def test_the_demo_runs_beside_it(running: House) -> None:
    written = running.machine.run("airbridge", "demo", "--plain", "--seconds", "15", within=90)
    print("\n" + "\n".join(written.splitlines()[-6:]))
    running.assert_never_bad()


def test_the_dashboards_package_shows_the_house_with_debians_own_libraries(page: House) -> None:
    page.machine.await_active(DASHBOARD)
    page.await_healthy_page()
    print(
        "\n"
        + page.machine.run("dpkg-query", "--show", "python3-prometheus-client", "python3-starlette", "python3-uvicorn")
    )
    print(f"{DASHBOARD}: {page.machine.show(DASHBOARD, 'StatusText')}")
    assert "<html" in page.served("/")[1]
    assert 'ksem_meter_fresh{meter="main"} 1.0' in page.served("/metrics")[1].splitlines()
    version = importlib.metadata.version("ksem-airbridge")
    assert page.machine.run(DASHBOARD, "--version") == f"{DASHBOARD} {version}"


def test_the_units_are_verified_clean(page: House) -> None:
    words = ("systemd-analyze", "verify", "--recursive-errors=no", *(f"{unit}.service" for unit in (*UNITS, DASHBOARD)))
    assert page.machine.run(*words) == ""


@pytest.mark.parametrize("unit", [*UNITS, DASHBOARD])
def test_the_exposure_is_two_at_most(page: House, unit: str) -> None:
    written = page.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
    print("\n" + written.splitlines()[-1])


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_cannot_read_the_others_login(running: House, unit: str) -> None:
    other = "rtu" if unit == "ksem-publisher" else "publisher"
    path = f"/etc/ksem-airbridge/logins/{other}/password"
    assert running.machine.attempt("runuser", "-u", unit, "--", "cat", path)[0] != 0


@pytest.mark.parametrize("unit", UNITS)
def test_kill_9_is_recovered_from(running: House, unit: str) -> None:
    running.await_good()
    process = running.machine.await_active(unit)
    running.machine.signal(process, "KILL")
    running.machine.await_active(unit, other_than=process)
    print(f"\n{unit}: killed; good answers {running.await_good():.1f} s after systemd had it active again")


@pytest.mark.parametrize("unit", UNITS)
def test_the_watchdog_restarts_a_service_that_stands_still(running: House, unit: str) -> None:
    running.await_good()
    process = running.machine.await_active(unit)
    running.machine.signal(process, "STOP")
    took = until(f"{unit} is another process", lambda: running.machine.show(unit, "MainPID") not in ("0", process), 40)
    running.machine.await_active(unit, other_than=process)
    assert "Watchdog timeout" in running.machine.journal(unit)
    print(f"\n{unit}: SIGSTOP; another process after {took:.1f} s, good answers {running.await_good():.1f} s later")


@pytest.mark.parametrize("how", ["KILL", "STOP"])
def test_the_dashboard_comes_back_by_itself(page: House, how: str) -> None:
    process = page.machine.await_active(DASHBOARD)
    page.machine.signal(process, how)
    page.machine.await_active(DASHBOARD, other_than=process, within=40)
    page.await_healthy_page()


def test_the_dashboard_ends_within_two_seconds(page: House) -> None:
    page.machine.run("systemctl", "stop", DASHBOARD, within=3)
    assert page.machine.show(DASHBOARD, "Result") == "success"
    page.machine.run("systemctl", "start", DASHBOARD)


def test_the_lines_thread_may_be_real_time(running: House) -> None:
    machine = running.machine
    assert machine.show("rtu-server", "LimitRTPRIO") == "50"
    assert machine.show("rtu-server", "LimitMEMLOCK") == "infinity"
    machine.write("etc/ksem-airbridge/rtu-server.env", "AIRBRIDGE_LINE__0__REALTIME=10\n")
    if not may_raise_limits():
        # This host gives no machine more than it has itself; what the unit's filters let through shows all the same.
        capabilities = "CAP_SYS_NICE CAP_IPC_LOCK"
        text = f"[Service]\nCapabilityBoundingSet={capabilities}\nAmbientCapabilities={capabilities}\n"
        machine.write("etc/systemd/system/rtu-server.service.d/capable.conf", text)
        machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "rtu-server")
    process = machine.await_active("rtu-server")
    running.await_good()
    assert "refused" not in machine.journal("rtu-server").split("Starting")[-1]
    policies = machine.run("sh", "-c", f"grep -h ^policy /proc/{process}/task/*/sched")
    assert sorted(line.split()[-1] for line in policies.splitlines())[-2:] == ["0", "1"], policies  # one SCHED_FIFO
    machine.run(
        "rm", "-f", "/etc/ksem-airbridge/rtu-server.env", "/etc/systemd/system/rtu-server.service.d/capable.conf"
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "rtu-server")


def may_raise_limits() -> bool:
    try:
        before = resource.getrlimit(resource.RLIMIT_RTPRIO)
        resource.setrlimit(resource.RLIMIT_RTPRIO, (before[0], max(before[1], 50)))
    except (OSError, ValueError):
        return False
    return True


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_ends_within_two_seconds(running: House, unit: str) -> None:
    running.machine.run("systemctl", "restart", unit)
    running.await_good()
    running.machine.run("systemctl", "stop", unit, within=3)
    assert running.machine.show(unit, "Result") == "success"
    running.machine.run("systemctl", "start", unit)


def test_bad_settings_are_told_once_and_not_tried_again(running: House) -> None:
    good = (running.machine.tree / "etc/ksem-airbridge/rtu-server.toml").read_text()
    running.machine.write("etc/ksem-airbridge/rtu-server.toml", good.replace("[[line]]", "[[line]]\nbaudrate = 1"))
    assert running.machine.attempt("systemctl", "restart", "rtu-server")[0] != 0
    assert running.machine.show("rtu-server", "ExecMainStatus") == "2"
    assert running.machine.show("rtu-server", "ActiveState") == "failed"
    assert running.machine.show("rtu-server", "NRestarts") == "0"
    assert "[[line]] #1 baudrate = 1: 1200 to 921600" in running.machine.journal("rtu-server")
    running.machine.write("etc/ksem-airbridge/rtu-server.toml", good)
    running.machine.run("systemctl", "restart", "rtu-server")
    running.await_good()


@pytest.mark.parametrize(
    ("major", "why"),
    [
        # Nobody drives these numbers here: who is let through learns that there is no such device.
        (188, "no such device"),  # ttyUSB
        (166, "no such device"),  # ttyACM
        (204, "no such device"),  # ttyAMA
        (4, "no such device"),  # ttyS
        (189, "not permitted"),  # raw USB
        (239, "not permitted"),
    ],
)
def test_the_unit_lets_in_serial_ports_whose_driver_is_not_loaded_and_nothing_else(
    running: House, major: int, why: str
) -> None:
    machine = running.machine
    path = f"/dev/ttyTest{major}"
    machine.run("mknod", "--mode=660", path, "c", str(major), "71")
    machine.run("chgrp", "dialout", path)
    machine.write("etc/ksem-airbridge/rtu-server.env", f"AIRBRIDGE_LINE__0__PORT={path}\n")
    machine.run("systemctl", "restart", "rtu-server")

    def reported() -> list[str]:
        return [line for line in machine.journal("rtu-server").splitlines() if f"line rs485: {path}:" in line]

    until(f"{path} is told of", lambda: bool(reported()), 10)
    assert why in reported()[0]
    machine.run("rm", path, "/etc/ksem-airbridge/rtu-server.env")
    machine.run("systemctl", "restart", "rtu-server")
    running.await_good()


def test_the_drop_in_for_a_push_port_below_1024_does_what_the_page_says(running: House) -> None:
    wanted = (
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "PrivateUsers=no",
    )
    page = (ROOT / "docs" / "install.md").read_text()
    assert all(line in page for line in wanted)
    drop_in = "etc/systemd/system/ksem-publisher.service.d/port.conf"
    running.machine.write("etc/ksem-airbridge/publisher.env", "AIRBRIDGE_PUSH__PORT=502\n")
    running.machine.write(drop_in, "\n".join(["[Service]", *wanted, ""]))
    running.machine.run("systemctl", "daemon-reload")
    running.machine.run("systemctl", "restart", "ksem-publisher")
    until(
        "the port is open",
        lambda: "listening for pushes on 0.0.0.0:502\n" in running.machine.journal("ksem-publisher") + "\n",
        10,
        lambda: running.machine.journal("ksem-publisher"),
    )
    running.machine.run("rm", f"/{drop_in}", "/etc/ksem-airbridge/publisher.env")
    running.machine.run("systemctl", "daemon-reload")
    running.machine.run("systemctl", "restart", "ksem-publisher")
    running.await_good()


def test_installing_them_again_restarts_the_services_and_keeps_the_settings(page: House) -> None:
    processes = {unit: page.machine.await_active(unit) for unit in (*UNITS, DASHBOARD)}
    packages = [archive(page, name) for name in ("ksem-airbridge", "ksem-airbridge-dashboard")]
    page.machine.run("apt-get", "install", "-y", "-qq", "--reinstall", *packages, online=True, within=120)
    for unit, process in processes.items():
        page.machine.await_active(unit, other_than=process)
    page.await_good()
    page.await_healthy_page()


def test_removing_the_dashboard_leaves_the_bridge_alone(page: House) -> None:
    processes = {unit: page.machine.await_active(unit) for unit in UNITS}
    page.machine.run("apt-get", "purge", "-y", "-qq", "ksem-airbridge-dashboard")
    assert page.machine.attempt("systemctl", "is-active", DASHBOARD)[0] != 0
    assert not (page.machine.tree / "etc/ksem-airbridge/dashboard.toml").exists()
    assert {unit: page.machine.await_active(unit) for unit in UNITS} == processes
    page.await_good()


def test_removing_it_stops_the_services_and_leaves_the_settings_only(running: House) -> None:
    running.machine.run("apt-get", "remove", "-y", "-qq", "ksem-airbridge")
    assert running.machine.attempt("systemctl", "is-active", *UNITS)[0] != 0
    assert not (running.machine.tree / SHARE[1:]).exists()
    assert (running.machine.tree / "etc/ksem-airbridge/rtu-server.toml").exists()
    running.machine.run("apt-get", "purge", "-y", "-qq", "ksem-airbridge")
    assert not (running.machine.tree / "etc/ksem-airbridge").exists()
