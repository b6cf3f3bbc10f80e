"""The demo in lines of text [core]."""

from collections.abc import Iterable

from airbridge.demo.picture import Picture
from airbridge.demo.verdict import Counts, faults


def status_line(picture: Picture, now: float) -> str:
    """One line about everything."""
    parts = []
    if picture.ready_at is None:
        parts.append(f"{now - picture.started:4.0f} s starting")
    else:
        parts.append(f"{now - picture.ready_at:4.0f} s")
    parts.append(f"meter {picture.values['power']:+.0f} W" if "power" in picture.values else "meter -")
    live = picture.blocks.get("live")
    if live is None:
        parts.append("live: not yet")
    else:
        source = live.message.source
        parts.append(f"{source} {live.per_s(source, now):.1f}/s, live {live.age_ms(now)} ms old")
    parts.append(f"inverter: {picture.counts}")
    if words := picture.believed.words(now):
        parts.append(words)
    times = _times(picture)
    return "; ".join([*parts, times] if times else parts)


def summary_lines(picture: Picture, seconds: float, expected_good: int, troubles: Iterable[str]) -> list[str]:
    """The end of a run: what came of it, and whether that was good."""
    counts = picture.counts
    lines = []
    if picture.ready_at is None:
        lines.append(f"start: no good answers within {seconds:.1f} s")
    else:
        began = picture.ready_at - picture.started
        before = picture.start_counts or Counts()
        lines.append(
            f"start: good answers after {began:.1f} s; before them {before.timeouts} timeouts, {before.refused} refused"
        )
    lines.append(f"answers in {seconds:.1f} s: {counts}")
    times = _times(picture, longest=True)
    if times:
        lines.append(times)
    for name, part in (picture.inverter.get("ranges") or {}).items():
        lines.append(f"  {name}: {Counts.of(part['outcomes'])}")
    found = [*troubles, *faults(counts, expected_good)]
    lines.append(
        "result: "
        + ("FAILED: " + "; ".join(found) if found else f"good (at least {expected_good} good answers were expected)")
    )
    return lines


def _times(picture: Picture, *, longest: bool = False) -> str:
    reported = []
    for label, times in (("turnaround", picture.turnaround_ms), ("age at the inverter", picture.age_ms)):
        if times.p50 is not None and times.p99 is not None and times.max is not None:
            most = f", longest {times.max:.1f}" if longest else ""
            reported.append(f"{label} p50 {times.p50:.1f}, p99 {times.p99:.1f}{most} ms")
    return "; ".join(reported)
