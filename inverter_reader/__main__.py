"""The command `inverter-reader` [shell]: reads its settings and runs the service."""

import sys
import threading
from pathlib import Path

from inverter_reader.service import InverterReader
from inverter_reader.settings import InverterReaderSettings
from service_runtime.command import Command, run

COMMAND = Command(
    name="inverter-reader",
    summary=(
        "Reads on an inverter's own Modbus TCP port what it believes of its energy meter, compares that with what was"
        " measured, and publishes both over MQTT. It writes nothing to the inverter. Switch on Modbus in the"
        " inverter's web page first (Settings, Modbus/SunSpec (TCP)); KOSTAL ships it switched off."
    ),
    settings_class=InverterReaderSettings,
    default_path=Path("/etc/ksem-airbridge/inverter-reader.toml"),
    array_example="INVERTER__0__HOST=192.168.1.60",
)


def serve(settings: InverterReaderSettings, stopping: threading.Event) -> int:
    """Run the service until `stopping` is set."""
    return InverterReader(settings).run(stopping)


def main() -> int:
    """Run the command; return its exit code."""
    return run(COMMAND, serve)


if __name__ == "__main__":
    sys.exit(main())
