"""The command `ksem-publisher` [shell]: reads its settings and runs the publisher."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ksem_publisher.service import serve
from ksem_publisher.settings import PublisherSettings
from service_runtime.command import Command, run_async

COMMAND = Command(
    name="ksem-publisher",
    summary="Takes a KOSTAL Smart Energy Meter's pushes, polls what they lack, publishes its registers over MQTT.",
    settings_class=PublisherSettings,
    default_path=Path("/etc/ksem-airbridge/publisher.toml"),
    array_example="METER__0__HOST=192.168.1.20",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_async(COMMAND, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
