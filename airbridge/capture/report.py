"""A capture's summary for people: tables of rich [core]."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airbridge.capture.cycle_order import CycleOrder
from airbridge.capture.spread import Spread
from airbridge.capture.summary import CaptureSummary, Row

SHOWN_PARTS = 24


def report(kind: str, summary: CaptureSummary) -> RenderableType:
    """Everything that a capture shows."""
    rows = summary.rows
    if not rows:
        return Text(_nothing(kind, summary))
    parts: list[RenderableType] = [_table(kind, rows)]
    order = summary.order
    if order is not None:
        parts.append(_order(order))
    parts.append(Text(_counts(kind, summary)))
    return Group(*parts)


def progress(kind: str, summary: CaptureSummary, elapsed: float) -> str:
    """One line while it runs."""
    what = "writes" if kind == "push" else "requests"
    count = summary.counts["write" if kind == "push" else "request"]
    rate = f"{count / elapsed:.1f}/s" if elapsed > 0 else ""
    parts = [f"{elapsed:5.0f} s", f"{count} {what} ({rate})", f"{len(summary.rows)} kinds"]
    if kind == "push":
        parts.append(f"{summary.counts['connected'] - summary.counts['closed']} connection(s) open")
    else:
        replies, exceptions = summary.counts["reply"], summary.counts["exception"]
        parts.append(f"{replies} replies, {exceptions} exceptions, {_timeouts(summary)} timeouts")
        parts.append(f"{summary.counts['noise']} noise")
    return ", ".join(parts)


def _table(kind: str, rows: list[Row]) -> Table:
    bus = kind == "bus"
    table = Table(title="What the inverter asks" if bus else "What the meter writes", title_justify="left")
    table.add_column("FC", justify="right")
    table.add_column("unit", justify="right")
    table.add_column("registers")
    table.add_column("count", justify="right")
    table.add_column("seen", justify="right")
    table.add_column("period ms\nmin / median / max", justify="right")
    table.add_column("jitter\nms", justify="right")
    if bus:
        table.add_column("turnaround ms\nmin / median / max", justify="right")
        table.add_column("data", justify="right")
    table.add_column("time-\nouts" if bus else "", justify="right")
    table.add_column("exceptions", justify="right")
    for row in rows:
        period = row.period_ms
        cells = [str(row.key.function), str(row.key.unit), str(row.key), _number(row.key.count), str(row.seen)]
        cells += [_spread(period), f"{period.jitter:.1f}" if period else ""]
        if bus:
            cells += [_spread(row.delay_ms), str(row.answered)]
        cells.append(str(row.timeouts) if bus else ("read" if row.what == "read" else ""))
        cells.append(", ".join(f"{code}: {count}" for code, count in sorted(row.exceptions.items())))
        table.add_row(*cells)
    return table


def _order(order: CycleOrder) -> Table:
    title = f"Order in a cycle: so in {order.kept} of {order.cycles} cycles, period {_spread(order.period_ms)} ms"
    table = Table(title=title, title_justify="left")
    table.add_column("", justify="right")
    table.add_column("registers")
    table.add_column("ms after the first\nmin / median / max", justify="right")
    shown = list(zip(order.parts, order.offsets_ms, strict=True))
    for number, (part, offset) in enumerate(shown[:SHOWN_PARTS], 1):
        table.add_row(str(number), str(part), _spread(offset))
    if len(shown) > SHOWN_PARTS:
        table.add_row("...", f"{len(shown) - SHOWN_PARTS} more", "")
    return table


def _counts(kind: str, summary: CaptureSummary) -> str:
    counts = summary.counts
    if kind == "push":
        peers = ", ".join(f"{peer} ({count})" for peer, count in summary.peers.most_common(5))
        text = f"{counts['write']} writes, {counts['read']} reads, {counts['refused']} refused, from {peers}"
        return text + f"; {counts['connected']} connections, {counts['closed']} of them closed"
    return (
        f"{counts['request']} requests, {counts['reply']} replies, {counts['exception']} exceptions, "
        f"{_timeouts(summary)} timeouts, {counts['unasked']} replies nobody asked for, {counts['noise']} times noise"
    )


def _nothing(kind: str, summary: CaptureSummary) -> str:
    if kind == "push":
        if summary.counts["connected"]:
            return "The meter connected, and wrote nothing: are the register groups switched on in its Modbus settings?"
        return (
            "Nobody connected. In the KSEM's Modbus settings add this computer's address and this port as a TCP slave, "
            "and look whether a firewall is in between."
        )
    if summary.counts["noise"]:
        return (
            f"{summary.counts['noise']} times noise and no frame: the baud rate or the stop bits may differ "
            "(--baudrate, --parity, --stopbits), or A and B are swapped."
        )
    return "Not a byte was heard: is the adapter clipped to the same A, B and ground as meter and inverter?"


def _timeouts(summary: CaptureSummary) -> int:
    return sum(row.timeouts for row in summary.rows)


def _spread(times: Spread | None) -> str:
    return f"{times.least:.1f} / {times.median:.1f} / {times.greatest:.1f}" if times else ""


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
