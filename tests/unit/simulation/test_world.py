import time
from itertools import pairwise

import pytest

from service_runtime.clock import without_slewing
from simulation.world import Call, Host, Process, World


def note(seen: list[object], item: object) -> Call:
    return lambda: seen.append(item)


def test_events_of_one_moment_run_in_the_order_in_which_they_were_made() -> None:
    world = World("1")
    seen: list[object] = []
    for number in range(5):
        world.at(1.0, note(seen, number))
    world.run(2.0)
    assert seen == [0, 1, 2, 3, 4]
    assert world.now == 2.0


def test_a_cancelled_event_never_happens() -> None:
    world, seen = World("1"), []
    world.after(1.0, lambda: seen.append("no")).cancel()
    world.run(2.0)
    assert not seen


def test_time_that_stands_still_is_an_error() -> None:
    world = World("1")

    def again() -> None:
        world.after(0.0, again)

    again()
    with pytest.raises(RuntimeError, match="stands still"):
        world.run(1.0)


def test_the_same_seed_draws_the_same_and_parts_do_not_disturb_one_another() -> None:
    one, other = World("7"), World("7")
    other.random("noise").random()
    assert one.random("line").random() == other.random("line").random()
    assert World("8").random("line").random() != one.random("line").random()


def test_a_clock_that_is_fast_by_500_ppm_gains_half_a_millisecond_a_second() -> None:
    world = World("1")
    host = Host(world, "one", booted=50.0, ppm=500)
    world.run(1000.0)
    assert host.oscillator() == pytest.approx(50 + 1000.5)


def test_slewing_moves_every_clock_but_the_oscillator_s() -> None:
    world = World("1")
    host = Host(world, "one", booted=0.0)
    now = without_slewing(host.gettime_ns)
    host.slew(80_000)
    world.run(100.0)
    assert host.gettime_ns(time.CLOCK_BOOTTIME) == pytest.approx(108e9)
    assert host.gettime_ns(time.CLOCK_MONOTONIC_RAW) == pytest.approx(100e9)
    assert now() == pytest.approx(100.0)


def test_the_services_clock_counts_a_suspend_and_not_a_guest_pause() -> None:
    world = World("1")
    host = Host(world, "one", booted=0.0)
    now = without_slewing(host.gettime_ns)
    host.suspend(10.0)
    world.run(20.0)
    assert now() == pytest.approx(20.0)
    host.pause(10.0)
    world.run(40.0)
    assert now() == pytest.approx(30.0)


def test_halts_at_the_same_time_do_not_add_up() -> None:
    world = World("1")
    host = Host(world, "one")
    host.suspend(10.0)
    host.pause(4.0)
    assert host.asleep_until == 10.0


def test_a_step_of_the_wall_clock_moves_that_one_alone() -> None:
    host = Host(World("1"), "one")
    before = host.gettime_ns(time.CLOCK_REALTIME), host.gettime_ns(time.CLOCK_BOOTTIME)
    host.step_wall(-3600)
    assert host.gettime_ns(time.CLOCK_REALTIME) - before[0] == -3600 * 10**9
    assert host.gettime_ns(time.CLOCK_BOOTTIME) == before[1]


def test_what_a_stopped_process_had_to_do_happens_in_order_when_it_goes_on() -> None:
    world = World("1")
    seen: list[object] = []
    process = Process(Host(world, "one"), "service")
    process.start()
    process.stall(5.0)
    for at in (1.0, 2.0, 3.0):
        process.at(at, note(seen, at))
    world.run(4.9)
    assert not seen
    world.run(5.0)
    assert seen == [1.0, 2.0, 3.0]


def test_a_crash_ends_what_was_planned_and_a_start_begins_anew() -> None:
    world, starts = World("1"), []
    process = Process(Host(world, "one"), "service", lambda: starts.append(world.now))
    process.start()
    process.at(5.0, lambda: starts.append(-1.0))
    world.at(2.0, process.crash)
    world.at(7.0, process.start)
    world.run(10.0)
    assert starts == [0.0, 7.0]


def test_a_process_may_crash_at_any_of_its_events() -> None:
    for step in range(1, 6):
        world = World("1")
        seen: list[object] = []
        process = Process(Host(world, "one"), "service")
        process.start()
        process.crash_at_step = step
        for at in range(5):
            process.at(float(at + 1), note(seen, at))
        world.run(10.0)
        assert seen == list(range(step - 1))
        assert not process.alive


def test_clocks_never_step_back_whatever_happens_to_the_host() -> None:
    world = World("1")
    host = Host(world, "one", ppm=-500)
    read = []
    for do in (host.suspend, host.pause, host.slew, host.drift, host.pause):
        do(3.0)
        read.append(host.oscillator())
        world.run(world.now + 5.0)
        read.append(host.oscillator())
    assert all(before <= after for before, after in pairwise(read))
