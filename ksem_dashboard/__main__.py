"""Runs the command ksem-dashboard."""

import argparse
import asyncio
import sys
from pathlib import Path

from ksem_dashboard.delivery import send_trial
from ksem_dashboard.notification_text import trial_message
from ksem_dashboard.settings import KsemDashboardSettings
from service_runtime.command import Command, run_async


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--notify-test", action="store_true", help="send a message to each address of [notify] urls_file; then end"
    )


def _notify_test(options: argparse.Namespace, settings: KsemDashboardSettings) -> int | None:
    if not options.notify_test:
        return None
    results = send_trial(settings.notify.receivers(), trial_message(settings.notify.language))
    if not results:
        print("[notify] urls_file is not set: nobody is notified", file=sys.stderr)  # noqa: T201
        return 2
    for name, error in results:
        print(f"{name}: {error or 'delivered'}")  # noqa: T201
    return int(any(error for _, error in results))


COMMAND = Command(
    name="ksem-dashboard",
    summary="Shows on a web page, and to Prometheus, how the bridge from the meter to the inverter is.",
    settings_class=KsemDashboardSettings,
    default_path=Path("/etc/ksem-airbridge/dashboard.toml"),
    array_example="DASHBOARD__LISTEN=0.0.0.0",
    more_options=_options,
    instead=_notify_test,
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
