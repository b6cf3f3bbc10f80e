"""Draws the turnarounds as an SVG picture [core]: a bar from p50 to p99 for each contender, at rest and under load."""

from typing import Any, Final

from benchmarks.contenders import NAMES, OURS

_WIDTH: Final = 760
_LEFT: Final = 150
_ROW: Final = 26
_MOST: Final = 8.0
"""ms at the right border; a longer tail is cut off and printed as a number."""
_T35: Final = 1.75
_COLOURS: Final = {"rest": "#2f6f9f", "load": "#d08a3c"}
_LABELS: Final = {"rest": "5 pushes a second", "load": "50 a second, second core busy"}


def plot(results: dict[str, Any]) -> str:
    """The picture: a mark at p50, a thick bar to p90, a thin line to p99."""
    height = 70 + len(NAMES) * 2 * _ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#fff"/><g font-size="12">',
        '<text x="16" y="24" font-size="15">Turnaround on the paced line: p50, p90, p99 in ms</text>',
    ]
    bottom = height - 34
    for tick in range(int(_MOST) + 1):
        parts.append(f'<line x1="{_x(tick)}" x2="{_x(tick)}" y1="56" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{_x(tick)}" y="{bottom + 16}" text-anchor="middle" fill="#555">{tick}</text>')
    parts.append(
        f'<rect x="{_x(0)}" y="56" width="{_x(_T35) - _x(0)}" height="{bottom - 56}" fill="#c33" opacity=".08"/>'
    )
    parts.append(f'<text x="{_x(_T35) - 4}" y="51" text-anchor="end" fill="#a33">forbidden: before t3.5</text>')
    for index, (state, label) in enumerate(_LABELS.items()):
        parts.append(f'<rect x="{430 + index * 135}" y="34" width="10" height="10" fill="{_COLOURS[state]}"/>')
        parts.append(f'<text x="{444 + index * 135}" y="43" fill="#555" font-size="10">{label}</text>')
    y = 62
    for name in NAMES:
        weight = "bold" if name == OURS else "normal"
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 30}" text-anchor="end" font-weight="{weight}">{name}</text>')
        for state, colour in _COLOURS.items():
            parts += _bar(results["line"][state][name]["all"], y + 6, colour)
            y += _ROW
    return "\n".join([*parts, "</g></svg>\n"])


def _bar(times: dict[str, float], y: int, colour: str) -> list[str]:
    p50, p90, p99 = times["p50"], times["p90"], times["p99"]
    beyond = min(_x(p99) + 5, _WIDTH - 92)
    return [
        f'<line x1="{_x(p50)}" x2="{_x(p99)}" y1="{y + 8}" y2="{y + 8}" stroke="{colour}" stroke-width="2"/>',
        f'<rect x="{_x(p50)}" y="{y + 3}" width="{max(2.0, _x(p90) - _x(p50)):.1f}" height="10" fill="{colour}"/>',
        f'<text x="{beyond}" y="{y + 12}" fill="#555" font-size="10">{p50:.2f} / {p90:.2f} / {p99:.2f}</text>',
    ]


def _x(milliseconds: float) -> float:
    return round(_LEFT + min(milliseconds, _MOST) * (_WIDTH - _LEFT - 100) / _MOST, 1)
