"""Renders a capture's summary as tables of rich [core]."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airbridge.capture.summary import BridgeSummary, CaptureSummary, CycleOrder, Row, Spread

SHOWN_PARTS = 24
REQUESTED = {
    "push": "What the meter writes",
    "poll": "What the publisher requests of the meter",
    "bus": "What the inverter requests",
}


def report(kind: str, summary: CaptureSummary) -> RenderableType:
    """Everything that a capture shows."""
    rows = summary.rows
    if not rows:
        return Text(_nothing(kind, summary))
    parts: list[RenderableType] = [_requested(kind, rows)]
    if kind != "push":
        parts.append(_answered(rows))
    order = summary.order if kind != "poll" else None
    if order is not None:
        parts.append(_order(order))
    parts.append(Text(_counts(kind, summary)))
    return Group(*parts)


def bridge_report(summary: BridgeSummary) -> RenderableType:
    """Everything that the flight files of a bridge show."""
    parts: list[RenderableType] = []
    for (kind, where), part in sorted(summary.parts.items(), key=lambda one: list(REQUESTED).index(one[0][0])):
        parts += [Text(f"{where}: {kind}", style="bold underline"), report(kind, part)]
    parts += [Text(f"{record.t:9.3f} s  {record.where}: {record.what}: {record.why}") for record in summary.notes]
    if not parts:
        parts.append(Text("The services were silent: neither pushes nor polls nor requests of an inverter."))
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


def _requested(kind: str, rows: list[Row]) -> Table:
    table = _table(REQUESTED[kind])
    for heading in ("FC", "unit", "registers", "count", "seen"):
        table.add_column(heading, justify="left" if heading == "registers" else "right", no_wrap=True)
    for heading in ("each ms: min", "median", "max", "jitter"):
        table.add_column(heading, justify="right")
    for row in rows:
        period = row.period_ms
        name = "reads" if row.what == "read" else ""
        cells = [f"{name} {row.key.function}".strip(), str(row.key.unit), str(row.key), _number(row.key.count)]
        table.add_row(*cells, str(row.seen), *_spread(period), f"+-{period.jitter:.1f}" if period else "")
    return table


def _answered(rows: list[Row]) -> Table:
    table = _table("How it is answered")
    for heading in ("unit", "registers", "data", "exceptions", "timeouts"):
        table.add_column(heading, justify="left" if heading == "registers" else "right", no_wrap=True)
    for heading in ("after ms: min", "median", "max", "jitter"):
        table.add_column(heading, justify="right")
    for row in rows:
        delay = row.delay_ms
        exceptions = ", ".join(f"{count} x {code}" for code, count in sorted(row.exceptions.items()))
        cells = [str(row.key.unit), str(row.key), str(row.answered), exceptions, str(row.timeouts)]
        table.add_row(*cells, *_spread(delay), f"+-{delay.jitter:.1f}" if delay else "")
    return table


def _order(order: CycleOrder) -> Table:
    table = _table(f"Order in a cycle: the same in {order.kept} of {order.cycles} cycles")
    table.add_column("", justify="right")
    table.add_column("registers")
    for heading in ("ms after the first: min", "median", "max"):
        table.add_column(heading, justify="right")
    shown = list(zip(order.parts, order.offsets_ms, strict=True))
    for number, (part, offset) in enumerate(shown[:SHOWN_PARTS], 1):
        table.add_row(str(number), str(part), *_spread(offset))
    if len(shown) > SHOWN_PARTS:
        table.add_row("...", f"{len(shown) - SHOWN_PARTS} more")
    table.add_row("", "next cycle", *_spread(order.period_ms))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _counts(kind: str, summary: CaptureSummary) -> str:
    counts = summary.counts
    if kind == "push":
        peers = ", ".join(f"{peer} ({count})" for peer, count in summary.peers.most_common(5))
        text = f"{counts['write']} writes, {counts['read']} reads, {counts['refused']} refused, from {peers}"
        return text + f"; {counts['connected']} connections, {counts['closed']} of them closed"
    return (
        f"{counts['request']} requests, {counts['reply']} replies, {counts['exception']} exceptions, "
        f"{_timeouts(summary)} timeouts, {counts['unasked']} replies without a request, {counts['noise']} times noise"
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
    return "Not a byte was received: is the adapter clipped to the same A, B and ground as meter and inverter?"


def _timeouts(summary: CaptureSummary) -> int:
    return sum(row.timeouts for row in summary.rows)


def _spread(times: Spread | None) -> tuple[str, str, str]:
    if times is None:
        return "", "", ""
    return f"{times.least:.1f}", f"{times.median:.1f}", f"{times.greatest:.1f}"


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
