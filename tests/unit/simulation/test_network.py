from simulation.network import DEAD_AFTER, End, Network
from simulation.world import Host, Process, World


class Two:
    """A client and a server on two hosts, and what each of them received."""

    def __init__(self) -> None:
        self.world = World("1")
        self.network = Network(self.world)
        self.client = Process(Host(self.world, "a"), "client")
        self.server = Process(Host(self.world, "b"), "server")
        self.client.start()
        self.server.start()
        self.events: list[tuple[str, object]] = []
        self.ends: dict[str, End] = {}
        self.path = self.network.path("a", "b")
        self.network.listen(self.server, 502, lambda end: self.take("server", end))

    def take(self, name: str, end: End) -> None:
        self.ends[name] = end
        end.on_data = lambda data: self.events.append((name, data))
        end.on_message = lambda message: self.events.append((name, message))
        end.on_closed = lambda why: self.events.append((name, why))

    def connect(self) -> None:
        self.network.connect(
            self.client, "b", 502, lambda end: self.take("client", end), lambda why: self.events.append(("failed", why))
        )
        self.world.run(self.world.now + 3.0)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def received(self, name: str) -> bytes:
        return b"".join(data for who, data in self.events if who == name and isinstance(data, bytes))


def test_bytes_arrive_in_order_however_they_are_cut() -> None:
    two = Two()
    two.path.segment, two.path.jitter = 3, 0.5
    two.connect()
    for part in (b"hello ", b"wide ", b"world"):
        two.ends["client"].send(part)
    two.run(10.0)
    assert two.received("server") == b"hello wide world"
    assert len(two.events) > 3


def test_what_a_short_outage_held_back_arrives_after_it() -> None:
    two = Two()
    two.connect()
    two.path.up = False
    two.ends["client"].send(b"late")
    two.run(1.0)
    two.path.up = True
    two.run(4.0)
    assert two.events == [("server", b"late")]


def test_a_link_that_is_half_open_is_noticed_by_who_sends_alone() -> None:
    two = Two()
    two.connect()
    two.path.up = False
    two.ends["client"].send(b"lost")
    two.run(DEAD_AFTER + 0.1)
    assert two.events == [("client", "timed out")]
    assert two.ends["server"].open
    two.path.up = True
    two.run(10.0)
    two.ends["server"].send(b"anyone?")
    two.run(1.0)
    assert two.events[-1] == ("server", "reset by the peer")


def test_a_crash_resets_and_a_loss_of_power_tells_nobody() -> None:
    for kernel_lives, reported in ((True, [("client", "reset by the peer")]), (False, [])):
        two = Two()
        two.connect()
        two.server.crash(kernel_lives=kernel_lives)
        two.run(10.0)
        assert two.events == reported


def test_after_a_loss_of_power_the_started_host_resets_what_it_does_not_know() -> None:
    two = Two()
    two.connect()
    two.server.crash(kernel_lives=False)
    two.server.start()
    two.ends["client"].send(b"?")
    two.run(1.0)
    assert two.events == [("client", "reset by the peer")]


def test_a_cut_loses_the_rest_of_a_frame_that_is_under_way() -> None:
    two = Two()
    two.connect()
    two.path.segment, two.path.delay, two.path.jitter = 1, 0.01, 0.1
    two.ends["client"].send(bytes(100))
    two.run(0.06)
    two.network.connections[0].cut()
    two.run(10.0)
    assert len(two.received("server")) < 100
    assert ("server", "reset on its way") in two.events


def test_a_stopped_program_reads_later_and_its_kernel_takes_no_more_than_a_window() -> None:
    two = Two()
    two.connect()
    two.server.stall(5.0)
    sent = 0
    while two.ends["client"].send(bytes(10_000)):
        sent += 10_000
    assert 100_000 < sent < 1_000_000
    two.run(4.0)
    assert not two.events
    two.run(2.0)
    assert len(two.received("server")) == sent


def test_a_port_on_which_nobody_listens_refuses_and_a_dead_way_lets_time_out() -> None:
    two = Two()
    two.network.ignore(two.server, 502)
    two.connect()
    assert two.events == [("failed", "refused")]
    two.path.up = False
    two.connect()
    assert two.events[-1] == ("failed", "no answer")


def test_a_process_that_was_started_anew_gets_no_connection_of_its_life_before() -> None:
    two = Two()
    two.path.up = False
    two.network.connect(two.client, "b", 502, lambda end: two.take("client", end), lambda _: None)
    two.run(0.5)
    two.client.crash()
    two.client.start()
    two.path.up = True
    two.run(5.0)
    assert "client" not in two.ends
