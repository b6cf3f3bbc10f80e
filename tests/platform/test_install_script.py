"""install.sh on a fresh Debian 12, then 13, that runs: twice, an upgrade, one that fails, and off again."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from .checkout import copy_checkout
from .house import PORT, House
from .machine import HOST, install_by_chroot, until

pytestmark = pytest.mark.timeout(900)

UNITS = ("ksem-publisher", "rtu-server")
DASHBOARD = "ksem-dashboard"
EVERY = (*UNITS, DASHBOARD)
CHECKOUT = "root/checkout"
INSTALL = f"/{CHECKOUT}/install.sh"
ADAPTER = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KZP4S-if00-port0"
# What Debian itself writes while it runs or installs packages, and the checkout that the tests change.
NOT_OURS = (
    CHECKOUT,
    "var/log",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/systemd",
    "var/lib/mosquitto",
    "var/lib/private",
    "var/tmp",
    "root/.cache",
)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def suite(request: pytest.FixtureRequest) -> str:
    """Debian 12 and 13."""
    return str(request.param)


@pytest.fixture(scope="module")
def house(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A fresh Debian with this checkout, one RS485 adapter, and nothing installed."""
    with House(suite, tmp_path_factory.mktemp(suite)) as house:
        copy_checkout(house.machine.tree / CHECKOUT)
        house.machine.run("mkdir", "-p", "/dev/serial/by-id")
        house.machine.run("ln", "-s", PORT, ADAPTER)
        yield house


@pytest.fixture(scope="module")
def before(house: House) -> set[str]:
    """The files that were there before the first run."""
    return set(tree_state(house.machine.tree))


@pytest.fixture(scope="module")
def debian(suite: str, before: set[str], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a Debian that has the same packages, and never saw install.sh."""
    tree = tmp_path_factory.mktemp("packages") / suite
    install_by_chroot(suite, tree, "python3-venv", "mosquitto")
    files = before | set(tree_state(tree))
    shutil.rmtree(tree)
    return files


@pytest.fixture(scope="module")
def installed(house: House, before: set[str]) -> House:
    """Both halves and the broker, installed by one command that is told the meter's address and nothing else."""
    assert before
    print("\n" + install(house, "both", "--mosquitto", "--meter", HOST))
    return house


def test_a_wrong_command_line_is_told_and_changes_nothing(house: House, before: set[str]) -> None:
    wrong = ("", "everything", "publisher --meter", 'publisher --meter a"b', "both --purge", "uninstall publisher")
    for words in wrong:
        code, written = house.machine.attempt(INSTALL, *words.split())
        assert (code, "--help" in written) == (2, True), written
    code, written = house.machine.attempt(INSTALL, "upgrade")
    assert (code, "nothing is installed" in written) == (1, True), written
    assert set(tree_state(house.machine.tree)) == before


def test_both_run_after_one_command_and_the_inverter_gets_good_answers(installed: House) -> None:
    for unit in UNITS:
        installed.machine.await_active(unit)
    print(f"\nfirst good answer after {installed.await_good(100):.1f} s; {installed.assert_never_bad()}")
    assert f'port = "{ADAPTER}"' in (installed.machine.tree / "etc/ksem-airbridge/rtu-server.toml").read_text()


@pytest.mark.parametrize("unit", UNITS)
def test_settings_and_login_belong_to_root_and_the_service(installed: House, unit: str) -> None:
    name, role = {"ksem-publisher": ("publisher", "publisher"), "rtu-server": ("rtu-server", "rtu")}[unit]
    for path in (f"{name}.toml", f"logins/{role}/password"):
        assert installed.machine.run("stat", "-c", "%a %U %G", f"/etc/ksem-airbridge/{path}") == f"640 root {unit}"


def test_the_broker_lets_nobody_in_without_a_login(installed: House) -> None:
    settings = "AIRBRIDGE_METER__0__HOST=192.0.2.1", "AIRBRIDGE_PUSH__PORT=5999"
    probe = ("timeout", "3", "env", *settings, "ksem-publisher", "--config", "/dev/null")
    assert "not authori" in installed.machine.attempt(*probe)[1].lower()


def test_the_doctor_finds_nothing_wrong(installed: House) -> None:
    installed.await_good()
    code, written = installed.machine.attempt("airbridge", "doctor")
    print("\n" + written)
    assert code == 0, written


def test_the_web_page_comes_beside_what_runs_and_is_told_its_login(installed: House) -> None:
    written = install(installed, "dashboard")
    print("\n" + written)
    assert "http://127.0.0.1:8080" in written
    for unit in EVERY:
        installed.machine.await_active(unit)
    installed.await_healthy_page()
    for path in ("dashboard.toml", "logins/dashboard/password"):
        assert installed.machine.run("stat", "-c", "%a %U %G", f"/etc/ksem-airbridge/{path}") == f"640 root {DASHBOARD}"


def test_the_units_are_verified_clean_and_the_exposure_is_two_at_most(installed: House) -> None:
    words = ("systemd-analyze", "verify", "--recursive-errors=no", *(f"{unit}.service" for unit in EVERY))
    assert installed.machine.run(*words) == ""
    for unit in EVERY:
        written = installed.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
        print("\n" + written.splitlines()[-1])


@pytest.mark.parametrize("unit", EVERY)
def test_kill_9_is_recovered_from(installed: House, unit: str) -> None:
    process = installed.machine.await_active(unit)
    installed.machine.signal(process, "KILL")
    installed.machine.await_active(unit, other_than=process)
    installed.await_good()


def test_a_second_run_changes_nothing(installed: House) -> None:
    processes = {unit: installed.machine.await_active(unit) for unit in EVERY}
    first = tree_state(installed.machine.tree)
    written = install(installed, "both", "dashboard", "--mosquitto", "--meter", HOST)
    print("\n" + written)
    second = tree_state(installed.machine.tree)
    changed = {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)}
    assert not changed
    assert "Nothing had to be changed." in written
    assert {unit: installed.machine.await_active(unit) for unit in EVERY} == processes
    print(f"{len(first)} files and folders, sha256 before {digest(first)[:16]}, after {digest(second)[:16]}")


def test_an_upgrade_keeps_settings_and_restarts_with_the_new_version(installed: House) -> None:
    settings = installed.machine.tree / "etc/ksem-airbridge/publisher.toml"
    settings.write_text(settings.read_text().replace("# energy = 10", "energy = 5"))
    broker = installed.machine.tree / "etc/mosquitto/conf.d/ksem-airbridge.conf"
    broker.write_text(broker.read_text() + "# mine\n")
    kept = {path: (path.read_bytes(), path.stat().st_mode, path.stat().st_gid) for path in (settings, broker)}
    processes = {unit: installed.machine.await_active(unit) for unit in EVERY}
    old = programs(installed)
    with (installed.machine.tree / CHECKOUT / "rtu_server/service.py").open("a") as source:
        source.write("# newer\n")
    written = install(installed, "upgrade")
    assert "kept, you have changed it" in written
    for unit, process in processes.items():
        installed.machine.await_active(unit, other_than=process)
    assert programs(installed) != old
    assert len(list((installed.machine.tree / "opt/ksem-airbridge/versions").iterdir())) == 1
    assert {path: (path.read_bytes(), path.stat().st_mode, path.stat().st_gid) for path in kept} == kept
    installed.await_good()


def test_an_upgrade_that_fails_changes_nothing_that_runs(installed: House) -> None:
    processes = {unit: installed.machine.await_active(unit) for unit in EVERY}
    old = programs(installed)
    project = installed.machine.tree / CHECKOUT / "pyproject.toml"
    good = project.read_text()
    project.write_text(good.replace('"attrs>=', '"attrs==0.0.1", "attrs>='))
    code, written = installed.machine.attempt(INSTALL, "both", online=True, within=600)
    assert (code, "What ran before still runs" in written) == (1, True), written
    assert programs(installed) == old
    assert {unit: installed.machine.await_active(unit) for unit in EVERY} == processes
    project.write_text(good)
    assert "Nothing had to be changed." in install(installed, "both")  # the dashboard goes with it


def test_uninstall_leaves_no_file_behind_but_settings(installed: House, debian: set[str]) -> None:
    print("\n" + installed.machine.run(INSTALL, "uninstall"))
    left = set(tree_state(installed.machine.tree)) - debian
    print(f"left: {sorted(left)}")
    assert not {path for path in left if not path.startswith(("etc/ksem-airbridge", "etc/mosquitto/ksem-airbridge"))}
    assert "etc/ksem-airbridge/publisher.toml" in left
    for unit in EVERY:
        assert installed.machine.attempt("id", unit)[0] != 0
    assert installed.machine.show("mosquitto", "ActiveState") == "active"


def test_what_was_kept_is_used_when_it_is_installed_again(installed: House) -> None:
    foreign = ("etc/mosquitto/ksem-airbridge/passwords", "etc/ksem-airbridge/logins/rtu/password")
    for path in foreign:  # as a backup restored on another host
        os.chown(installed.machine.tree / path, 4711 if "mosquitto" in path else 0, 4711)
    install(installed, "dashboard", "both", "--mosquitto")
    installed.await_good()
    installed.await_healthy_page()


def test_purge_leaves_nothing(installed: House, debian: set[str]) -> None:
    installed.machine.run(INSTALL, "uninstall", "--purge")
    assert not set(tree_state(installed.machine.tree)) - debian


def test_a_service_without_settings_waits_and_what_is_missing_is_told(installed: House) -> None:
    installed.machine.run("rm", ADAPTER)
    code, written = installed.machine.attempt(INSTALL, "rtu-server", online=True, within=600)
    assert code == 3, written
    assert "port is missing" in written
    until("it is not started", lambda: installed.machine.show("rtu-server", "ActiveState") == "inactive", 5)
    installed.machine.run(INSTALL, "uninstall", "--purge")


def install(house: House, *words: str) -> str:
    return house.machine.run(INSTALL, *words, online=True, within=600)


def programs(house: House) -> str:
    return str((house.machine.tree / "opt/ksem-airbridge/current").readlink())


def tree_state(tree: Path) -> dict[str, str]:
    """Every file, link and folder of a tree but Debian's own moving parts: what it is, whose, when changed, content."""
    state = {}
    for folder, folders, files in os.walk(tree):
        here = Path(folder).relative_to(tree)
        folders[:] = [name for name in folders if str(here / name) not in NOT_OURS]
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            what = [f"{status.st_mode:o} {status.st_uid} {status.st_gid}"]
            if stat.S_ISREG(status.st_mode):
                what += [str(status.st_mtime_ns), hashlib.sha256(path.read_bytes()).hexdigest()]
            elif stat.S_ISLNK(status.st_mode):
                what.append(str(path.readlink()))
            state[str(here / name)] = " ".join(what)
    return state


def digest(state: dict[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{path} {what}" for path, what in sorted(state.items())).encode()).hexdigest()
