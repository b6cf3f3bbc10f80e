"""Throws bytes at the settings reader: `python fuzz/fuzz_settings.py [-max_total_time=60]`, or `make fuzz`.

An input is a settings file and, each behind a zero byte, lines of an environment. They are read by every service: what
comes out is settings, which can be told, or a list of mistakes, each in a line of its own.
"""

import sys
import tempfile
from pathlib import Path

from ksem_dashboard.settings import KsemDashboardSettings
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.setting import describe
from service_runtime.settings import SettingsError, load

SERVICES = (PublisherSettings, RtuServerSettings, KsemDashboardSettings)

SEEDS = (
    (
        b'[[meter]]\nid = "main"\nhost = "192.168.1.20"\ntimeout = 2.0\npush_from = ["192.168.1.20"]\n'
        b'[push]\nlisten = "0.0.0.0"\nport = 5020\n[poll]\nlive = 0.25\n[checks]\nfrozen_after = 10.0\n'
        b'[demand]\nmax_ranges = 8\n[mqtt]\nhost = "localhost"\nusername = "u"\npassword = "secret"\nversion = 5\n'
        b'[values]\ninterval = 1.0\n[homeassistant]\ndiscovery = true\nprefix = "homeassistant"\n'
    ),
    (
        b'[node]\nname = "attic"\n[[line]]\nname = "rs485"\nport = "/dev/ttyUSB0"\nparity = "N"\nidle_gap = 0.025\n'
        b'[[line.unit]]\nid = 1\nmeter = "main"\non_stale = "exception-11"\n[[line.unit]]\nid = 2\nenabled = false\n'
        b'[freshness]\nlive = 1.5\nvital = ["live"]\n'
    ),
    b'[web]\nlisten = "0.0.0.0"\n\0AIRBRIDGE_MQTT__PORT=1884',
    b"\0AIRBRIDGE_METER__0__HOST=ksem\0AIRBRIDGE_MQTT__TLS=true\0AIRBRIDGE_LINE__0__PORT=/dev/x",
    b"\0AIRBRIDGE_LINE__0__UNIT__1__ID=2\0AIRBRIDGE_LINE__0__UNIT=[{id = 1}]\0AIRBRIDGE_FRESHNESS__VITAL=['live']",
    b"[mqtt\n",
    b'[mqtt]\nport = "x"\nhots = 1\n[[mqtt]]\n',
    b"\xff\xfe",
)


def check(data: bytes, folder: Path) -> None:
    """One input for all services; `folder` is where their file is put."""
    file, *lines = data.split(b"\0")
    path = folder / "settings.toml"
    path.write_bytes(file)
    pairs = (line.decode("utf-8", "replace").partition("=") for line in lines)
    environ = {name: value for name, _, value in pairs}
    for service in SERVICES:
        try:
            settings = load(service, path=path, environ=environ)
        except SettingsError as error:
            if not error.mistakes or not all(error.mistakes):
                raise AssertionError("refused without a reason") from error
        else:
            describe(settings)


def main() -> None:
    """Fuzzes until stopped."""
    import atheris  # noqa: PLC0415  not needed by the tests, and not there on every platform

    atheris.instrument_all()
    # Fuzz() never returns, so what it found stays there, and the next run goes on from it.
    corpus = Path(tempfile.gettempdir()) / "fuzz-settings"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atheris.Setup([*sys.argv, str(corpus)], lambda data: check(data, folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
