"""Joins what each receiver is to get and the thread that delivers it [shell]."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ksem_contract.reasons import Reason
from ksem_dashboard.delivery import Deliver, DeliveryThread, Receiver, deliver_by_apprise, has_apprise
from ksem_dashboard.notifier import Notifier, Rules
from ksem_dashboard.outages import Outage

log: Final = logging.getLogger(__name__)


class Notifications:
    """All receivers. `step` is called each second or more often, by the main thread."""

    def __init__(self, receivers: Sequence[Receiver], rules: Rules, deliver: Deliver = deliver_by_apprise) -> None:
        self._receivers = receivers
        self._notifiers = [Notifier(rules) for _ in receivers]
        self.delivery = DeliveryThread(receivers, deliver)
        # No mistake in the settings: an upgrade may lose the library, and the page is worth more than messages.
        self._lacks_library = bool(receivers) and deliver is deliver_by_apprise and not has_apprise()
        self.is_changed = False
        """Whether `memory` differs from what it was when this was set to False."""

    def start(self) -> None:
        """Start delivering."""
        if self._lacks_library:
            log.error("%s", Reason.of("notifications-without-library"))
        elif self._receivers:
            self.delivery.start()

    def step(self, current: Sequence[Outage], finished: Sequence[Outage], now: float, local: datetime) -> None:
        """Take in the outages: those that are not over, and those that are over now."""
        if self._lacks_library:
            return
        for result in self.delivery.results():
            self._on_result(result.receiver, result.error, now, local)
        for number, notifier in enumerate(self._notifiers):
            notifier.on_finished(finished)
            message = notifier.due(current, now, local)
            if message is not None:
                self.delivery.send(number, message)

    def reasons(self) -> tuple[Reason, ...]:
        """Why notifications don't arrive."""
        if self._lacks_library:
            return (Reason.of("notifications-without-library"),)
        return tuple(
            Reason.of(
                "notification-undelivered",
                receiver=receiver.name,
                count=notifier.trouble.count,
                since=f"{notifier.trouble.since:%H:%M}",
                error=notifier.trouble.error,
            )
            for receiver, notifier in zip(self._receivers, self._notifiers, strict=True)
            if notifier.trouble is not None
        )

    def memory(self, now: float, wall: float) -> dict[str, Any]:
        """What must outlive a restart, by receiver."""
        return {
            receiver.name: notifier.memory(now, wall)
            for receiver, notifier in zip(self._receivers, self._notifiers, strict=True)
        }

    def remember(self, memory: Mapping[str, Any], now: float, wall: float) -> None:
        """Take over what `memory` gave before a restart."""
        for receiver, notifier in zip(self._receivers, self._notifiers, strict=True):
            notifier.remember(memory.get(receiver.name, {}), now, wall)

    def _on_result(self, number: int, error: str, now: float, local: datetime) -> None:
        notifier, name = self._notifiers[number], self._receivers[number].name
        before = notifier.trouble
        if error:
            notifier.failed(error, now, local)
            if before is None or before.error != error:
                log.warning("a notification to %s could not be delivered: %s; it is tried again", name, error)
            return
        notifier.delivered(now)
        self.is_changed = True
        log.info("a notification to %s was delivered", name)
