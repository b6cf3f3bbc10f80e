"""Faults for a soak: each breaks something for a moment and leaves it whole, both services still the same processes."""

import random
import time
from collections.abc import Callable
from typing import Final

from modbus_codec.crc import append_crc
from service_runtime.clock import boottime
from tests.chain import Chain
from tests.faults.ear import Ear
from tests.unit.rtu_server.blocks import block

Fault = Callable[[Chain, random.Random], None]


def _for_a_while(chance: random.Random, longest: float = 2.0) -> None:
    time.sleep(chance.uniform(0.1, longest))


def noise_on_the_line(chain: Chain, chance: random.Random) -> None:
    kind = chance.choice(("flip", "truncate", "silence", "noise", "drop"))
    parameters: dict[str, object] = {"at": chance.randrange(8), "times": chance.randrange(1, 20)}
    if kind == "noise":
        parameters["hex"] = chance.randbytes(chance.randrange(1, 40)).hex()
    if kind == "silence":
        parameters["ms"] = chance.randrange(60)
    chain.line.command("fault", kind=kind, to="server", **parameters)
    _for_a_while(chance)


def other_units_talk(chain: Chain, chance: random.Random) -> None:
    requested = append_crc(bytes((2, 3, 0, 0, 0, 4)))
    answered = append_crc(bytes((2, 3, 8)) + append_crc(bytes((1, 3, 0, 0, 0, 28))))
    for _ in range(chance.randrange(1, 20)):
        chain.line.command("inject", to="server", hex=chance.choice((requested, answered, requested + answered)).hex())
        time.sleep(chance.uniform(0.01, 0.1))


def an_odd_adapter(chain: Chain, chance: random.Random) -> None:
    chain.line.command("grain", ms=chance.choice((1, 8, 16)), to="server")
    chain.line.command("echo", on=chance.random() < 0.5)
    _for_a_while(chance)


def the_port_goes(chain: Chain, chance: random.Random) -> None:
    chain.line.command("unplug", seconds=chance.uniform(0.0, 1.5))
    _for_a_while(chance)


def the_rtu_server_stands_still(chain: Chain, chance: random.Random) -> None:
    chain.server.freeze()
    _for_a_while(chance)
    chain.server.thaw()


def the_publisher_stands_still(chain: Chain, chance: random.Random) -> None:
    chain.publisher.freeze()
    _for_a_while(chance)
    chain.publisher.thaw()


def the_broker_stands_still(chain: Chain, chance: random.Random) -> None:
    chain.broker.freeze()
    _for_a_while(chance, 4.0)
    chain.broker.thaw()


def the_broker_is_restarted(chain: Chain, chance: random.Random) -> None:
    (chain.broker.stop if chance.random() < 0.5 else chain.broker.kill)()
    _for_a_while(chance)
    chain.broker.start()


def the_push_stops(chain: Chain, chance: random.Random) -> None:
    chain.meter.command("push", enabled=False)
    _for_a_while(chance, 4.0)
    chain.meter.command("push", enabled=True)


def a_push_group_is_off(chain: Chain, chance: random.Random) -> None:
    chain.meter.command("push", groups=[chance.choice(("total", "phases"))])
    _for_a_while(chance, 4.0)
    chain.meter.command("push", groups=["total", "phases"])


def the_push_jitters(chain: Chain, chance: random.Random) -> None:
    chain.meter.command("push", jitter=0.015, order="shuffled", pipeline=True)
    _for_a_while(chance, 4.0)
    chain.meter.command("push", jitter=0.0, order="up", pipeline=False)


def polling_goes_wrong(chain: Chain, chance: random.Random) -> None:
    name = chance.choice(("silent", "exception", "short", "close", "wrong-transaction", "wrong-unit", "garbage"))
    chain.meter.command("fault", name=name)
    chain.meter.command("push", enabled=chance.random() < 0.5)
    _for_a_while(chance)
    chain.meter.command("push", enabled=True)


def the_meter_reboots(chain: Chain, chance: random.Random) -> None:
    gone, zero = chance.uniform(0.1, 1.0), chance.uniform(0.1, 1.0)
    chain.meter.command("reboot", gone=gone, zero=zero)
    time.sleep(gone + zero + 0.5)


def connections_are_cut(chain: Chain, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 5)):
        chain.meter.command("drop-connections")
        time.sleep(chance.uniform(0.0, 0.5))


def garbage_on_the_topics(chain: Chain, chance: random.Random) -> None:
    with Ear(chain.broker.port) as probe:
        for _ in range(chance.randrange(1, 200)):
            forged = block(at=boottime(), seq=chance.randrange(1 << 40), session=f"{chance.getrandbits(32):08x}")
            probe.shout("ksem/main/block/live", forged.encode())
            probe.shout("ksem/main/block/live", chance.randbytes(300))


def requests_of_all_kinds(chain: Chain, chance: random.Random) -> None:
    frames = [append_crc(bytes((1, chance.randrange(256))) + chance.randbytes(4)).hex() for _ in range(20)]
    chain.inverter.raw(*frames, gap_ms=chance.uniform(0, 50), listen_ms=200)


FAULTS: Final[tuple[Fault, ...]] = (
    noise_on_the_line,
    other_units_talk,
    an_odd_adapter,
    the_port_goes,
    the_rtu_server_stands_still,
    the_publisher_stands_still,
    the_broker_stands_still,
    the_broker_is_restarted,
    the_push_stops,
    a_push_group_is_off,
    the_push_jitters,
    polling_goes_wrong,
    the_meter_reboots,
    connections_are_cut,
    garbage_on_the_topics,
    requests_of_all_kinds,
)


def heal(chain: Chain) -> None:
    """End what a fault may have left."""
    chain.line.command("clear")
    chain.meter.command("clear")
