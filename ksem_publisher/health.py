"""Health of one meter: its status and health topics, and one log line for each change [shell].

The status is `online` while live data flows. This module corrects a status that another publisher left there.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ksem_contract.health import (
    BlockHealth,
    CheckFlag,
    HealthCondition,
    LinkCondition,
    MeterHealth,
    PollHealth,
    PushHealth,
)
from ksem_contract.reasons import Reason, sentence
from ksem_contract.registers import RegisterRange
from ksem_publisher.block_publisher import Publish
from ksem_publisher.plausibility import Anomaly
from service_runtime.clock import boottime, wall_time
from service_runtime.news import LinkState, StableChange
from service_runtime.status import HealthTopic

GRACE = 2.0
"""Seconds after the start within which a link that comes up is not logged."""


@dataclass(frozen=True, slots=True)
class MeterView:
    """The meter's state at one moment."""

    is_live: bool
    rejection: Anomaly | None
    push: tuple[LinkCondition, tuple[Reason, ...]]
    push_wanted: bool
    peer: str | None
    period_ms: int | None
    groups: tuple[RegisterRange, ...]
    writes: int
    poll: tuple[LinkCondition, Reason]
    requests: int
    errors: int
    seqlock_retries: int
    blocks: Mapping[str, BlockHealth]
    anomalies: Sequence[Anomaly]
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
        self._topic = HealthTopic(topic, publish, log, wall)
        self._version = version
        self._session = session
        self._clock = clock
        self._push = LinkState(Reason.of("push-not-begun"), now, wall)
        self._poll = LinkState(Reason.of("poll-not-begun", where="the meter"), now, wall)
        self._resolved = {
            "push": StableChange("waiting"),
            "poll": StableChange("waiting"),
            "state": StableChange(None),
        }
        self._flags: dict[str, CheckFlag] = {}
        self._groups: tuple[RegisterRange, ...] = ()
        self.trouble = "it has just started"
        """What is wrong, as a sentence; empty while all is well."""
        self._quiet_until = now + GRACE

    def again(self) -> None:
        """Publish with the next tick: the connection is new."""
        self._topic.on_connected()

    def publish(self, view: MeterView) -> None:
        """Publish and log what is due."""
        now, wall = self._clock(), wall_time()
        state, reasons = _judge(view)
        why = sentence(reasons)
        if now < self._quiet_until and state != "ok":
            return
        self._quiet_until = now
        self.trouble = "" if state == "ok" else f"{state}: {why}"
        news = self._note_link("push", self._push, view.push, now, wall)
        news |= self._note_link("poll", self._poll, (view.poll[0], (view.poll[1],)), now, wall)
        news |= self._note_flags(view.anomalies, now, wall)
        news |= view.groups != self._groups
        self._groups = view.groups
        self._topic.set(state, reasons, wall)
        if self._resolved["state"].is_due(state, why, now, at_once=state == "ok"):
            news = True
            if state != "degraded" or not view.anomalies:  # anomalies have lines of their own
                self._topic.log("state", state, f"{state}: {why}", now)
        if news:
            self._topic.news()
        self._topic.publish(self._health(view, state, reasons).encode, now)
        self._topic.log_counted(now)

    def _note_link(
        self, name: str, link: LinkState, condition: tuple[LinkCondition, tuple[Reason, ...]], now: float, wall: str
    ) -> bool:
        """True if the link's state has changed, or its reason is clear now."""
        before = link.state
        link.update(*condition, now, wall)
        resolved = self._resolved[name]
        if not resolved.is_due(link.state, link.why, now, at_once=link.state == "up"):
            return link.state != before or (link.state != "up" and resolved.is_clearer(now))
        self._topic.log(name, link.state, f"{name} is {link.state}: {link.why}", now)
        return True

    def _note_flags(self, anomalies: Sequence[Anomaly], now: float, wall: str) -> bool:
        found = {anomaly.name: anomaly for anomaly in anomalies}
        gone = [name for name in self._flags if name not in found]
        new = [name for name in found if name not in self._flags]
        for name in gone:
            del self._flags[name]
        for name, anomaly in found.items():
            since = self._flags[name].since if name in self._flags else wall
            self._flags[name] = CheckFlag(name, since, anomaly.reason)
            if name in new:
                self._topic.log(f"check {name}", "down", f"check {name}: {anomaly.reason}", now)
        return bool(gone or new)

    def _health(self, view: MeterView, state: HealthCondition, reasons: tuple[Reason, ...]) -> MeterHealth:
        return MeterHealth(
            version=self._version,
            session=self._session,
            since=self._topic.since,
            state=state,
            why=sentence(reasons),
            reasons=reasons,
            push=PushHealth(self._push.health, view.peer, view.period_ms, view.groups, view.writes),
            poll=PollHealth(self._poll.health, view.requests, view.errors, view.seqlock_retries),
            blocks=view.blocks,
            checks=tuple(self._flags.values()),
            publishers=view.publishers,
        )


def _judge(view: MeterView) -> tuple[HealthCondition, tuple[Reason, ...]]:
    """The meter's state as a whole, and its reasons: each effect is followed by its causes."""
    if not view.is_live:
        if view.rejection is not None:
            return "down", (view.rejection.reason,)
        push, poll = view.push[1], (view.poll[1],)
        # A meter that can't be reached explains a missing push.
        causes = (*poll, *push) if view.poll[0] == "down" else (*push, *poll)
        return "down", (Reason.of("no-live-data"), *causes)
    if missing := [*_missing_links(view), *_missing_blocks(view), *(anomaly.reason for anomaly in view.anomalies)]:
        return "degraded", tuple(missing)
    return "ok", (Reason.of("live-pushed" if view.push[0] == "up" else "live-polled"),)


def _missing_links(view: MeterView) -> Iterator[Reason]:
    if view.push_wanted and view.push[0] != "up":
        yield Reason.of("polled-instead")
        yield from view.push[1]
    if view.poll[0] != "up":
        yield Reason.of("polls-unanswered")
        yield view.poll[1]
    if view.publishers:
        yield Reason.of("second-publisher", sessions=", ".join(view.publishers))


def _missing_blocks(view: MeterView) -> Iterator[Reason]:
    if view.poll[0] == "up" and (unread := [name for name in ("device", "energy") if name not in view.blocks]):
        yield Reason.of("blocks-unread", blocks=", ".join(unread))
    old = [
        name
        for name, block in view.blocks.items()
        if block.limit_ms is not None and (block.age_ms or 0) > block.limit_ms
    ]
    if old:
        yield Reason.of("blocks-old", blocks=", ".join(old))
