"""The harness of `make fuzz`, fed with a few seeds so that it can't rot."""

from collections.abc import Callable

import pytest

from fuzz.fuzz_codec import CHECKS, check_all
from modbus_codec import MbapFrame

from .frames import EXAMPLES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("step", [b"\x00", b"\x04", b"\xff"])
def test_a_check_holds_for_every_known_frame(check: Callable[[bytes], None], step: bytes) -> None:
    for example in EXAMPLES:
        pdu = example.frame[1:-2]
        check(pdu)
        check(example.frame)
        check(step + example.frame)
        check(step + MbapFrame(1, 1, pdu).encode())


def test_the_checks_hold_for_nothing() -> None:
    check_all(b"")
