"""The other blocks of one meter, beside `live`: checks, publishes and decodes them."""

import contextlib
from collections.abc import Callable
from datetime import datetime

from ksem_contract.block_message import BlockMessage, Source
from ksem_contract.blocks import DEVICE, FIRMWARE, MEASURING_INTERVAL, parse_block_name
from ksem_contract.mac import KEYLESS, MessageKeys
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason
from ksem_contract.values import decode_texts
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.on_demand import EVERY
from ksem_publisher.plausibility import Anomaly, CountersCheck, foreign_device, masked, other_meter
from ksem_publisher.snapshot import BlockRead, Registers
from ksem_publisher.value_publisher import ValuePublisher
from service_runtime.clock import boottime, wall_time

ON_DEMAND_MS = round(EVERY * 1000)
REPLACED_FOR = 3600.0
"""Seconds for which health names a meter that has another serial number than the last known one."""


class BlockData:
    """Takes blocks that were read or pushed, publishes them."""

    def __init__(
        self,
        blocks: BlockPublisher,
        values: ValuePublisher | None,
        doubted: Callable[[Source], bool],
        on_texts: Callable[[], None],
        clock: Callable[[], float] = boottime,
        wall: Callable[[], str] = wall_time,
        serial: str | None = None,
    ) -> None:
        """`doubted`: whether blocks from this source are refused now, as they are while a meter boots.

        `on_texts`: `texts` are other ones now. `serial`: the serial number of the only meter that counts.
        """
        self._serial = serial
        self._replaced: Anomaly | None = None
        self._replaced_at = float("-inf")
        self._blocks = blocks
        self._values = values
        self._doubted = doubted
        self._on_texts = on_texts
        self._clock = clock
        self._wall = wall
        self._counters = CountersCheck()
        self._withheld: Anomaly | None = None
        self.texts: dict[str, str] = {}
        """The meter's own texts: vendor, product, serial number, firmware."""
        self.interval_ms: int | None = None
        """The meter's measuring interval, once it was read."""

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Anomalies of the newest blocks."""
        replaced = self._replaced if self._clock() - self._replaced_at <= REPLACED_FOR else None
        return tuple(anomaly for anomaly in (self._counters.anomaly, self._withheld, replaced) if anomaly is not None)

    def take(self, block: BlockRead, source: Source) -> None:
        """Take a whole block of the meter. A meter that boots has no counters yet, so they are left out then."""
        if block.name == "energy" and self._doubted(source):
            return
        cycle_ms = self.interval_ms if parse_block_name(block.name) is None else ON_DEMAND_MS
        if not self._blocks.put(block.name, block.start, block.registers, block.at, source, cycle_ms):
            return
        if block.name == "device":
            self._read_device(block.registers)
            if self._values is not None:
                self._values.device(block.registers)
        elif block.name == "energy":
            self._counters.look(block.registers, block.at)
            self._decode_energy(block)

    def adopt(self, message: BlockMessage, now: float) -> bool:
        """Take over the device block that an earlier session left on the broker, until the meter itself is read."""
        if message.block != "device" or foreign_device(message.registers):
            return False
        if self._blocks.registers("device") is not None:  # the meter answered first: was it the same meter before?
            self._compare_serials(decode_texts(message.registers).get("serial_number"), self.texts.get("serial_number"))
            return False
        if self._serial is not None and other_meter(message.registers, self._serial):
            return False
        self._read_device(message.registers)
        measured = now - kept_age(message, now, self._wall())
        self._blocks.put("device", message.start, message.registers, measured, "kept", self.interval_ms)
        return True

    def _read_device(self, registers: Registers) -> None:
        self.interval_ms = registers[MEASURING_INTERVAL - DEVICE.start]
        texts = decode_texts(registers)
        firmware = registers[FIRMWARE - DEVICE.start]
        if firmware is not None:
            texts["firmware_version"] = str(firmware)
        if self._compare_serials(self.texts.get("serial_number"), texts.get("serial_number")):
            self._blocks.drop("energy")  # it is the old meter's; the next connection would publish it again
        if texts != self.texts:
            self.texts = texts
            self._on_texts()

    def _compare_serials(self, before: str | None, after: str | None) -> bool:
        """Start over and log it where these are two meters' serial numbers."""
        if not before or not after or before == after:
            return False
        self._new_meter()
        self._replaced_at = self._clock()
        reason = Reason.of("serial-changed", serial=masked(after), before=masked(before))
        self._replaced = Anomaly("serial-changed", reason)
        return True

    def _new_meter(self) -> None:
        """Forget the old meter's counters: they show nothing about the new meter's."""
        self._counters = CountersCheck()
        self._withheld = None
        if self._values is not None:
            self._values.forget_counters()

    def _decode_energy(self, block: BlockRead) -> None:
        if self._values is None:
            return
        withheld = self._values.energy(block.registers, block.at, self._clock())
        text = "; ".join(f"{one.key} of {one.value:g} kWh follows {one.last} kWh" for one in withheld)
        self._withheld = Anomaly("counters-withheld", Reason.of("counters-withheld", counters=text)) if text else None


def kept_age(message: BlockMessage, now: float, wall: str) -> float:
    """Seconds that a retained block is old at least. `now` is our CLOCK_BOOTTIME, `wall` our wall clock.

    Where it has not booted since, its own clock gives the age. Else the block is older than this boot. Wall clocks
    can only make it older: a clock that runs behind, as after a boot without a time service, makes no block younger.
    """
    stamped = message.boot_ms / 1000
    known = now - stamped if stamped <= now else now
    with contextlib.suppress(ValueError):
        known = max(known, (datetime.fromisoformat(wall) - datetime.fromisoformat(message.time)).total_seconds())
    return message.age_ms / 1000 + known


def read_kept(payload: bytes, meter: str, block: str, keys: MessageKeys = KEYLESS) -> BlockMessage | None:
    """The retained block in `payload`; None if it is no block, belongs elsewhere, or its code does not fit.

    What is taken over is sealed again: without this check a forged block would leave here with a valid code.
    """
    try:
        keys.check(payload)
        message = BlockMessage.decode(payload)
    except InvalidMessage:
        return None
    return message if (message.meter, message.block) == (meter, block) else None
