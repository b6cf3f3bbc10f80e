"""The status topic's keeper."""

from ksem_publisher.meter_status import REPEAT, REPEAT_UNHEARD, STARVED_AFTER, MeterStatus


class Broker:
    """What is published comes back, if the broker lets it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.said: list[bytes] = []
        self.delivers = True
        self.status = MeterStatus("status", self.publish, lambda: self.now)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool:
        self.said.append(payload)
        return True

    def run(self, seconds: float) -> list[bytes]:
        """Let time go by; what was said meanwhile."""
        begin = len(self.said)
        for _ in range(round(seconds / 0.25)):
            self.now += 0.25
            said = len(self.said)
            self.status.set(online=True)
            if self.delivers and len(self.said) > said:
                self.status.on_heard(self.said[-1])
        return self.said[begin:]


def test_while_all_is_well_it_is_said_rarely() -> None:
    broker = Broker()
    assert broker.run(REPEAT) == [b"online"]
    assert broker.run(REPEAT) == [b"online"]


def test_somebody_elses_word_is_corrected_at_once() -> None:
    broker = Broker()
    broker.run(1)
    broker.status.on_heard(b"offline")
    assert broker.run(0.75) == [b"online"]


def test_a_broker_that_delivers_nothing_is_noticed_and_so_is_the_end_of_that() -> None:
    broker = Broker()
    broker.delivers = False
    broker.run(STARVED_AFTER + 0.5)
    assert broker.status.starved(broker.now)
    broker.delivers = True
    broker.run(REPEAT_UNHEARD)
    assert not broker.status.starved(broker.now)
