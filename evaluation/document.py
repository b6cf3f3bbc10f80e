"""docs/evaluation.md [core]: the result first, then method, assumptions, and what it does not show."""

from collections.abc import Iterable
from itertools import product
from typing import Final

from evaluation.feed import FORGOTTEN_AFTER

from .chains import DELAY, INTERVAL_MS, OUTAGES, PERIOD, USUAL
from .house import BAND, CORRECTS_IN, FOLLOWS_IN, REACTS_AFTER, SETTLES_WITHIN, Inverter
from .run import CABLE, CONTROLS, FEEDS, NO_AGE, SHARE, SKIES, Case, Evaluation

PUSH: Final = "AirBridge, push"
POLLING: Final = "AirBridge, polling"
SLOW: Final = "poller, 1 s"
SLOWER: Final = "poller, 2 s"
_YEAR: Final = 365


def page(found: Evaluation) -> str:
    """Return the whole page."""
    return "\n\n".join((_head(found), _results(found), _outages(found), _method(found), _inverter(found), _rest(found)))


def _head(found: Evaluation) -> str:
    push, polling, slow, slower = (_distances(found, feed) for feed in (PUSH, POLLING, SLOW, SLOWER))
    cable = [found.needless(Case(CABLE, control)) for control in CONTROLS]
    saved, saved_with_outages = (
        [
            _YEAR * (found.needless(Case(SLOW, control, outages)) - found.needless(Case(PUSH, control, outages)))
            for control in CONTROLS
        ]
        for outages in (False, True)
    )
    return f"""\
<!-- written by `make evaluate`: change evaluation/document.py, not this page -->

# What the bridge is worth, in kWh

**AirBridge with push costs at most {max(push):.3f} kWh a day more than a cable**, {max(push) * _YEAR:.1f} kWh a year.
A house with a cable buys and sells {_range(cable, 2)} kWh a day needlessly, because its inverter needs time; AirBridge adds
{100 * max(push) / max(cable):.1f} % to that. AirBridge polling costs at most {max(polling):.3f} kWh a day more than a cable,
a poller with an interval of 1 s {_range(slow, 2)}, one with 2 s {_range(slower, 2)}. A house that changes from the 1 s poller to
AirBridge with push saves {_range(saved, 0)} kWh a year while its network is well, and {_range(saved_with_outages, 0)} kWh if the network is
down for {100 * SHARE:g} % of the time, because the battery idles then.

These numbers come from a simulation. No real house was measured. `make evaluate` repeats it in some minutes, with the same
numbers.

![Energy bought and sold needlessly a day](evaluation.svg)"""


def _results(found: Evaluation) -> str:
    apart = [
        day.needless - cable.needless
        for control in CONTROLS
        for day, cable in zip(found.days[Case(PUSH, control)], found.days[Case(CABLE, control)], strict=True)
    ]
    return f"""\
## Without outages

kWh a day, the mean of {len(SKIES)} days: {", ".join(SKIES)}. *Bought* needlessly is energy that the battery could have given,
*sold* needlessly is energy that it could have taken. *Over cable* is how much more both together are than with a cable.
*Follows* and *corrects* are [two ways to regulate](#the-inverter). The age is that of the value that the inverter holds.

{_table(found, outages=False)}

Day by day, AirBridge with push is {_number(min(apart))} to {_number(max(apart))} kWh over the cable."""


def _outages(found: Evaluation) -> str:
    idle = [found.over_cable(Case(PUSH, control, outages=True)) for control in CONTROLS]
    hold = [found.over_cable(Case(PUSH, control, outages=True, lost="holds")) for control in CONTROLS]
    *lengths, last = (f"{length:g}" for length in OUTAGES)
    return f"""\
## With outages for {100 * SHARE:g} % of the time

Outages last {", ".join(lengths)} or {last} s, each length equally often. Meanwhile the network between the meter and
everything else is down. The cable's row is there to compare with: its wire comes off as often. *Over cable* is against the
cable without outages.

{_table(found, outages=True)}

{_behind(found)}
In an outage AirBridge and the cable give the inverter nothing, and the battery idles: that is assumed, and it costs. The pollers
go on with the last value. That is cheaper in kWh while the load stays as it was. When the load changes, the battery works
against the house until the outage ends. If a Plenticore held its power instead of idling, AirBridge with push would be
{_range(hold)} instead of {_range(idle)} kWh a day over the cable.

AirBridge does not refuse old values to save energy. It refuses them because an inverter that obeys a feed-in limit by an old
value may break the limit, and because nobody notices a value that stands still."""


def _behind(found: Evaluation) -> str:
    """Where AirBridge is worse than the 1 s poller, that comes first."""
    lost = [
        f"{feed} with *{control}*"
        for feed, control in product((PUSH, POLLING), CONTROLS)
        if found.needless(Case(feed, control, outages=True)) > found.needless(Case(SLOW, control, outages=True))
    ]
    if not lost:
        return "AirBridge stays ahead of the 1 s poller in all four cases.\n"
    return f"**With outages the 1 s poller needs less than** {' and '.join(lost)}. AirBridge stays ahead in the other cases.\n"


def _method(found: Evaluation) -> str:
    house = Inverter(found.dead)
    return f"""\
## Method

1. **The chains run in virtual time** ([testing.md](testing.md)). A simulated meter measures every {INTERVAL_MS} ms, a simulated
   inverter reads it every {PERIOD:g} s over a simulated RS485 line (38400 8N2). For AirBridge the services' own cores stand between, on
   two hosts that are {1000 * DELAY:g} to {1500 * DELAY:g} ms apart. With a cable the meter itself is on the line. A poller reads the meter's
   registers over Modbus TCP once an interval, and answers with what it holds, however old that is. A recorder notes each answer,
   and the true time at which its value was measured. {USUAL / 60:.0f} minutes are recorded without an outage, and each length of outage once.
2. **These ages are laid over the days.** A recording is used again and again, each time from another moment of it. Where the
   day has an outage, the recorded outage of that length is put in. All feeds have the same days and the same outages.
3. **The house lives in steps of 0.1 s.** It uses about 11 kWh a day: fridge, kettle, induction hob with pulses, oven, washing
   machine, dishwasher, small devices. Its roof has a peak of 8 kW. Its battery holds {house.capacity:g} kWh, gives and takes
   {house.limit / 1000:g} kW, and is {100 * house.efficiency:g} % efficient each way. Loads and clouds are made up, from a seed.
4. **Needless** is what goes over the grid beyond what a battery without any delay would leave, with the same charge and the
   same limits. What an empty or a full battery or a load beyond {house.limit / 1000:g} kW leaves to the grid is not counted."""


def _inverter(found: Evaluation) -> str:
    cable, push, polling = (found.ages[feed].mean for feed in (CABLE, PUSH, POLLING))
    each = 0.1 / (polling - cable)
    more = [each * found.over_cable(Case(POLLING, control)) for control in CONTROLS]
    return f"""\
## The inverter

It reacts {REACTS_AFTER:g} s after the load's step, and is settled {SETTLES_WITHIN:g} s later. HTW Berlin measured that for KOSTAL
([Stromspeicher-Inspektion 2025](https://solar.htw-berlin.de/wp-content/uploads/HTW-Stromspeicher-Inspektion-2025.pdf)). The report
was not at hand: the numbers are as cited by [Kostal-KSEM-Emulator](https://github.com/JsBergbau/Kostal-KSEM-Emulator), which adds that it
does not name the meter. HTW's PerMod data in [bslib](https://github.com/FZJ-IEK3-VSA/bslib) (CC BY 4.0) are older, and alike: 0.61 and 0.63 s dead
time, 2.74 and 2.79 s settling time for a PLENTICORE plus 10 and 5.5. Assumed beside that:

- The {REACTS_AFTER:g} s contain the way from the meter. Behind a cable a value is {cable:.2f} s old on average, so {found.dead:.2f} s are left for
  the inverter itself.
- Settled means within {100 * BAND:g} % of the step.
- How a Plenticore regulates is not published. So there are two models, and the truth may lie elsewhere.
  *Follows* adds the meter's value to the inverter's own power of the same moment, and goes to that load with a time constant of
  {FOLLOWS_IN:.2f} s. An old value makes it late, never unsteady. PerMod and bslib model it so, with a dead time and a time constant.
  *Corrects* moves by what the meter shows, with a time constant of {CORRECTS_IN:g} s, until the meter shows 0. An old value makes it go
  too far, and it swings. Behind a cable both settle within {REACTS_AFTER + SETTLES_WITHIN:g} s.
- Without a value the battery idles: at once when it is refused, after {FORGOTTEN_AFTER:g} s of silence. With the first value the inverter
  is back. Nobody has published what a Plenticore does.

*{NO_AGE.capitalize()}* is the floor: what is left there is the inverter's own.

AirBridge with push adds {1000 * (push - cable):.0f} ms to a value's age behind a cable. Both wait mostly for the meter's next cycle and for the
inverter's next request. The simulated meter pushes 2 ms after it measured, and the network is good. Nobody has published how late a real
KSEM pushes. Each 100 ms more, on the way or in the meter, cost about {_range(more)} kWh a day."""


def _rest(found: Evaluation) -> str:
    return f"""\
## Other assumptions

kWh a day over the cable, if the inverter needs {REACTS_AFTER:g} s by itself, on top of the way from the meter (close to the older data):

{_varied(found, FEEDS[2:], outages=False)}

kWh a day over the unbroken cable, with outages, if the battery holds its power while it has no value:

{_varied(found, (CABLE, PUSH, POLLING), outages=True)}

## What it does not show

- **Your house.** Needless energy grows with how often loads switch. Compare feeds; do not take the sums for yours.
- **A feed-in limit**, dynamic tariffs, several inverters, standby and part-load losses.
- **A busy network or computer.** The network is good here, or down. [faults.md](faults.md) and [testing.md](testing.md) have
  the faults.
- **A real meter.** Its value is of one moment here; a real KSEM may give the mean of a cycle. That is the same for all feeds.
- **The third digit of your bill.** It compares feeds on the same days, and is no forecast.
"""


def _table(found: Evaluation, *, outages: bool) -> str:
    """Without outages with the ages of the feeds."""
    feeds = [feed for feed in FEEDS if Case(feed, "follows", outages) in found.days]
    names = ["feed", "follows: bought", "sold", "over cable", "corrects: bought", "sold", "over cable"]
    if not outages:
        names += ["age: mean", "p99"]
    head = f"| {' | '.join(names)} |\n| --- {'| ---: ' * (len(names) - 1)}|"
    return "\n".join([head, *(_row(found, feed, outages=outages) for feed in feeds)])


def _row(found: Evaluation, feed: str, *, outages: bool) -> str:
    cells = [feed]
    for control in CONTROLS:
        case = Case(feed, control, outages)
        over = found.over_cable(case)
        cells += [_number(found.bought(case)), _number(found.sold(case)), f"**{_number(over)}**"]
    if not outages:
        cells += [f"{found.ages[feed].mean:.2f} s", f"{found.ages[feed].p99:.2f} s"]
    return f"| {' | '.join(cells)} |"


def _varied(found: Evaluation, feeds: Iterable[str], *, outages: bool) -> str:
    rows = ["| feed | follows | corrects |", "| --- | ---: | ---: |"]
    for feed in feeds:
        over = [
            found.over_cable(
                Case(feed, control, outages, lost="holds") if outages else Case(feed, control, slower=True)
            )
            for control in CONTROLS
        ]
        rows.append(f"| {feed} | {' | '.join(map(_number, over))} |")
    return "\n".join(rows)


def _distances(found: Evaluation, feed: str) -> list[float]:
    """How far it is over the cable without outages, under each assumption."""
    return [
        found.over_cable(Case(feed, control, slower=slower)) for control, slower in product(CONTROLS, (False, True))
    ]


def _range(values: list[float], digits: int = 3) -> str:
    low, high = _number(min(values), digits), _number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def _number(value: float, digits: int = 3) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"
