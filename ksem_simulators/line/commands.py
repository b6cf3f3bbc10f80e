"""What the line does when asked over its control socket [shell]."""

from collections.abc import Callable
from typing import Any, Final

from ksem_simulators.line.frame_faults import FrameFault
from ksem_simulators.line.loop import LineLoop
from ksem_simulators.line.pty_end import PtyEnd
from ksem_simulators.line.wire_log import TO_CLIENT, TO_SERVER
from ksem_simulators.process import cpu_seconds

_TOWARDS: Final = {"server": (TO_SERVER,), "client": (TO_CLIENT,), "both": (TO_SERVER, TO_CLIENT)}


class Commands:
    """The commands of one line, carried out in its loop's thread."""

    def __init__(self, loop: LineLoop) -> None:
        self._loop = loop
        self._known: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "fault": self._fault,
            "inject": self._inject,
            "unplug": self._unplug,
            "plug": self._plug,
            "echo": self._echo,
            "grain": self._grain,
            "stall": self._stall,
            "clear": self._clear,
        }

    def handle(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out a command; ValueError or TypeError says what is wrong with it."""
        if do not in self._known:
            raise ValueError(f"command {do!r}: {', '.join(self._known)}")
        return self._loop.call(lambda: self._known[do](**parameters))

    def status(self) -> dict[str, Any]:
        """All counters, and the line's own lateness."""
        return {
            **self._loop.counters.as_dict(),
            "faulted_frames": [direction.faults.hits for direction in self._loop.directions],
            "plugged": {"server": self._loop.server.is_plugged, "client": self._loop.client.is_plugged},
            "cpu_s": cpu_seconds(),
        }

    def _fault(self, kind: str, to: str = "server", **parameters: Any) -> dict[str, Any]:
        for number in _towards(to):
            self._loop.directions[number].faults.add(FrameFault.of(kind, parameters))
        return {}

    def _inject(self, hex: str, to: str = "server") -> dict[str, Any]:  # noqa: A002 - the word of the command
        data = bytes.fromhex(hex)
        for number in _towards(to):
            self._loop.inject(number, data)
        return {}

    def _unplug(self, end: str = "server", seconds: float | None = None) -> dict[str, Any]:
        port = self._end(end)
        self._loop.unplug(port)
        if seconds is not None:
            self._loop.later(seconds, lambda: self._loop.plug(port))
        return {}

    def _plug(self, end: str = "server") -> dict[str, Any]:
        self._loop.plug(self._end(end))
        return {}

    def _echo(self, *, on: bool = True) -> dict[str, Any]:
        self._loop.echo = on
        return {}

    def _grain(self, ms: float, to: str = "server") -> dict[str, Any]:
        for number in _towards(to):
            for lane, _ in self._loop.directions[number].lanes:
                lane.grain = ms / 1000.0
        return {}

    def _stall(self, seconds: float) -> dict[str, Any]:
        self._loop.stall(seconds)
        return {}

    def _clear(self) -> dict[str, Any]:
        self._loop.echo = False
        self._loop.stall(0.0)
        for direction in self._loop.directions:
            direction.faults.clear()
            for lane, _ in direction.lanes:
                lane.grain = 0.0
        return {}

    def _end(self, name: str) -> PtyEnd:
        if name not in {"server", "client"}:
            raise ValueError(f"end {name!r}: server or client")
        return self._loop.server if name == "server" else self._loop.client


def _towards(name: str) -> tuple[int, ...]:
    if name not in _TOWARDS:
        raise ValueError(f"to {name!r}: {', '.join(_TOWARDS)}")
    return _TOWARDS[name]
