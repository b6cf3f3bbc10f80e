"""What the inverter does when asked over its control socket [shell]."""

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from ksem_simulators.line.wire_log import TO_CLIENT, TO_SERVER
from ksem_simulators.plenticore.asker import Asker
from ksem_simulators.plenticore.inverter import Inverter
from ksem_simulators.plenticore.modbus_server import InverterServer
from ksem_simulators.plenticore.port import PortGone
from ksem_simulators.plenticore.wire_times import bursts
from ksem_simulators.process import cpu_seconds
from modbus_codec.crc import append_crc
from service_runtime.clock import boottime


class Commands:
    """The commands of one inverter."""

    def __init__(self, inverter: Inverter, started: float, server: InverterServer | None = None) -> None:
        self._inverter = inverter
        self._server = server
        self._started = started
        self._known: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "reset": self._reset,
            "await": self._await,
            "plan": self._plan,
            "pause": self._pause,
            "resume": self._resume,
            "raw": self._raw,
            "words": self._words,
            "replay": self._replay,
            "believe": self._believe,
            "modbus": self._modbus,
        }

    def handle(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out a command; ValueError or TypeError says what is wrong with it."""
        if do not in self._known:
            raise ValueError(f"command {do!r}: {', '.join(self._known)}")
        return self._known[do](**parameters)

    def status(self) -> dict[str, Any]:
        """All counts and times."""
        inverter = self._inverter
        first = inverter.first_good
        with inverter.changed:
            tally = inverter.tally.as_dict()
        return tally | {
            "recognised": inverter.recognised,
            "first_good_s": None if first is None else round(first - self._started, 3),
            "late_frames": inverter.late_frames,
            "noise_bytes": inverter.noise_bytes,
            "without_wire_times": inverter.without_wire_times,
            "port": {"opened": inverter.port_opened, "lost": inverter.port_lost},
            "cpu_s": cpu_seconds(),
        }

    def _reset(self) -> dict[str, Any]:
        status = self.status()
        with self._inverter.changed:
            self._inverter.reset()
        return status

    def _await(self, outcome: str = "good", count: int = 1, seconds: float = 10.0) -> dict[str, Any]:
        """Waits until so many more transactions had this outcome; tells what came meanwhile, and whether it is so."""
        inverter, begun = self._inverter, boottime()
        seen: Counter[str] = Counter()
        with inverter.changed:
            number = inverter.number
            while seen[outcome] < count and (left := begun + seconds - boottime()) > 0:
                inverter.changed.wait(left)
                for one in inverter.recent:
                    if one.number > number:
                        seen[one.outcome] += 1
                number = inverter.number
        return {"reached": seen[outcome] >= count, "after_s": round(boottime() - begun, 3), "outcomes": dict(seen)}

    def _plan(self, **changes: Any) -> dict[str, Any]:
        self._inverter.plan = self._inverter.plan.changed(changes)
        return {"ranges": [str(wanted) for wanted in self._inverter.plan.ranges]}

    def _pause(self) -> dict[str, Any]:
        self._inverter.paused = True
        return self._when_idle()

    def _resume(self) -> dict[str, Any]:
        self._inverter.paused = False
        return self._when_idle()

    def _when_idle(self) -> dict[str, Any]:
        with contextlib.suppress(PortGone):
            self._inverter.between_requests(lambda _: {}).result(10.0)
        return {}

    def _replay(self, at: float) -> dict[str, Any]:
        self._inverter.begin(float(at))
        return {}

    def _words(self) -> dict[str, Any]:
        return {"words": {name: list(words) for name, words in self._inverter.words.items()}}

    def _believe(self, **changes: Any) -> dict[str, Any]:
        belief = self._inverter.belief
        belief.plan = belief.plan.changed(changes)
        return {"values": belief.values(boottime())}

    def _modbus(self, **changes: Any) -> dict[str, Any]:
        server = self._server
        if server is None:
            raise ValueError("modbus: it was started without --modbus-port")
        if unknown := changes.keys() - {"on", "order", "one_client", "answer_after"}:
            raise ValueError(f"{', '.join(sorted(unknown))}: known are on, order, one_client, answer_after")
        on = changes.pop("on", None)
        for name, value in changes.items():
            setattr(server, name, value)
        if on is not None:
            (server.switch_on if on else server.switch_off)()
        return server.status()

    def _raw(self, frames: list[dict[str, Any]], listen_ms: float = 300.0, *, crc: bool = False) -> dict[str, Any]:
        plain = []
        for frame in frames:
            data = bytes.fromhex(frame["hex"])
            plain.append((append_crc(data) if crc else data, float(frame.get("gap_ms", 0.0)) / 1000.0))
        waiting = self._inverter.between_requests(lambda asker: _send(asker, plain, listen_ms / 1000.0))
        try:
            return waiting.result(10.0 + listen_ms / 1000.0 + sum(gap for _, gap in plain))
        except PortGone as error:
            raise ValueError(f"the port went away: {error}") from None


def _send(asker: Asker, frames: list[tuple[bytes, float]], listen: float) -> dict[str, Any]:
    """`heard`: what the server sent, with begin and end in ms since the first byte began; `after_ms`: since the end of
    what the client had sent before it.
    """
    sent, received, heard = asker.send(frames, listen)
    asked = bursts(heard, TO_SERVER, asker.character)
    answers = bursts(heard, TO_CLIENT, asker.character)
    begin = asked[0].start if asked else sent
    return {
        "received": received.hex(),
        "asked": [
            {"hex": one.data.hex(), "start_ms": _ms(one.start - begin), "end_ms": _ms(one.end - begin)} for one in asked
        ],
        "heard": [
            {
                "hex": one.data.hex(),
                "start_ms": _ms(one.start - begin),
                "end_ms": _ms(one.end - begin),
                "after_ms": _ms(one.start - max((a.end for a in asked if a.end <= one.start), default=begin)),
            }
            for one in answers
        ],
    }


def _ms(seconds: float) -> float:
    return round(1000.0 * seconds, 3)
