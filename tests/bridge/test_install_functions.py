"""install.sh's functions one by one, in folders of their own: what is looked at, written, taken back and printed."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bash(folder: Path, program: str, *, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that has install.sh's functions, with every place of the host moved below `folder`."""
    places = {"HOME_DIR": "opt", "SETTINGS": "etc", "COMMANDS": "bin", "UNITS": "units", "BROKER": "mosquitto"}
    moved = "".join(f"{name}={folder}/{place}; mkdir -p {folder}/{place}; " for name, place in places.items())
    text = f"source {ROOT}/install.sh; {moved}\n{program}"
    return subprocess.run(
        ["bash", "-c", text], input=stdin, capture_output=True, text=True, check=False, cwd=cwd or folder
    )


def configure(folder: Path, name: str, text: str) -> Path:
    file = folder / "mosquitto" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


class TestPorts:
    def test_a_listener_in_the_owners_own_file_stops_the_run_before_anything_is_changed(self, tmp_path: Path) -> None:
        own = configure(tmp_path, "conf.d/local.conf", "allow_anonymous true\nlistener 1883\n")
        ended = bash(tmp_path, "check_broker_ports; echo went on")
        assert ended.returncode == 1
        assert f"Port 1883 already belongs to {own} line 2" in ended.stderr
        assert "nothing was changed" in ended.stderr
        assert "went on" not in ended.stdout

    @pytest.mark.parametrize("line", ["port 1883", "  listener 1883 0.0.0.0", "listener\t1883"])
    def test_each_way_to_write_a_listener_is_seen(self, tmp_path: Path, line: str) -> None:
        configure(tmp_path, "mosquitto.conf", f"{line}\n")
        assert "already belongs to" in bash(tmp_path, "check_broker_ports").stderr

    @pytest.mark.parametrize("line", ["# listener 1883", "listener 18830", "listener 8883"])
    def test_other_lines_are_no_owner(self, tmp_path: Path, line: str) -> None:
        configure(tmp_path, "mosquitto.conf", f"{line}\n")
        assert "mosquitto.conf" not in bash(tmp_path, "owner_of_port 1883").stdout

    def test_a_running_program_on_the_port_is_named(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            said = bash(tmp_path, f"owner_of_port {server.getsockname()[1]}").stdout
        assert f"process {os.getpid()} " in said

    def test_a_broker_that_does_not_start_gets_its_own_files_back(self, tmp_path: Path) -> None:
        program = """
        systemctl() { case $1 in restart) [[ ! -e $BROKER/conf.d/ksem-airbridge.conf ]] ;; *) true ;; esac; }
        touch "$BROKER/conf.d/ksem-airbridge.conf"
        restart_broker "$BROKER/conf.d/ksem-airbridge.conf"
        """
        configure(tmp_path, "conf.d/local.conf", "")
        ended = bash(tmp_path, program)
        assert ended.returncode == 1
        assert "taken out again" in ended.stderr
        assert [file.name for file in (tmp_path / "mosquitto/conf.d").iterdir()] == ["local.conf"]


def test_nothing_in_the_folder_that_it_is_started_from_is_imported(tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    for name in ("venv", "pip", "argparse", "sysconfig"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    program = """
    fingerprint() { echo one; }; step() { :; }; changed() { :; }
    export PYTHONPATH=$PWD
    install_programs ksem-publisher
    """
    # (pip is not run to its end: an index that does not exist ends it.)
    bash(
        tmp_path,
        f"export PIP_INDEX_URL=http://127.0.0.1:1 PIP_RETRIES=0 PYTHONPATH={tmp_path}\n{program}",
        cwd=tmp_path,
    )
    assert not mark.exists()


def test_no_temporary_file_stays_after_a_failure(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ended = bash(tmp_path, "fail no")
    assert ended.returncode == 1
    before = subprocess.run(
        ["bash", "-c", f"source {ROOT}/install.sh; touch $SCRATCH/x; fail no"],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        check=False,
    )
    assert before.returncode == 1
    assert not list(scratch.iterdir())
