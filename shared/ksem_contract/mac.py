"""The code at the end of each block and pong: it proves who made the message and that no bit changed [core].

HMAC (RFC 2104) with SHA-256 (FIPS 180-4), cut to its first 16 bytes as RFC 2104, section 5 allows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hmac import compare_digest, digest
from typing import Final

from ksem_contract.message_fields import InvalidMessage

MAC_BYTES: Final = 16
NO_KEY: Final = b""
"""Without a key the code shows damage; it can't show who made the message."""
MIN_KEY_BYTES: Final = 16
MAX_KEY_BYTES: Final = 64
"""A longer key is hashed first (RFC 2104, section 2): it gains nothing."""
MAX_KEYS: Final = 2
KEY_RULE: Final = f"{2 * MIN_KEY_BYTES} to {2 * MAX_KEY_BYTES} hex digits, as `openssl rand -hex 32` makes them"

_HEAD: Final = b',"mac":"'
_END: Final = b'"}'
_TAIL: Final = len(_HEAD) + 2 * MAC_BYTES + len(_END)
_is_hex = re.compile(r"([0-9A-Fa-f]{2})+").fullmatch


class MacFault(Enum):
    """Why a message's code does not fit."""

    MISSING = "missing"
    """The message does not end with one."""
    KEYLESS = "keyless"
    """It was made without a key, and this side has one."""
    WRONG = "wrong"
    """Made with another key, or changed on its way."""


class BadMac(InvalidMessage):
    """A message whose code does not fit: nothing in it may be used."""

    def __init__(self, fault: MacFault) -> None:
        super().__init__(_WORDS[fault])
        self.fault = fault


_WORDS: Final = {
    MacFault.MISSING: "it does not end with a mac",
    MacFault.KEYLESS: "its mac was made without a key",
    MacFault.WRONG: "its mac does not fit: made with another key, or changed on its way",
}


@dataclass(frozen=True, slots=True, repr=False)
class MessageKeys:
    """The keys in force: the first one makes codes, each of them verifies incoming ones."""

    keys: tuple[bytes, ...] = (NO_KEY,)

    @property
    def is_secret(self) -> bool:
        """Whether there is a key."""
        return self.keys != (NO_KEY,)

    def seal(self, head: bytes) -> bytes:
        """Return the payload for `head`, which is a JSON object without its last brace."""
        return b'%b,"mac":"%b"}' % (head, _code(self.keys[0], head))

    def check(self, payload: bytes) -> None:
        """Raise BadMac unless the payload ends with a code that one of the keys makes."""
        head, tail = payload[:-_TAIL], payload[-_TAIL:]
        if not (tail.startswith(_HEAD) and tail.endswith(_END)):
            raise BadMac(MacFault.MISSING)
        code = tail[len(_HEAD) : -len(_END)]
        if not any(compare_digest(code, _code(key, head)) for key in self.keys):
            keyless = self.is_secret and compare_digest(code, _code(NO_KEY, head))
            raise BadMac(MacFault.KEYLESS if keyless else MacFault.WRONG)


KEYLESS: Final = MessageKeys()
"""The codes of a bridge without a key."""

KeySource = Callable[[], MessageKeys]
"""Returns the keys that count now: they may change while a service runs."""


def keyless() -> MessageKeys:
    """Return no key."""
    return KEYLESS


def parse_keys(text: str) -> MessageKeys:
    """Return the keys in a file's text: one or two, hex, one a line. ValueError names the wrong line, not its text."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for number, line in lines:
        if not _is_hex(line) or not MIN_KEY_BYTES <= len(line) // 2 <= MAX_KEY_BYTES:
            raise ValueError(f"line {number} is no key: {KEY_RULE}")
    if not 1 <= len(lines) <= MAX_KEYS:
        raise ValueError(f"it holds {len(lines)} keys: one, or two while they change, one a line; a key is {KEY_RULE}")
    return MessageKeys(tuple(bytes.fromhex(line) for _, line in lines))


def _code(key: bytes, head: bytes) -> bytes:
    return digest(key, head, "sha256")[:MAC_BYTES].hex().encode("ascii")
