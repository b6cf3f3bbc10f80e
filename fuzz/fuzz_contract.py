"""Throws bytes at the decoders of the contract's messages: `python fuzz/fuzz_contract.py [-max_total_time=60]`.

A decoder may refuse (InvalidMessage) and nothing else; what it reads must come back the same after encoding.
Runs under atheris; the unit tests call the same functions with the seeds.
"""

import sys
import tempfile
from pathlib import Path
from typing import Protocol

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.health import MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import Topics
from ksem_contract.values_message import ValuesMessage

_REASON = b'{"code":"poll-answers","text":"the meter answers","remedy":"","params":{"where":"ksem:502"}}'
_LINK = b'{"state":"up","since":"2026-11-22T10:00:00.000Z","why":"answers","reasons":[' + _REASON + b'],"changes":1'

SEEDS = (
    (
        b'{"v":1,"meter":"main","block":"r9000-3","start":9000,"registers":[0,123,null],"session":"5f1c9a2e",'
        b'"seq":1812,"boot_ms":90112345,"age_ms":3,"cycle_ms":200,"source":"push","time":"2026-11-22T10:00:00.123Z"}'
    ),
    b'{"v":1,"nonce":"b81f03c2"}',
    b'{"v":1,"meter":"main","node":"attic","nonce":"b81f03c2","session":"5f1c9a2e","boot_ms":90112345}',
    (
        b'{"v":1,"version":"0.1.0","session":"5f1c9a2e","since":"2026-11-22T10:00:00.000Z","state":"ok","why":"",'
        b'"push":' + _LINK + b',"peer":null,"period_ms":200,"groups":[[0,27]],"writes":3},'
        b'"poll":' + _LINK + b',"requests":310,"errors":0,"seqlock_retries":2},'
        b'"blocks":{"live":{"age_ms":120,"limit_ms":1500,"source":"push","seq":1812,"per_s":5.0}},'
        b'"checks":[{"name":"phases","since":"2026-11-22T10:00:00Z","code":"phases-differ","text":"","remedy":""}],'
        b'"publishers":["00c0ffee"],"reasons":[' + _REASON + b"]}"
    ),
    (
        b'{"v":1,"version":"0.1.0","since":"2026-11-22T10:00:00.000Z","state":"ok","why":"","broker":' + _LINK + b"},"
        b'"units":[{"line":"rs485","unit":1,"meter":"main","port":' + _LINK + b'},"state":"ok","requests":2,"data":1,'
        b'"refused":{"stale":1},"foreign":0,"noise":0,"turnaround_ms":{"p50":2.1,"p99":3.4,"max":9},'
        b'"age_ms":{"p50":null,"p99":null,"max":null},"last_request_ago_ms":80}],'
        b'"transit":{"main":{"rtt_ms":1.9,"session":null}}}'
    ),
    (
        b'{"v":1,"requests":[{"line":"rs485","unit":1,"meter":"main","function":3,"start":40,"count":106,"per_s":6.2,'
        b'"last":"exception-2","last_ago_ms":80,"demanded":false}]}'
    ),
    b'{"time":"2026-11-22T10:00:00.123Z","age_ms":3,"power":-1234.5,"frequency":50.01}',
    b'{"v":1,"who":"9d2c41aa","nonce":"b81f03c2","seconds":6}',
    (
        b'{"v":1,"run":"5f1c9a2e","number":17,"boot_us":90112345678,"nonce":null,"dropped":2,"about":{"rs485":"286"},'
        b'"events":[[90112340112,"in","rs485","010300000002c40b"]]}'
    ),
    b"ksem/main/block/live",
    b"\xff\xfe[[[[",
)


class _Message(Protocol):
    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, payload: bytes) -> "_Message": ...


MESSAGES: tuple[type[_Message], ...] = (
    BlockMessage,
    Ping,
    Pong,
    MeterHealth,
    NodeHealth,
    RequestsMessage,
    ValuesMessage,
)


def check_message(kind: type[_Message], payload: bytes) -> bool:
    """Whether `payload` is read as such a message; if so, it must survive the way out and back."""
    try:
        message = kind.decode(payload)
    except InvalidMessage:
        return False
    again = kind.decode(message.encode())
    if again != message:
        raise AssertionError(f"{message} came back as {again}")
    return True


def check_topic(topic: str) -> None:
    """Reads a topic: it is the contract's or not, and no error."""
    Topics().parse(topic)


def check(data: bytes) -> None:
    """One input for all of them."""
    for kind in MESSAGES:
        check_message(kind, data)
    check_topic("ksem/" + data.decode("utf-8", "replace"))


def main() -> None:
    """Fuzzes until stopped."""
    import atheris  # noqa: PLC0415  not needed by the tests, and not there on every platform

    atheris.instrument_all()
    # Fuzz() never returns, so what it found stays there, and the next run goes on from it.
    corpus = Path(tempfile.gettempdir()) / "fuzz-contract"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
