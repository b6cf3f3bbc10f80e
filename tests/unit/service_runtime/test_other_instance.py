"""Another instance is noticed by what it publishes on the status topic, and nothing else is taken for one."""

from service_runtime.status import APART, REMEMBERED, OtherInstance

ON, OFF = b"online", b"offline"


class Status:
    """One service's status topic; what it publishes comes back."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.own = ON
        self.others = OtherInstance()
        self.others.on_connected()

    def publish(self, payload: bytes = ON) -> None:
        self.own = payload
        self.others.publishing(payload, self.now)
        self.now += 0.01
        self.foreign(payload)

    def foreign(self, payload: bytes, after: float = 0.0, *, retained: bool = False) -> None:
        self.now += after
        self.others.received(payload, self.own, self.now, retained=retained)

    @property
    def noticed(self) -> bool:
        return self.others.seen(self.now)


def test_what_comes_back_is_our_own_however_often_it_changes() -> None:
    status = Status()
    for _ in range(50):
        for payload in (ON, OFF, OFF):
            status.publish(payload)
            status.now += 1
    assert not status.noticed


def test_an_instance_that_says_something_else_is_noticed_within_seconds_and_forgotten_in_a_minute() -> None:
    status = Status()
    for _ in range(3):
        status.foreign(OFF, after=1)
        status.publish()
    assert status.noticed
    status.now += REMEMBERED + 1
    assert not status.noticed


def test_an_instance_that_agrees_is_noticed_by_its_repetitions() -> None:
    status = Status()
    for _ in range(3):
        status.publish()
        status.foreign(ON, after=30)
    assert status.noticed


def test_late_last_wills_of_two_processes_are_no_instance() -> None:
    status = Status()
    for _ in range(2):
        status.foreign(OFF, after=1)
        status.publish()
    assert not status.noticed


def test_restarts_of_the_broker_are_no_instance() -> None:
    status = Status()
    for _ in range(9):
        status.others.on_connected()
        status.foreign(ON, retained=True)
        status.foreign(OFF, after=0.1)
        status.publish()
    assert not status.noticed


def test_a_bridge_that_repeats_what_we_said_whenever_it_comes_back_is_no_instance() -> None:
    status = Status()
    status.publish()
    for _ in range(9):
        status.foreign(ON, after=APART / 10)
    assert not status.noticed


def test_a_word_a_minute_is_no_instance() -> None:
    status = Status()
    for _ in range(9):
        status.foreign(OFF, after=61)
        status.publish()
    assert not status.noticed
