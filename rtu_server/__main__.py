"""The command rtu-server."""

import sys
import threading
from pathlib import Path

from service_runtime.command import Command, on_user_signal, run

from .answer_check import why_unfit
from .service import RtuServer
from .settings import RtuServerSettings

COMMAND = Command(
    name="rtu-server",
    summary="Answers a KOSTAL inverter on RS485 in the place of its energy meter, from blocks that arrive over MQTT.",
    settings_class=RtuServerSettings,
    default_path=Path("/etc/ksem-airbridge/rtu-server.toml"),
    array_example="LINE__0__PORT=/dev/serial/by-id/...",
    why_unfit=why_unfit,
)


def serve(settings: RtuServerSettings, stopping: threading.Event) -> int:
    """Run the service until it is told to stop."""
    service = RtuServer(settings)
    on_user_signal(service.write_flight_file)
    return service.run(stopping)


def main() -> int:
    """Run the command; return its exit code."""
    return run(COMMAND, serve)


if __name__ == "__main__":
    sys.exit(main())
