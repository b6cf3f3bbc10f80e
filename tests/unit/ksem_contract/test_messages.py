"""Every message class of the package, found by looking, is sent there and back; its docstring holds the example."""

import importlib
import inspect
import json
import pkgutil
import re
from typing import Any, Protocol

import pytest

import ksem_contract
from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.health import MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.values_message import ValuesMessage


class _Message(Protocol):
    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, payload: bytes) -> "_Message": ...


def _is_message(kind: type) -> bool:
    """Whether it travels over MQTT: it turns itself into a payload, and a payload into itself."""
    decode = getattr(kind, "decode", None)
    return hasattr(kind, "encode") and decode is not None and "payload" in inspect.signature(decode).parameters


def _message_classes() -> list[type[_Message]]:
    found: set[type] = set()
    for module in pkgutil.iter_modules(ksem_contract.__path__):
        members = inspect.getmembers(importlib.import_module(f"ksem_contract.{module.name}"), inspect.isclass)
        found.update(kind for _, kind in members if kind.__module__.startswith("ksem_contract.") and _is_message(kind))
    return sorted(found, key=lambda kind: kind.__name__)


def _example(kind: type[_Message]) -> bytes:
    """The JSON in the class's docstring; `,...]` stands for the rest of a block's registers."""
    text = re.search(r"^ {4}(\{.*\})$", inspect.getdoc(kind) or "", re.MULTILINE | re.DOTALL)
    assert text, f"{kind.__name__} shows no example"
    return text[1].replace("[0,123,...]", json.dumps([0, 123, *range(146)])).encode()


_every_message = pytest.mark.parametrize("kind", _message_classes(), ids=lambda kind: kind.__name__)


def test_all_messages_of_the_contract_are_found() -> None:
    assert {BlockMessage, MeterHealth, NodeHealth, Ping, Pong, RequestsMessage, ValuesMessage} <= set(
        _message_classes()
    )


@_every_message
def test_the_documented_example_survives_the_way_out_and_back(kind: type[_Message]) -> None:
    message = kind.decode(_example(kind))
    sent = message.encode()
    assert kind.decode(sent) == message
    assert json.loads(sent) == json.loads(_example(kind))
    assert list(json.loads(sent)) == list(json.loads(_example(kind)))


@_every_message
def test_the_docstring_tells_topic_retention_and_how_to_see_it(kind: type[_Message]) -> None:
    assert re.search(r"Topic `ksem/\S+`, (not )?retained, QoS [01]\. To see it: `mosquitto_sub ", kind.__doc__ or "")


@_every_message
def test_fields_of_a_later_minor_version_are_ignored(kind: type[_Message]) -> None:
    example = json.loads(_example(kind))
    assert kind.decode(json.dumps(example | {"later": {"and": "more"}}).encode()) == kind.decode(_example(kind))


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value in a JSON object."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, part in inner:
        found += _places(part, (*path, key))
    return found


def _replaced(example: dict[str, Any], path: tuple[str | int, ...], value: object) -> bytes:
    changed = json.loads(json.dumps(example))
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    if value is _MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(changed).encode()


_MISSING = object()
_STRANGE: tuple[object, ...] = (
    None,
    True,
    -1,
    1.5,
    2**60,
    "",
    "x",
    "\ud800",
    "y" * 3000,
    [],
    [1],
    {},
    {"a": 1},
    _MISSING,
)


@_every_message
def test_anything_anywhere_is_read_or_refused_and_what_was_read_can_be_sent(kind: type[_Message]) -> None:
    example = json.loads(_example(kind))
    for path in _places(example)[:200]:
        for strange in _STRANGE:
            try:
                message = kind.decode(_replaced(example, path, strange))
            except InvalidMessage:
                continue
            message.encode().decode()
            assert kind.decode(message.encode()) == message


@_every_message
@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"online", b'{"v":1}', b"[" * 60_000, b"\xff", b"x" * 70_000])
def test_nonsense_is_refused_without_another_error(kind: type[_Message], payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        kind.decode(payload)


def test_an_error_inside_a_message_names_the_way_to_the_field() -> None:
    example = json.loads(_example(NodeHealth))
    example["units"][0]["port"]["state"] = "broken"
    with pytest.raises(InvalidMessage, match=r"^units\[0\]\.port\.state 'broken': allowed are up, down, waiting$"):
        NodeHealth.decode(json.dumps(example).encode())
