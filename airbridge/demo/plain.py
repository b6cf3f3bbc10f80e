"""Renders the demo as lines of text [core]."""

from collections.abc import Iterable

from airbridge.demo.picture import BridgeState
from airbridge.demo.verdict import Counts, faults


def status_line(state: BridgeState, now: float) -> str:
    """One line about everything."""
    parts = []
    if state.ready_at is None:
        parts.append(f"{now - state.started:4.0f} s starting")
    else:
        parts.append(f"{now - state.ready_at:4.0f} s")
    parts.append(f"meter {state.values['power']:+.0f} W" if "power" in state.values else "meter -")
    live = state.blocks.get("live")
    if live is None:
        parts.append("live: not yet")
    else:
        source = live.message.source
        parts.append(f"{source} {live.per_s(source, now):.1f}/s, live {live.age_ms(now)} ms old")
    parts.append(f"inverter: {state.counts}")
    if words := state.believed.summary(now):
        parts.append(words)
    times = _times(state)
    return "; ".join([*parts, times] if times else parts)


def summary_lines(state: BridgeState, seconds: float, expected_good: int, troubles: Iterable[str]) -> list[str]:
    """The end of a run: what came of it, and whether that was good."""
    counts = state.counts
    lines = []
    if state.ready_at is None:
        lines.append(f"start: no good answers within {seconds:.1f} s")
    else:
        began = state.ready_at - state.started
        before = state.start_counts or Counts()
        lines.append(
            f"start: good answers after {began:.1f} s; before them {before.timeouts} timeouts, {before.refused} refused"
        )
    lines.append(f"answers in {seconds:.1f} s: {counts}")
    times = _times(state, longest=True)
    if times:
        lines.append(times)
    for name, part in (state.inverter.get("ranges") or {}).items():
        lines.append(f"  {name}: {Counts.of(part['outcomes'])}")
    problems = [*troubles, *faults(counts, expected_good)]
    lines.append(
        "result: "
        + (
            "FAILED: " + "; ".join(problems)
            if problems
            else f"good (at least {expected_good} good answers were expected)"
        )
    )
    return lines


def _times(state: BridgeState, *, longest: bool = False) -> str:
    reported = []
    for label, times in (("turnaround", state.turnaround_ms), ("age at the inverter", state.age_ms)):
        if times.p50 is not None and times.p99 is not None and times.max is not None:
            most = f", longest {times.max:.1f}" if longest else ""
            reported.append(f"{label} p50 {times.p50:.1f}, p99 {times.p99:.1f}{most} ms")
    return "; ".join(reported)
