"""Lists what can be wrong with the meter's answers [core]."""

from dataclasses import dataclass, field
from typing import Any, Final, Self

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.push_plan import parse_ranges

FAULTS: Final = {
    "silent": "connections are accepted, nothing is answered",
    "exception": "every read is answered with exception CODE (default 4)",
    "short": "one register fewer than requested, in an otherwise good answer",
    "late": "answers come SECONDS late, with the values of the time of the request",
    "close": "half an answer, then the connection is closed",
    "wrong-transaction": "the answer bears another request's transaction number",
    "wrong-unit": "the answer bears another unit",
    "foreign": "another device answers: an inverter, with its own registers",
    "garbage": "bytes that are no Modbus come back",
}


@dataclass(slots=True)
class PollFault:
    """A fault that is on. It may be limited to some registers, and to a number of requests."""

    name: str = ""
    code: int = 4
    seconds: float = 0.0
    only: tuple[RegisterRange, ...] = field(default=())
    times: int | None = None

    @classmethod
    def of(cls, name: str, parameters: dict[str, Any]) -> Self:
        """From a command. ValueError names what is wrong."""
        if name not in FAULTS:
            raise ValueError(f"fault {name!r}: {', '.join(FAULTS)}")
        allowed = {"code", "seconds", "only", "times"}
        if unknown := set(parameters) - allowed:
            raise ValueError(f"{', '.join(sorted(unknown))}: a fault takes {', '.join(sorted(allowed))}")
        return cls(
            name,
            int(parameters.get("code", 4)),
            float(parameters.get("seconds", 0.0)),
            parse_ranges(parameters["only"]) if parameters.get("only") else (),
            None if parameters.get("times") is None else int(parameters["times"]),
        )

    def hits(self, span: RegisterRange | None) -> str:
        """The fault's name if it is on for a request of these registers (None: not a read), else ''; counts it."""
        if not self.name or self.times == 0:
            return ""
        if self.only and (span is None or not any(one.overlaps(span) for one in self.only)):
            return ""
        if self.times is not None:
            self.times -= 1
        return self.name
