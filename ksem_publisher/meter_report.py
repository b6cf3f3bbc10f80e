"""Tells how one meter is: its health topic, and one line in the log for each change."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ksem_contract.link_health import HealthCondition, LinkCondition
from ksem_contract.meter_health import BlockHealth, CheckFlag, MeterHealth, PollHealth, PushHealth
from ksem_contract.register_range import RegisterRange
from ksem_publisher.block_publisher import Publish
from ksem_publisher.plausibility import Remark
from ksem_publisher.settled_change import SettledChange
from service_runtime.clock import boottime, wall_time
from service_runtime.link_state import LinkState
from service_runtime.quiet_log import QuietLog

EVERY = 10.0
GRACE = 2.0
"""Seconds after the start in which links that come up are no news."""
_LINES_AT_ONCE = 4
"""Changes of one link told within a minute before they are summed up."""


@dataclass(frozen=True, slots=True)
class MeterView:
    """What there is to tell now."""

    flows: bool
    refusal: Remark | None
    push: tuple[LinkCondition, str]
    push_wanted: bool
    peer: str | None
    period_ms: int | None
    groups: tuple[RegisterRange, ...]
    writes: int
    poll: tuple[LinkCondition, str]
    requests: int
    errors: int
    seqlock_retries: int
    blocks: Mapping[str, BlockHealth]
    remarks: Sequence[Remark]
    publishers: tuple[str, ...]


class MeterReport:
    """Publishes health every 10 s and on change of state, logs changes."""

    def __init__(
        self,
        topic: str,
        version: str,
        session: str,
        publish: Publish,
        log: logging.Logger,
        clock: Callable[[], float] = boottime,
    ) -> None:
        now, wall = clock(), wall_time()
        self._topic = topic
        self._version = version
        self._session = session
        self._publish = publish
        self._log = log
        self._clock = clock
        self._quiet = QuietLog()
        self._push = LinkState("no push yet", now, wall)
        self._poll = LinkState("not asked yet", now, wall)
        self._settled = {
            "push": SettledChange("waiting"),
            "poll": SettledChange("waiting"),
            "state": SettledChange(None),
        }
        self._flags: dict[str, CheckFlag] = {}
        self._groups: tuple[RegisterRange, ...] = ()
        self._state: HealthCondition | None = None
        self.trouble = "it has just started"
        """What is wrong, in words; empty while all is well."""
        self._since = wall
        self._due = float("-inf")
        self._quiet_until = now + GRACE

    def again(self) -> None:
        """A new connection: publish with the next look."""
        self._due = float("-inf")

    def tell(self, view: MeterView) -> None:
        """Take a look; publish and log what is due."""
        now, wall = self._clock(), wall_time()
        state, why = _judge(view)
        if now < self._quiet_until and state != "ok":
            return
        self._quiet_until = now
        self.trouble = "" if state == "ok" else f"{state}: {why}"
        changed = self._note_link("push", self._push, view.push, now, wall)
        changed |= self._note_link("poll", self._poll, view.poll, now, wall)
        changed |= self._note_flags(view.remarks, now, wall)
        changed |= view.groups != self._groups
        self._groups = view.groups
        if state != self._state:
            self._state, self._since = state, wall
            changed = True
        if self._settled["state"].is_due(state, why, now, at_once=state == "ok"):
            changed = True
            told_already = state == "degraded" and all(remark.text in why for remark in view.remarks) and view.remarks
            if not told_already:
                self._say("state", state, f"{state}: {why}", now)
        if changed or now >= self._due:
            self._due = now + EVERY
            health = self._health(view, state, why)
            self._publish(self._topic, health.encode(), qos=1, retain=True)
        for line in self._quiet.due(now):
            self._log.warning("%s", line)

    def _note_link(self, name: str, link: LinkState, told: tuple[LinkCondition, str], now: float, wall: str) -> bool:
        """True if there is news: the link's state has changed, or the reason for it is clear."""
        before = link.state
        link.update(*told, now, wall)
        settled = self._settled[name]
        if not settled.is_due(link.state, link.why, now, at_once=link.state == "up"):
            return link.state != before or (link.state != "up" and settled.is_clearer(now))
        self._say(name, link.state, f"{name} is {link.state}: {link.why}", now)
        return True

    def _note_flags(self, remarks: Sequence[Remark], now: float, wall: str) -> bool:
        found = {remark.name: remark for remark in remarks}
        gone = [name for name in self._flags if name not in found]
        new = [name for name in found if name not in self._flags]
        for name in gone:
            del self._flags[name]
        for name, remark in found.items():
            since = self._flags[name].since if name in self._flags else wall
            self._flags[name] = CheckFlag(name, since, remark.text)
            if name in new:
                self._say(f"check {name}", "down", f"check {name}: {remark.text}", now)
        return bool(gone or new)

    def _say(self, kind: str, state: str, text: str, now: float) -> None:
        line = self._quiet.say(kind, text, now, at_once=_LINES_AT_ONCE)
        if line is not None:
            self._log.log(logging.WARNING if state in {"down", "degraded"} else logging.INFO, "%s", line)

    def _health(self, view: MeterView, state: HealthCondition, why: str) -> MeterHealth:
        return MeterHealth(
            version=self._version,
            session=self._session,
            since=self._since,
            state=state,
            why=why,
            push=PushHealth(self._push.health, view.peer, view.period_ms, view.groups, view.writes),
            poll=PollHealth(self._poll.health, view.requests, view.errors, view.seqlock_retries),
            blocks=view.blocks,
            checks=tuple(self._flags.values()),
            publishers=view.publishers,
        )


def _judge(view: MeterView) -> tuple[HealthCondition, str]:
    """The meter's state as a whole, and why."""
    if not view.flows:
        if view.refusal is not None:
            return "down", view.refusal.text
        return "down", f"no live data; push: {view.push[1]}; poll: {view.poll[1]}"
    missing = []
    if view.push_wanted and view.push[0] != "up":
        missing.append(f"polled instead of pushed: {view.push[1]}")
    if view.poll[0] != "up":
        missing.append(f"no answers to polls: {view.poll[1]}")
    if view.publishers:
        missing.append(f"another publisher runs for this meter (session {', '.join(view.publishers)}): stop one")
    if view.poll[0] == "up" and (unread := [name for name in ("device", "energy") if name not in view.blocks]):
        missing.append(f"not read yet: {', '.join(unread)}")
    old = [
        name
        for name, block in view.blocks.items()
        if block.limit_ms is not None and (block.age_ms or 0) > block.limit_ms
    ]
    if old:
        missing.append(f"old: {', '.join(old)}")
    missing += [remark.text for remark in view.remarks]
    if missing:
        return "degraded", "; ".join(missing)
    return "ok", f"live data is {'pushed' if view.push[0] == 'up' else 'polled'}"
