"""What a reader of this node's tape must know of its lines, and of the publishers' clocks."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from service_runtime.recorder.recorder import Wires
from service_runtime.recorder.tape import WireEvent

from .serial_line import character_time
from .settings import LineSettings

if TYPE_CHECKING:
    from service_runtime.recorder.flight_file import Decoder


def node_wires(node: str, lines: Sequence[LineSettings], held: Callable[[], Iterable[WireEvent]]) -> Wires:
    """Return the wires of a node: its lines."""
    about = {line.name: f"{1e6 * character_time(line.baudrate, line.stopbits, line.parity):.2f}" for line in lines}

    def decoder() -> "Decoder":
        from service_runtime.recorder.decode import NodeDecoder  # noqa: PLC0415  (needed after a fault)

        return NodeDecoder(node, about, serial_number=False)

    return Wires(name=node, decoder=decoder, held=held)
