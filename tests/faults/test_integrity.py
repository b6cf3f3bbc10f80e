"""With a key in both services: whoever holds the broker, or the publisher's own login, makes no number."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.health import NodeHealth
from ksem_contract.mac import KEYLESS, MessageKeys
from service_runtime.clock import boottime
from tests.bridge.broker import Broker
from tests.chain import Chain, kinds

from .ear import Ear

FAMILY = "forgery"
KEYS = [secrets.token_hex(32) for _ in range(2)]
OTHER = MessageKeys((secrets.token_bytes(32),))
LIVE, PONG, HEALTH = "ksem/main/block/live", "ksem/main/pong/attic", "ksem/rtu/attic/health"
ACL = Path(__file__).parents[2] / "mosquitto" / "acl"
LOGINS = {role: secrets.token_hex(8) for role in ("publisher", "rtu", "watcher")}


class House:
    """The chain with a key in both services, on a broker with logins and the shipped rights."""

    def __init__(self, folder: Path, publisher: str = KEYS[0], server: str = KEYS[0]) -> None:
        acl = ACL.read_text() + "\nuser watcher\ntopic readwrite #\n"
        self.files = {"publisher": folder / "publisher.key", "rtu": folder / "rtu.key"}
        self.write("publisher", publisher)
        self.write("rtu", server)
        tables = {role: f'[integrity]\nkey_file = "{file}"\n' for role, file in self.files.items()}
        broker = Broker(folder / "broker", users=LOGINS, acl=acl)
        self.chain = Chain(folder, publisher=tables["publisher"], server=tables["rtu"], broker=broker)
        for role, service in (("publisher", self.chain.publisher), ("rtu", self.chain.server)):
            login = f'[mqtt]\nusername = "{role}"\npassword = "{LOGINS[role]}"\n'
            service.settings_path.write_text(service.settings_path.read_text().replace("[mqtt]\n", login, 1))

    def write(self, role: str, *keys: str) -> None:
        """Put keys into one service's file, in one step."""
        new = self.files[role].with_suffix(".new")
        new.write_text("\n".join(keys))
        new.replace(self.files[role])

    def client(self, role: str) -> Ear:
        return Ear(self.chain.broker.port, username=role, password=LOGINS[role])


@pytest.fixture
def house(tmp_path: Path, kept_rows: list[object]) -> Iterator[House]:
    house = House(tmp_path)
    with house.chain as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_well()
        yield house


def _health(payload: bytes) -> NodeHealth:
    return NodeHealth.decode(payload)


@contextmanager
def repeated(act: Callable[[], None], every: float) -> Iterator[None]:
    """Do it again and again in a thread of its own."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _newest(watcher: Ear, topic: str) -> bytes:
    found = watcher.last(topic)
    assert found is not None
    return found


def forge_blocks(forger: Ear, watcher: Ear) -> None:
    """Blocks as the publisher's own would be, with another power, under every code that can be made without the key."""
    genuine = _newest(watcher, LIVE)
    made = BlockMessage.decode(genuine)
    words = (1, 2, *made.registers[2:])
    false = replace(made, registers=words, seq=made.seq + 1000, boot_ms=int(boottime() * 1000), age_ms=0)
    code = genuine[-42:]
    for payload in (false.encode(), false.encode(OTHER), false.encode()[:-42] + code, false.encode()[:-42] + b"}"):
        forger.shout(LIVE, payload)


def damage_blocks(forger: Ear, watcher: Ear) -> None:
    genuine = _newest(watcher, LIVE)
    at = secrets.randbelow(len(genuine))
    forger.shout(LIVE, genuine[:at] + bytes((genuine[at] ^ 1 << secrets.randbelow(8),)) + genuine[at + 1 :])


def move_blocks(forger: Ear, watcher: Ear) -> None:
    """Genuine messages on other topics than their own."""
    genuine = _newest(watcher, LIVE)
    for topic in ("ksem/main/block/energy", "ksem/main/block/device", PONG, "ksem/main/status"):
        forger.shout(topic, genuine)
    made = BlockMessage.decode(genuine)
    forger.shout(LIVE, replace(made, meter="garage", seq=made.seq + 1000).encode(OTHER))


def replay_blocks(forger: Ear, watcher: Ear) -> None:
    """All that was published more than 2 s ago, in its order, without the retain flag."""
    limit = boottime() - 2
    with watcher._news:
        old = [one for one in watcher.received if one.topic.startswith("ksem/main/block/") and one.received < limit]
    for one in old[-40:]:
        forger.shout(one.topic, one.payload)


def forge_pongs(forger: Ear, watcher: Ear) -> None:
    """Answers to the node's own nonces by which old blocks would be young, and genuine ones of another node."""
    nonces = [Ping.decode(payload).nonce for payload in watcher.payloads("ksem/main/ping/attic")[-3:]]
    session = BlockMessage.decode(_newest(watcher, LIVE)).session
    for nonce in nonces:
        pong = Pong("main", "attic", nonce, session, int((boottime() - 60) * 1000))
        for keys in (KEYLESS, OTHER):
            forger.shout(PONG, pong.encode(keys))
        watcher.shout("ksem/main/ping/cellar", Ping(nonce).encode())
    for taken in watcher.payloads("ksem/main/pong/cellar")[-3:]:
        forger.shout(PONG, taken)


ATTACKS = {
    "blocks forged with the publisher's own login": (forge_blocks, True),
    "blocks damaged by one bit": (damage_blocks, True),
    "blocks moved to another topic": (move_blocks, True),
    "blocks replayed": (replay_blocks, False),
    "pongs forged, and taken from another node": (forge_pongs, True),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.promise(2)
def test_nothing_that_the_publisher_did_not_make_for_this_node_is_ever_served(house: House, name: str) -> None:
    act, is_refused = ATTACKS[name]
    chain = house.chain
    with house.client("publisher") as forger, house.client("watcher") as watcher:
        for topic in (LIVE, "ksem/main/ping/attic"):
            watcher.await_last(topic, lambda _: True, 15)
        with (
            chain.fault(f"{name}, for 3 s", FAMILY, recovery=None) as row,
            repeated(lambda: act(forger, watcher), 0.05),
        ):
            time.sleep(3)
        assert kinds(row.inverter_saw) <= {"good", "address"}, row
        if is_refused:
            watcher.await_last(HEALTH, lambda payload: _health(payload).transit["main"].bad_mac > 0, 15)
            watcher.await_last(HEALTH, lambda payload: "find out who else publishes" in _health(payload).why, 15)
            assert chain.server.log_text().count(": refused ") <= 3


def test_a_forged_device_block_is_not_taken_over_by_a_publisher_that_starts(house: House) -> None:
    chain = house.chain
    with house.client("watcher") as watcher:
        watcher.await_last("ksem/main/block/device", lambda _: True, 15)
        chain.publisher.stop()
        made = BlockMessage.decode(_newest(watcher, "ksem/main/block/device"))
        false = replace(made, registers=(999,) * len(made.registers), session="ffffffff")
        watcher.publish("ksem/main/block/device", false.encode(OTHER))
        begin = len(watcher.payloads("ksem/main/block/device"))
        chain.publisher.start()
        chain.await_good()
        watcher.await_last("ksem/main/block/device", lambda payload: b"ffffffff" not in payload, 15)
        later = [BlockMessage.decode(one) for one in watcher.payloads("ksem/main/block/device")[begin:]]
        assert all(999 not in one.registers for one in later if one.session != "ffffffff")


def test_the_key_changes_on_a_running_pair_without_a_refused_answer(house: House) -> None:
    chain, (old, new) = house.chain, KEYS
    with house.client("watcher") as watcher, chain.fault("the key is changed while both run", FAMILY, recovery=None):
        for step in (("rtu", (old, new)), ("publisher", (old, new)), ("publisher", (new, old)), ("rtu", (new,))):
            house.write(step[0], *step[1])
            time.sleep(2)  # as docs/contract.md advises
        house.write("publisher", new)
        keys = MessageKeys((bytes.fromhex(new),))
        keys.check(_newest(watcher, LIVE))
        assert kinds(chain.watch(2)) <= {"good", "address"}
    row = chain.rows[-1]
    assert kinds(row.inverter_saw) <= {"good", "address"}, row
    assert ": refused " not in chain.server.log_text()


@pytest.mark.parametrize(
    ("server", "words"),
    [(KEYS[1], "put the same key into [integrity] key_file"), ("", "give rtu-server the key")],
    ids=["another key", "no key"],
)
def test_a_wrong_key_on_one_side_is_named_with_its_remedy_and_mended_without_a_restart(
    tmp_path: Path, server: str, words: str
) -> None:
    house = House(tmp_path, server=server or KEYS[1])
    chain = house.chain
    if not server:
        text = chain.server.settings_path.read_text()
        chain.server.settings_path.write_text(text[: text.index("[integrity]")])
    with chain:
        chain.start()
        with house.client("watcher") as watcher:
            watcher.await_last(HEALTH, lambda payload: words in _health(payload).why, 20)
            assert watcher.last("ksem/rtu/attic/status") == b"offline"
            assert not chain.inverter.status()["outcomes"].get("good")
        chain.server.await_log(words)
        if server:
            house.write("rtu", KEYS[0])
            chain.await_good()
            chain.assert_never()


def test_a_key_file_that_breaks_while_running_changes_nothing_and_is_named(house: House) -> None:
    house.write("rtu", "no key at all")
    with house.client("watcher") as watcher:
        watcher.await_last(HEALTH, lambda payload: "line 1 is no key" in _health(payload).why, 15)
        assert kinds(house.chain.watch(1)) <= {"good", "address"}
        house.write("rtu", KEYS[0])
        watcher.await_last(HEALTH, lambda payload: json.loads(payload)["state"] == "ok", 15)
