"""The status topic's keeper."""

import pytest

from service_runtime.status import NO_DELIVERY_AFTER, REPEAT, REPEAT_UNHEARD, StatusTopic


class Broker:
    """What is published comes back, if the broker lets it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.written: list[bytes] = []
        self.delivers = True
        self.status = StatusTopic("status", self.publish)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        self.written.append(payload)
        return True

    def run(self, seconds: float) -> list[bytes]:
        """Let time go by; what was said meanwhile."""
        begin = len(self.written)
        for _ in range(round(seconds / 0.25)):
            self.now += 0.25
            written = len(self.written)
            self.status.set(self.now, online=True)
            if self.delivers and len(self.written) > written:
                self.status.on_message(self.written[-1], self.now)
        return self.written[begin:]


def test_while_all_is_well_it_is_said_rarely() -> None:
    broker = Broker()
    assert broker.run(REPEAT) == [b"online"]
    assert broker.run(REPEAT) == [b"online"]


@pytest.mark.promise(7)
def test_somebody_elses_word_is_corrected_at_once() -> None:
    broker = Broker()
    broker.run(1)
    broker.status.on_message(b"offline", broker.now)
    assert broker.run(0.75) == [b"online"]


@pytest.mark.promise(7)
def test_a_broker_that_delivers_nothing_is_noticed_and_so_is_the_end_of_that() -> None:
    broker = Broker()
    broker.delivers = False
    broker.run(NO_DELIVERY_AFTER + 0.5)
    assert broker.status.has_no_delivery(broker.now)
    broker.delivers = True
    broker.run(REPEAT_UNHEARD)
    assert not broker.status.has_no_delivery(broker.now)


def test_what_the_link_does_not_take_is_published_again_with_the_next_look() -> None:
    taken: list[bytes] = []
    takes = [False, False, True]

    def publish(topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        assert (topic, qos, retain) == ("status", 1, True)
        taken.append(payload)
        return takes.pop(0) if takes else True

    status = StatusTopic("status", publish)
    for second in range(6):
        status.set(float(second), online=True)
        status.on_message(b"online", float(second))
    assert taken == [b"online"] * 3


def test_a_new_connection_gets_the_status_at_once_over_the_last_will() -> None:
    broker = Broker()
    broker.run(1)
    broker.written.clear()
    broker.status.on_connected(broker.now)
    assert broker.written == [b"online"]
