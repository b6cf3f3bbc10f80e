"""A history of 30 days put into a folder, for the page's tests and pictures."""

import math
import random
import time
from datetime import datetime, timedelta
from pathlib import Path

from ksem_dashboard.outages import Outage
from ksem_dashboard.record import Batch, Day, Minute
from ksem_dashboard.store import Store

STOPPED = "Meter main gives no live data: the meter has stopped pushing."
GONE = "The publisher of meter main is gone."
NO_PORT = "Line rs485: no such port: /dev/serial/by-id/usb-FTDI."


def fill(folder: Path, seed: int = 2) -> None:
    """A week of power with a gap, 26 days of energy, two of them in part, and six outages."""
    store, now, chance = Store(folder), time.time(), random.Random(seed)
    minute = int(now // 60)
    store.write(
        Batch(minute - 1, True, tuple(_week(minute, chance)), tuple(_days(now, chance)), (), tuple(_outages(now)))
    )
    for begin, end in ((28 * 1440, 16 * 1440), (15 * 1440, 1)):
        store._put_watched(minute - begin)
        store._base.execute("UPDATE watched SET until = ? WHERE begun = ?", (minute - end, minute - begin))
    store._base.commit()
    store.close()


def _week(minute: int, chance: random.Random) -> list[Minute]:
    rows = []
    for at in range(minute - 7 * 1440, minute):
        if minute - 3000 < at < minute - 2850:
            continue
        sun = max(0.0, math.sin((at / 60 % 24 - 6) / 12 * math.pi)) * 4000 * (0.6 + 0.4 * math.sin(at // 1440))
        power = 350 + 200 * math.sin(at / 37) + chance.gauss(0, 60) - sun + (2000 if chance.random() < 0.03 else 0)
        rows.append(Minute("main", at, round(power - 150), round(power), round(power + 150)))
    return rows


def _days(now: float, chance: random.Random) -> list[Day]:
    local = datetime.now().astimezone()
    return [
        Day(
            "main",
            f"{local - timedelta(days=back):%Y-%m-%d}",
            chance.uniform(1, 9),
            chance.uniform(0, 18),
            back not in (4, 21),
            now - 86400 * back,
            1.0,
            1.0,
        )
        for back in range(26, 0, -1)
    ]


def _outages(now: float) -> list[Outage]:
    found = [
        (27.0, 300, 1, "meter main", STOPPED),
        (19.2, 7000, 2, "meter main", GONE),
        (12.0, 60, 1, "RTU server attic", NO_PORT),
        (11.9, 90, 3, "meter main", STOPPED),
        (2.1, 9000, 1, "meter main", GONE),
        (0.4, 620, 4, "RTU server attic", NO_PORT),
    ]
    return [
        Outage(subject, now - 86400 * days, span, span if breaks == 1 else 0.4 * span, breaks, "x", text, "See.", True)
        for days, span, breaks, subject, text in found
    ]
