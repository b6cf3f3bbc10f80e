"""Removes what nobody else should see from texts and payloads [core].

It stands apart from the archive that it cleans: its tests need no files.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.capture_file import SERIAL_NUMBERS
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.values import decode_texts

GONE: Final = "(removed)"
_SECRET_KEY = re.compile(r"""(?i)([\w.]*(?:password|passwd|secret|token)(?!\w*_file)\w*"?\s*[=:]\s*)("[^"\n]*"|\S+)""")
# As udev builds them: usb-MAKER_MODEL_SERIAL-if00-port0.
_ADAPTER = re.compile(r"(usb-[^\s/\"']+?_)([A-Za-z0-9.]+)(-if\d+)")
_SHORTEST: Final = 4
"""Shorter texts would take half of every word along."""


def serial_texts(retained: Mapping[str, bytes]) -> set[str]:
    """Serial numbers that the device blocks hold in clear, to be removed from all other texts, too."""
    numbers = set()
    for payload in retained.values():
        try:
            block = BlockMessage.decode(payload)
        except InvalidMessage:
            continue
        if block.block == "device" and (text := decode_texts(block.registers).get("serial_number")):
            numbers.add(text)
    return numbers


def without_serial_registers(payload: bytes) -> str:
    """A retained payload as text; a block's serial number registers are null."""
    text = payload.decode("utf-8", "replace")
    try:
        message: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(message, dict) and isinstance(message.get("registers"), list) and type(message.get("start")) is int:
        start = message["start"]
        message["registers"] = [
            None if any(start + offset in secret for secret in SERIAL_NUMBERS) else word
            for offset, word in enumerate(message["registers"])
        ]
        message.pop("mac", None)  # without a key, a serial number could be found by trying all against it
        return json.dumps(message)
    return text


def scrub(text: str, secrets: Iterable[str]) -> str:
    """`text` without these secrets, without values of keys called password, and without adapters' serial numbers."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, GONE)
    text = _SECRET_KEY.sub(rf"\g<1>{GONE}", text)
    return _ADAPTER.sub(rf"\g<1>{GONE}\g<3>", text)
