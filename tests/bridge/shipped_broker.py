"""A mosquitto that runs the configuration we ship, moved to a folder and ports of its own; logins by make-users."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bridge.broker import Broker, free_port

MOSQUITTO = Path(__file__).resolve().parent.parent.parent / "mosquitto"
ROLES = ("publisher", "rtu", "inverter", "dashboard", "reader", "homeassistant")
FORM = "AIRBRIDGE_TEST_MOSQUITTO_FORM"
"""Names the environment variable with the file of conf.d to run; the form for mosquitto 2.1 is another one."""
TESTER = "tester"
"""A user beside the roles, who may do everything."""


def run_script(name: str, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run make-users or make-certs."""
    return subprocess.run(
        [sys.executable, str(MOSQUITTO / name), *map(str, arguments)], check=check, capture_output=True, text=True
    )


class ShippedBroker(Broker):
    """conf.d/*.conf and acl as they are in the repository; only paths and ports differ."""

    def __init__(self, folder: Path, *, tls: bool = False, websockets: bool = False) -> None:
        super().__init__(folder)
        self.logins = folder / "logins"
        self.files = folder / "broker"
        self.local_port = free_port()
        self.tls_port = free_port() if tls else None
        self.websockets_port = free_port() if websockets else None
        run_script("make-users", "--broker", self.files, "--logins", self.logins, "--acl", MOSQUITTO / "acl")
        if tls:
            names = ("localhost", "127.0.0.1")
            run_script("make-certs", *names, "--broker", self.files, "--logins", self.logins, "--ca", folder / "ca")
        passwords = self.files / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), TESTER, TESTER], check=True, capture_output=True)
        with (self.files / "acl").open("a") as acl:
            acl.write(f"\nuser {TESTER}\ntopic readwrite #\n")

    def password(self, role: str) -> str:
        return TESTER if role == TESTER else (self.logins / role / "password").read_text().strip()

    def _write_files(self) -> None:
        drop_ins = self.folder / "conf.d"
        drop_ins.mkdir(exist_ok=True)
        sources = {os.environ.get(FORM, "ksem-airbridge.conf"): ("listener 1883", self.port)}
        if self.tls_port is not None:
            sources["ksem-airbridge-tls.conf.off"] = ("listener 8883", self.tls_port)
        if self.websockets_port is not None:
            sources["ksem-airbridge-websockets.conf.off"] = ("listener 9001", self.websockets_port)
        for name, (listener, port) in sources.items():
            text = (MOSQUITTO / "conf.d" / name).read_text()
            assert listener in text
            text = text.replace(f"\n{listener}\n", f"\nlistener {port} {self.host}\n")
            text = text.replace("\nlistener 1884 ", f"\nlistener {self.local_port} ")
            text = text.replace("/etc/mosquitto/ksem-airbridge/", f"{self.files}/")
            (drop_ins / name.removesuffix(".off")).write_text(text)
        # As Debian's own file does it: persistence on, ours to switch off.
        lines = ["persistence true", f"persistence_location {self.folder}/", "log_dest stderr"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it drops to a user that may not read this folder
        self._config_path.write_text("\n".join([*lines, f"include_dir {drop_ins}"]) + "\n")
