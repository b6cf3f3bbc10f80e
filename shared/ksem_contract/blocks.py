"""The register blocks of the contract: which registers travel together, and their names [core].

Addresses are those of the KSEM's own Modbus map (`register_map`); the groups are those of its master mode.
"""

from typing import Final

from ksem_contract.registers import ADDRESSES, RegisterRange


def _from_to(first: int, last: int) -> RegisterRange:
    return RegisterRange(first, last - first + 1)


LIVE: Final = _from_to(0, 147)
"""Instantaneous values: total, L1, L2, L3."""
ENERGY: Final = _from_to(512, 791)
"""Energy counters: total, L1, L2, L3."""
DEVICE: Final = _from_to(8192, 8249)
"""The meter's identity, and its measuring interval."""

SUNSPEC_START: Final = 40000
SUNSPEC: Final = _from_to(SUNSPEC_START, 40200)
"""Where the chain of SunSpec models may lie; the block `sunspec` holds the part that was found, from 40000 on."""

FIXED_BLOCKS: Final = {"live": LIVE, "energy": ENERGY, "device": DEVICE}
"""Blocks that are always exactly this range."""

NAMED_BLOCKS: Final = (*FIXED_BLOCKS, "sunspec")
"""Blocks whose names are always known; those on demand are named by their range."""

MAP: Final = (LIVE, ENERGY, DEVICE, SUNSPEC)
"""What always belongs to the meter's map, known or not yet: a request for it never gets "illegal address"."""

PUSH_GROUPS: Final = {
    "total": _from_to(0, 27),
    "phases": _from_to(40, 145),
    "energy_total": _from_to(512, 551),
    "energy_phases": _from_to(592, 791),
}
"""The groups that a KSEM in master mode writes; each can be switched off in its menu."""

MEASURED: Final = (_from_to(0, 27), _from_to(40, 65), _from_to(80, 105), _from_to(120, 145))
"""The registers of `live` that are measured in each cycle, and whose age is the block's age."""

SEQLOCK_HEAD: Final = _from_to(0, 27)
"""Read before and after the body: no change means that both reads fell into one cycle."""
SEQLOCK_BODY: Final = _from_to(40, 145)

FREQUENCY: Final = 26
"""First register of the supply frequency (uint32, mHz)."""
FIRMWARE: Final = 8195
"""Firmware version; where SunSpec's models lie may change with it."""
MEASURING_INTERVAL: Final = 8244
"""Length of a measuring cycle in ms; the first register that a Plenticore requests."""


MOST_ON_DEMAND: Final = 32
"""Ranges on demand that a publisher may be set to read; a node keeps as many and more."""


def in_map(wanted: RegisterRange) -> bool:
    """Whether `wanted` lies wholly in the map. Neighbouring ranges do not touch, so one of them must hold it all."""
    return any(known.covers(wanted) for known in MAP)


def touches_map(wanted: RegisterRange) -> bool:
    """Whether any register of `wanted` lies in the map."""
    return any(known.overlaps(wanted) for known in MAP)


def block_name(wanted: RegisterRange) -> str:
    """The name of a block on demand: `r<start>-<count>`."""
    return f"r{wanted.start}-{wanted.count}"


def parse_block_name(name: str) -> RegisterRange | None:
    """The range that a name like `r9000-20` stands for; None for any other name, also for one like `r09000-20`."""
    start_text, dash, count_text = name[1:].partition("-")
    if not (name.startswith("r") and dash and _is_plain(start_text) and _is_plain(count_text)):
        return None
    start, count = int(start_text), int(count_text)
    if count < 1 or start + count > ADDRESSES:
        return None
    return RegisterRange(start, count)


def _is_plain(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 5 and (digits == "0" or digits[0] != "0")
