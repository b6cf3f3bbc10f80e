"""The plot: energy bought and sold needlessly a day, by feed, as SVG [core]."""

from typing import Final

from .house import Control
from .run import FEEDS, Case, Evaluation

_WIDTH: Final = 760
_LEFT: Final = 160
_RIGHT: Final = 70
_ROW: Final = 18
_GROUP: Final = 5 * _ROW + 8
_TOP: Final = 76
_BOUGHT: Final = "#2f6f9f"
_SOLD: Final = "#d08a3c"
_LABELS: Final[tuple[tuple[Control, bool, str], ...]] = (
    ("follows", False, "follows"),
    ("corrects", False, "corrects"),
    ("follows", True, "follows, outages"),
    ("corrects", True, "corrects, outages"),
)


def plot(found: Evaluation) -> str:
    """Return the picture: four bars for each feed, each bar split into bought and sold."""
    top = _tick_above(max(found.needless(case) for case in _cases(found)))
    bottom = _TOP + len(FEEDS) * _GROUP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 34}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#fff"/><g font-size="11">',
        '<text x="16" y="24" font-size="15">Energy bought and sold needlessly, kWh a day</text>',
        f'<rect x="16" y="38" width="10" height="10" fill="{_BOUGHT}"/><text x="30" y="47">bought</text>',
        f'<rect x="86" y="38" width="10" height="10" fill="{_SOLD}"/><text x="100" y="47">sold</text>',
    ]
    for number in range(round(top / 0.2) + 1):
        x = _x(number * 0.2, top)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle" fill="#555">{number * 0.2:.1f}</text>')
    for number, feed in enumerate(FEEDS):
        parts += _group(found, feed, _TOP + number * _GROUP, top)
    return "\n".join([*parts, "</g></svg>\n"])


def _group(found: Evaluation, feed: str, y: int, top: float) -> list[str]:
    parts = [f'<text x="16" y="{y + 12}" font-size="13" font-weight="bold">{feed}</text>']
    for control, outages, label in _LABELS:
        case = Case(feed, control, outages)
        if case in found.days:
            y += _ROW if outages or control != "follows" else 16
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 10}" text-anchor="end" fill="#555">{label}</text>')
            parts += _bar(found.bought(case), found.sold(case), y, top)
    return parts


def _bar(bought: float, sold: float, y: int, top: float) -> list[str]:
    zero, middle, end = _x(0.0, top), _x(bought, top), _x(bought + sold, top)
    return [
        f'<rect x="{zero}" y="{y}" width="{middle - zero:.1f}" height="12" fill="{_BOUGHT}"/>',
        f'<rect x="{middle}" y="{y}" width="{end - middle:.1f}" height="12" fill="{_SOLD}"/>',
        f'<text x="{end + 5}" y="{y + 10}" fill="#555">{bought + sold:.3f}</text>',
    ]


def _cases(found: Evaluation) -> list[Case]:
    """The cases that are shown; a value without age can't have outages."""
    return [
        case
        for feed in FEEDS
        for control, outages, _ in _LABELS
        if (case := Case(feed, control, outages)) in found.days
    ]


def _tick_above(value: float) -> float:
    return 0.2 * (int(value / 0.2) + 1)


def _x(kwh: float, top: float) -> float:
    return round(_LEFT + kwh * (_WIDTH - _LEFT - _RIGHT) / top, 1)
