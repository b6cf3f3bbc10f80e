"""Receivers, their thread, and what the page shows of them."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ksem_contract.reasons import Reason
from ksem_dashboard import notifications as module
from ksem_dashboard.delivery import DeliveryThread, Receiver, read_receivers
from ksem_dashboard.faults import find_faults
from ksem_dashboard.notification_text import Message
from ksem_dashboard.notifications import Notifications
from ksem_dashboard.notifier import Rules
from ksem_dashboard.outages import Outage
from ksem_dashboard.report import health_verdict
from tests.unit.ksem_dashboard.house import House

LOCAL = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
OUTAGE = Outage("meter main", LOCAL.timestamp(), 70, 70, 1, "push-stopped", "The push stopped.", "See there.")
TWO = [Receiver("line 1 (good)", "good://"), Receiver("line 2 (bad)", "bad://token")]


def await_true(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_receiver_that_fails_does_not_keep_the_other_from_its_messages() -> None:
    taken: list[str] = []

    def deliver(url: str, _message: Message) -> str:
        taken.append(url)
        return "" if url == "good://" else "nobody answers"

    both = Notifications(TWO, Rules(), deliver)
    both.start()
    both.step([OUTAGE], [], 100.0, LOCAL)
    await_true(lambda: len(taken) == 2)

    def seen() -> bool:
        both.step([OUTAGE], [], 101.0, LOCAL)
        return bool(both.reasons())

    await_true(seen)
    assert taken == ["good://", "bad://token"], "neither is repeated at once"
    (reason,) = both.reasons()
    assert reason.code == "notification-undelivered"
    assert reason.param("receiver") == "line 2 (bad)"
    assert reason.param("error") == "nobody answers"
    assert "token" not in str(reason)
    assert both.is_changed


def test_what_must_outlive_a_restart_belongs_to_its_line() -> None:
    before = Notifications(TWO, Rules(), lambda _url, _message: "")
    before._notifiers[0].due([OUTAGE], 100.0, LOCAL)
    before._notifiers[0].delivered(100.0)
    after = Notifications(TWO, Rules(), lambda _url, _message: "")
    after.remember(before.memory(100.0, 1000.0), 130.0, 1030.0)
    assert after._notifiers[0].due([OUTAGE], 131.0, LOCAL) is None
    assert after._notifiers[1].due([OUTAGE], 131.0, LOCAL) is not None


def test_a_missing_library_is_a_warning_on_the_page_and_not_the_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_apprise", lambda: False)
    notifications = Notifications(TWO, Rules())
    notifications.start()
    notifications.step([OUTAGE], [], 100.0, LOCAL)
    assert [reason.code for reason in notifications.reasons()] == ["notifications-without-library"]


def test_what_the_dashboard_itself_lacks_is_a_warning_that_stops_nothing() -> None:
    house = House().run_well()
    house.state.own_reasons = (Reason.of("notifications-without-library"),)
    (fault,) = find_faults(house.state, house.now)
    assert (fault.severity, fault.where, fault.code) == ("warn", "dashboard", "notifications-without-library")
    assert health_verdict(house.state, house.now)[0]


def test_a_delivery_that_hangs_is_reported_as_failed_and_the_next_one_goes_on() -> None:
    hangs = threading.Event()
    taken: list[str] = []

    def deliver(url: str, _message: Message) -> str:
        taken.append(url)
        if url == "bad://token":
            hangs.wait(20)
        return ""

    delivery = DeliveryThread(TWO, deliver)
    delivery.start()
    delivery.send(1, Message("title", "body"))
    await_true(lambda: taken == ["bad://token"])
    delivery.thread.on_restart("hangs for 181 s")
    delivery.thread.restart()
    delivery.send(0, Message("title", "body"))
    await_true(lambda: len(taken) == 2)
    found = delivery.results()

    def have_both() -> bool:
        found.extend(delivery.results())
        return len(found) == 2

    await_true(have_both)
    assert [(result.receiver, result.error) for result in found] == [(1, "the delivery hangs for 181 s"), (0, "")]
    hangs.set()
    time.sleep(0.1)
    assert delivery.results() == [], "what hung reports nothing a second time"


def test_the_file_has_an_address_a_line_and_each_is_named_by_line_and_kind(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    path.write_text("# mail\n\n  mailtos://me:secret@mail.example  \nntfy://topic\n")
    assert read_receivers(path) == [
        Receiver("line 3 (mailtos)", "mailtos://me:secret@mail.example"),
        Receiver("line 4 (ntfy)", "ntfy://topic"),
    ]
