"""A meter of which every cycle is known: what it pushes, and a check that a block is exactly one of its cycles."""

from dataclasses import dataclass, field

from ksem_contract.blocks import MEASURED

Write = tuple[float, int, tuple[int, ...]]
TWO_GROUPS = ((0, 28), (40, 106))
MEASURED_ADDRESSES = tuple(address for part in MEASURED for address in range(part.start, part.stop))


def live_words(cycle: int, watts: tuple[int, int, int] | None = None) -> list[int]:
    """The 148 registers of `live` in a cycle; every measured word tells the cycle, the phases sum up to the total."""
    registers = [0] * 148
    for address in MEASURED_ADDRESSES:
        registers[address] = (cycle * 7 + address) & 0xFFFF
    tenths = (
        [w * 10 for w in watts] if watts else [1000 + 137 * cycle % 9001, 2000 + 53 * cycle % 7001, 500 + 29 * cycle]
    )
    for start, net in [(0, sum(tenths)), (40, tenths[0]), (80, tenths[1]), (120, tenths[2])]:
        plus, minus = max(net, 0), max(-net, 0)
        registers[start : start + 4] = [plus >> 16, plus & 0xFFFF, minus >> 16, minus & 0xFFFF]
    registers[26:28] = [0, 49_900 + cycle % 200]
    return registers


def measured(registers: tuple[int | None, ...] | list[int]) -> tuple[int | None, ...]:
    return tuple(registers[address] for address in MEASURED_ADDRESSES)


@dataclass
class ModelMeter:
    """Pushes `shapes` each `period`; the writes of a cycle are `gap` apart, the last one `slow` later still."""

    period: float = 0.2
    gap: float = 0.0
    slow: float = 0.0
    shapes: tuple[tuple[int, int], ...] = TWO_GROUPS
    constant: bool = False
    truth: dict[int, list[int]] = field(default_factory=dict)

    def registers(self, cycle: int) -> list[int]:
        if cycle not in self.truth:
            self.truth[cycle] = live_words(cycle, (100, 200, -50) if self.constant else None)
        return self.truth[cycle]

    def cycle(self, number: int) -> list[Write]:
        registers = self.registers(number)
        began = 100.0 + number * self.period
        last = len(self.shapes) - 1
        return [
            (began + i * self.gap + (self.slow if i == last else 0.0), start, tuple(registers[start : start + count]))
            for i, (start, count) in enumerate(self.shapes)
        ]

    def writes(self, cycles: int, skip: int = 0) -> list[Write]:
        """All writes of so many cycles, without the first `skip`: we attach in the middle of one."""
        return [write for number in range(cycles) for write in self.cycle(number)][skip:]

    def cycle_of(self, registers: tuple[int | None, ...]) -> int:
        """Which cycle the block is; fails where it is none."""
        held = measured(registers)
        for number, truth in self.truth.items():
            if measured(truth) == held:
                return number
        raise AssertionError("the block is no cycle of the meter: torn, or out of phase")
