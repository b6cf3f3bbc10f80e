"""What stands around the containers on a real host: a meter, a serial adapter that comes and goes, an inverter."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from tests.platform.compose_project import print_line


def judged_bad(outcomes: dict[str, int]) -> dict[str, int]:
    """Answers with numbers that were wrong, torn, too old or too late: never, whatever is broken."""
    return {name: count for name, count in outcomes.items() if name in {"wrong", "torn", "stale", "late", "foreign"}}


class Adapter:
    """A serial adapter under /dev/serial/by-id, made of the simulated line's pty; plugged in and out."""

    folder = Path("/dev/serial/by-id")
    name = folder / "usb-airbridge-test-port0"

    def __init__(self, line: LineHandle) -> None:
        self._line = line

    def plug(self) -> None:
        """The port appears as udev does it: a node of group dialout, and a relative link."""
        self._line.command("plug", end="server")
        node = self._line.server.resolve()
        shutil.chown(node, "root", "dialout")
        node.chmod(0o660)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name.unlink(missing_ok=True)
        self.name.symlink_to(os.path.relpath(node, self.folder))

    def unplug(self) -> None:
        self.name.unlink(missing_ok=True)
        self._line.command("unplug", end="server")


class Cabinet:
    """A meter on port 502 of this host, an adapter in its /dev, an inverter at the adapter's other end."""

    def __init__(self, stack: ExitStack) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        meter = stack.enter_context(KsemHandle(self.folder, port=502, push=("127.0.0.1", 5020)))
        line = stack.enter_context(LineHandle(self.folder))
        self.adapter = Adapter(line)
        self.adapter.plug()
        stack.callback(self.adapter.name.unlink, missing_ok=True)
        self._inverter = stack.enter_context(PlenticoreHandle(self.folder, line=line, truth=meter.truth))

    def check_answers(self) -> None:
        self._inverter.wait_for("good", 20)
        outcomes = self._inverter.status()["outcomes"]
        assert not judged_bad(outcomes), outcomes
        print_line(f"inverter: {outcomes}")
