import logging
import threading
import time
from collections.abc import Callable

import pytest

from service_runtime.threads import TURN_WITHIN, WatchedThread, all_work


def until_ended(thread: WatchedThread) -> None:
    thread.join(5.0)


def test_a_thread_that_turns_has_no_fault_and_one_that_is_replaced_ends() -> None:
    turning, ended, go_on = threading.Event(), threading.Semaphore(0), threading.Event()
    thread: WatchedThread

    def work() -> None:
        while thread.turned():
            turning.set()
            go_on.wait(5.0)
        ended.release()

    thread = WatchedThread("line", work)
    thread.start()
    assert turning.wait(5.0)
    now, faults = 0.0, []
    while now < TURN_WITHIN + 3:
        now += 1.0
        faults.append(thread.fault(now))
    assert faults[:8] == [""] * 8
    assert "hangs" in faults[-1]
    thread.restart()
    go_on.set()
    assert ended.acquire(timeout=5.0), "the old thread ends with its next turn"
    assert thread.restarts == 1


@pytest.mark.promise(5)
def test_a_replaced_thread_that_never_turns_again_is_a_fault_though_the_new_one_turns() -> None:
    let_go, first = threading.Event(), threading.Lock()
    thread: WatchedThread

    def work() -> None:
        if first.acquire(blocking=False):
            let_go.wait(30.0)  # as in a call that never returns
        while thread.turned():
            time.sleep(0.001)

    thread = WatchedThread("line", work)
    thread.start()
    faults = [thread.fault(float(now)) for now in range(int(TURN_WITHIN) + 3)]
    assert "hangs for" in faults[-1]
    thread.restart()
    later = []
    for now in range(100, 100 + int(TURN_WITHIN) + 3):
        later.append(thread.fault(float(now)))
        time.sleep(0.01)
    assert later[:6] == [""] * 6
    assert "another one was started in its place" in later[-1]
    let_go.set()
    thread.restart()  # ends the thread that turns


def test_a_host_that_was_suspended_lets_no_thread_count_as_hanging() -> None:
    stop = threading.Event()
    thread = WatchedThread("line", lambda: print(stop.wait(5.0)))
    thread.start()
    assert [thread.fault(now) for now in (0.0, 1.0, 5000.0, 9000.0)] == [""] * 4
    stop.set()


def test_a_thread_that_ends_is_named_with_its_reason() -> None:
    thread = WatchedThread("line", failing("no memory"))
    thread.start()
    until_ended(thread)
    assert thread.fault(1.0) == "has ended: RuntimeError('no memory')"


def failing(text: str) -> Callable[[], None]:
    def work() -> None:
        raise RuntimeError(text)

    return work


def test_a_thread_that_fails_again_ends_the_process_and_not_before() -> None:
    log = logging.getLogger("test")
    restarts: list[str] = []
    thread = WatchedThread("line", failing("no memory"))
    assert all_work([thread], 0.0, log), "it was not started yet"
    thread.on_restart = restarts.append
    thread.start()
    until_ended(thread)
    assert all_work([thread], 1.0, log)
    assert restarts == ["has ended: RuntimeError('no memory')"]
    until_ended(thread)
    assert not all_work([thread], 2.0, log)


def test_each_thread_has_its_own_patience() -> None:
    stop = threading.Event()
    thread = WatchedThread("mqtt", lambda: print(stop.wait(5.0)), turn_within=60.0)
    thread.start()
    assert [thread.fault(float(now)) for now in range(60)] == [""] * 60
    assert "hangs" in thread.fault(61.5) or "hangs" in thread.fault(63.0)
    stop.set()
