"""The command `rtu-server` [shell]: reads its settings and runs the server."""

import signal
import sys
import threading
from pathlib import Path

from rtu_server.answer_check import why_unfit
from rtu_server.service import RtuServer
from rtu_server.settings import RtuServerSettings
from service_runtime.clock import boottime
from service_runtime.command import Command, on_user_signal, run

COMMAND = Command(
    name="rtu-server",
    summary="Answers a KOSTAL inverter on RS485 in the place of its energy meter, from blocks that arrive over MQTT.",
    settings_class=RtuServerSettings,
    default_path=Path("/etc/ksem-airbridge/rtu-server.toml"),
    array_example="LINE__0__PORT=/dev/serial/by-id/...",
    why_unfit=why_unfit,
)


def serve(settings: RtuServerSettings, stopping: threading.Event) -> int:
    """Run the service until `stopping` is set."""
    server = RtuServer(settings)
    on_user_signal(server.write_flight_file)
    # The handler only sets numbers: it may interrupt the main thread anywhere.
    signal.signal(signal.SIGUSR2, lambda _number, _frame: server.drill.extend(boottime()))
    return server.run(stopping)


def main() -> int:
    """Run the command; return its exit code."""
    return run(COMMAND, serve)


if __name__ == "__main__":
    sys.exit(main())
