"""The main job: a meter's registers, two services, a broker, the wire, and a client that is not ours."""

import json
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from ksem_simulators.truth import TruthReader
from service_runtime.clock import boottime
from tests.chain import Chain

WAYS = {
    "0-27": (0, 28),
    "40-145": (40, 106),
    "512-611": (512, 100),
    "8192-8249": (8192, 58),
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The chain without an inverter: its end of the line is free for others."""
    with Chain(tmp_path_factory.mktemp("chain")) as chain:
        chain.start("broker", "meter", "publisher", "line", "server")
        chain.publisher.await_log("pushed")
        yield chain


def mbpoll(chain: Chain, start: int, count: int) -> tuple[int, ...]:
    """Registers as libmodbus reads them."""
    command = ["mbpoll", "-m", "rtu", "-a", "1", "-b", "38400", "-d", "8", "-s", "2", "-P", "none", "-t", "4:hex"]
    command += ["-0", "-r", str(start), "-c", str(count), "-o", "1", "-1", "-q", str(chain.line.client)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.findall(r"^\[(\d+)\]:\s+0x([0-9A-F]{4})", ran.stdout, re.MULTILINE)
    assert [int(address) for address, _ in found] == list(range(start, start + count))
    return tuple(int(word, 16) for _, word in found)


@pytest.mark.parametrize(("start", "count"), WAYS.values(), ids=WAYS)
@pytest.mark.promise(2)
def test_mbpoll_reads_exactly_the_meters_registers(chain: Chain, start: int, count: int) -> None:
    truth = TruthReader(chain.meter.truth)
    deadline = time.monotonic() + 10
    while True:
        try:
            words = mbpoll(chain, start, count)
            break
        except AssertionError:
            assert time.monotonic() < deadline, chain.logs()
    verdict = truth.judge(start, words, boottime())
    assert verdict.kind == "good", verdict.why
    assert verdict.age is not None
    assert verdict.age < 15  # energy is polled every 10 s


def test_anyone_can_read_the_retained_blocks_and_gets_them_at_once(chain: Chain) -> None:
    command = ["mosquitto_sub", "-h", chain.broker.host, "-p", str(chain.broker.port), "-t", "ksem/main/block/+"]
    ran = subprocess.run(
        [*command, "-v", "-C", "4", "-W", "10"], capture_output=True, text=True, timeout=20, check=True
    )
    blocks = {}
    for line in ran.stdout.splitlines():
        topic, payload = line.split(" ", 1)
        blocks[topic.removeprefix("ksem/main/block/")] = json.loads(payload)
    assert blocks.keys() >= {"live", "device"}
    for name, block in blocks.items():
        assert block["v"] == 1
        assert block["block"] == name
        assert all(word is None or 0 <= word <= 0xFFFF for word in block["registers"])
    assert blocks["live"]["start"] == 0
    assert len(blocks["live"]["registers"]) == 148
    assert blocks["live"]["source"] == "push"
