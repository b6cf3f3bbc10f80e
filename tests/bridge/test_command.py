"""A service's command as a process: exit codes, what it tells, signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVICE = """
import sys, attrs, asyncio, logging
from pathlib import Path
from service_runtime.command import Command, run, run_async
from service_runtime.common_settings import MqttSettings
from service_runtime.setting import setting

@attrs.frozen(kw_only=True)
class Settings:
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")

nowhere = Path("/no/such.toml")
command = Command(name="tiny", summary="A service for tests.", settings_class=Settings, default_path=nowhere)
how = sys.argv.pop(1)

def serve(settings, stop):
    logging.getLogger("tiny").warning("serving %s", settings.mqtt.host)
    if how == "fails":
        raise RuntimeError("broken")
    stop.wait(1000 if how == "hangs" else 30)
    if how == "hangs":
        stop.clear()
        stop.wait(1000)

async def serve_async(settings, stop):
    logging.getLogger("tiny").warning("serving %s", settings.mqtt.host)
    await asyncio.wait_for(stop.wait(), 30)

sys.exit(run_async(command, serve_async) if how == "async" else run(command, serve))
"""


@contextmanager
def service(tmp_path: Path, *arguments: str, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    script = tmp_path / "tiny.py"
    script.write_text(SERVICE)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("AIRBRIDGE_")} | environ,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_serving(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    assert "serving localhost" in process.stderr.readline()


@pytest.mark.parametrize("how", ["threads", "async"])
@pytest.mark.parametrize("requested", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_cleanly_with_exit_code_0(
    tmp_path: Path, how: str, requested: signal.Signals
) -> None:
    with service(tmp_path, how) as process:
        wait_until_serving(process)
        begun = time.monotonic()
        process.send_signal(requested)
        assert process.wait(timeout=5) == 0
        assert time.monotonic() - begun < 1.0


def test_a_service_that_hangs_is_ended_within_two_seconds(tmp_path: Path) -> None:
    with service(tmp_path, "hangs") as process:
        wait_until_serving(process)
        begun = time.monotonic()
        process.terminate()
        assert process.wait(timeout=5) == 1
        assert time.monotonic() - begun < 2.1
        assert "by force" in process.communicate()[1]


def test_asking_twice_ends_a_hanging_service_at_once(tmp_path: Path) -> None:
    with service(tmp_path, "hangs") as process:
        wait_until_serving(process)
        process.terminate()
        assert process.stderr is not None
        assert "SIGTERM: ending" in process.stderr.readline()
        process.terminate()
        begun = time.monotonic()
        assert process.wait(timeout=5) == 1
        assert time.monotonic() - begun < 1.0


def test_an_unforeseen_error_is_logged_and_gives_exit_code_1(tmp_path: Path) -> None:
    with service(tmp_path, "fails") as process:
        _out, err = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "tiny ends: an unforeseen error" in err
        assert "RuntimeError: broken" in err


def test_bad_settings_give_exit_code_2_with_every_mistake_on_stderr(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('[mqtt]\nport = 0\nhots = "x"\n')
    with service(tmp_path, "threads", "--config", str(config), AIRBRIDGE_MQTT__TLS="maybe") as process:
        out, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert out == ""
    assert err.splitlines() == [
        f"{config}: [mqtt] hots: unknown key; did you mean host?",
        f"{config}: [mqtt] port = 0: a port, 1 to 65535",
        'environment: AIRBRIDGE_MQTT__TLS = "maybe": true or false',
        "tiny: 3 mistakes in the settings",
    ]


def test_check_prints_what_is_in_force_without_secrets_and_ends(tmp_path: Path) -> None:
    environ = {"AIRBRIDGE_MQTT__USERNAME": "rtu", "AIRBRIDGE_MQTT__PASSWORD": "tell nobody"}
    with service(tmp_path, "threads", "--check", **environ) as process:
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""
    assert "/no/such.toml is not there" in out
    assert 'username = "rtu"  # AIRBRIDGE_MQTT__USERNAME' in out
    assert "tell nobody" not in out


def test_help_teaches_and_the_version_is_told(tmp_path: Path) -> None:
    with service(tmp_path, "threads", "--help") as process:
        out, _err = process.communicate(timeout=10)
    assert process.returncode == 0
    for word in ("--config", "--check", "--log-level", "--version", "AIRBRIDGE_MQTT__HOST", "exit codes", "examples"):
        assert word in out
    with service(tmp_path, "threads", "--version") as process:
        out, _err = process.communicate(timeout=10)
    assert out.startswith("tiny ")
    with service(tmp_path, "threads", "--confg", "x") as process:
        process.communicate(timeout=10)
    assert process.returncode == 2


def test_under_systemd_each_log_line_carries_its_priority(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        script = tmp_path / "tiny.py"
        script.write_text(SERVICE)
        process = subprocess.Popen(
            [sys.executable, str(script), "fails"],
            stderr=journal,
            env=os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )
        assert process.wait(timeout=10) == 1
        journal.seek(0)
        lines = journal.read().splitlines()
    assert lines[0] == "<4>serving localhost"
    assert all(line.startswith(("<3>", "<4>")) for line in lines)
