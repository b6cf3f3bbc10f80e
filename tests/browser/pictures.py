"""Makes the pictures of the page for docs/: `python -m tests.browser.pictures docs`.

The real chain with a simulated house at noon. Only the hour and the days before, and the counters at midnight, are put
in by hand, since nobody wants to wait for them.
"""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from ksem_dashboard.history import EnergyToday
from ksem_dashboard.service import Dashboard
from ksem_dashboard.settings import DashboardSettings, HistorySettings, KsemDashboardSettings
from ksem_simulators.ksem.household import Household
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from tests.bridge.broker import free_port
from tests.browser.chromium import Chromium
from tests.browser.filled_history import fill
from tests.chain import Chain

START = 17.6
"""Hour of the simulated day: the sun sinks, the kettle is on now and then."""
SEED = 1


def fill_hour(dashboard: Dashboard) -> None:
    """What the same household did in the hour before."""
    view = dashboard._state.meters["main"]
    now, household = boottime(), Household(seed=SEED, seconds=START * 3600 - 3600, charge=0.3)
    for second in range(3600):
        if second in (900, 2300):
            household.boil(150)
        view.history.add(sum(household.step(1.0).grid), now - 3600 + second)
    today = EnergyToday()
    counters = view.counters["energy_import"], view.counters["energy_export"]
    today._day, today._since, today._last = datetime.now().astimezone().date(), "00:00", counters
    today._base = counters[0] - 2.84, counters[1] - 7.31
    view.today = today


@contextmanager
def reader(port: int) -> Iterator[None]:
    """Somebody else who reads, as openWB's driver would, at unit 71."""
    command = ["mbpoll", "-m", "tcp", "-p", str(port), "-a", "71", "-t", "4:hex", "-0", "-r", "40", "-c", "106"]
    reading = subprocess.Popen(
        [*command, "-l", "500", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        reading.terminate()
        reading.wait(10)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        take(Path(work), folder)


def take(work: Path, folder: Path) -> None:
    port = free_port()
    hours, minutes = divmod(round(START * 60), 60)
    options = ("--time-of-day", f"{hours}:{minutes:02}", "--seed", str(SEED))
    port = free_port()
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {port}\n'
    with Chain(work / "chain", meter_options=options, server=tcp) as chain, ExitStack() as stack:
        chain.start()
        chain.await_good()
        stack.enter_context(reader(port))
        fill(work)
        settings = KsemDashboardSettings(
            dashboard=DashboardSettings(port=port),
            history=HistorySettings(directory=work),
            mqtt=MqttSettings(host=chain.broker.host, port=chain.broker.port),
        )
        dashboard = Dashboard(settings)
        loop, stopping = asyncio.new_event_loop(), asyncio.Event()
        running = threading.Thread(target=lambda: loop.run_until_complete(dashboard.run(stopping)))
        running.start()
        try:
            time.sleep(25)  # energy has come, and health tells of more than the start
            loop.call_soon_threadsafe(fill_hour, dashboard)
            with Chromium(work / "chromium") as browser:
                browser.open(f"http://127.0.0.1:{port}/")
                time.sleep(3)
                keep(folder / "dashboard-light.png", browser.look(1120))
                keep(folder / "dashboard-dark.png", browser.look(1120, dark=True))
                keep(folder / "dashboard-phone.png", browser.look(390, 844, sharp=2))
                chain.publisher.stop()
                time.sleep(4)
                keep(folder / "dashboard-fault.png", browser.look(1120))
        finally:
            loop.call_soon_threadsafe(stopping.set)
            running.join()


def keep(path: Path, state: bytes) -> None:
    """A palette is enough for a page like this: a third of the size (Debian's pngquant)."""
    command = ["pngquant", "--quality", "80-100", "--speed", "1", "-"]
    path.write_bytes(subprocess.run(command, input=state, capture_output=True, check=True).stdout)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
