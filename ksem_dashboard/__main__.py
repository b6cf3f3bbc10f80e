"""Runs the command ksem-dashboard."""

import asyncio
import sys
from pathlib import Path

from ksem_dashboard.settings import KsemDashboardSettings
from service_runtime.command import Command, run_async

COMMAND = Command(
    name="ksem-dashboard",
    summary="Shows on a web page, and to Prometheus, how the bridge from the meter to the inverter is.",
    settings_class=KsemDashboardSettings,
    default_path=Path("/etc/ksem-airbridge/dashboard.toml"),
    array_example="DASHBOARD__LISTEN=0.0.0.0",
)


async def serve(settings: KsemDashboardSettings, stopping: asyncio.Event) -> int:
    """Run the service until a signal stops it."""
    try:
        from ksem_dashboard.service import Dashboard  # noqa: PLC0415  the extra may not be installed
    except ModuleNotFoundError as missing:
        sys.exit(f"ksem-dashboard needs {missing.name}: pip install 'ksem-airbridge[dashboard]'")
    return await Dashboard(settings).run(stopping)


def main() -> int:
    """Run the command; return its exit code."""
    return run_async(COMMAND, serve)


if __name__ == "__main__":
    sys.exit(main())
