"""The MQTT contract between the services: blocks, topics, messages, freshness. No IO, no clock, no logging [core]."""

from ksem_contract.block_message import BlockMessage, Ping, Pong, Source
from ksem_contract.freshness import EchoClock, block_stamp, pong_stamp
from ksem_contract.health import LinkHealth, MeterHealth, NodeHealth, RequestEntry, RequestsMessage
from ksem_contract.message_fields import ContractError, InvalidMessage, SunspecError, UnknownVersion
from ksem_contract.registers import Register, RegisterRange
from ksem_contract.sunspec import SunspecChain, SunspecModel
from ksem_contract.topics import ParsedTopic, Topics
from ksem_contract.values import VALUE_KEYS, ValueKey
from ksem_contract.values_message import CounterGuard, ValuesMessage, Withheld

__all__ = [
    "VALUE_KEYS",
    "BlockMessage",
    "ContractError",
    "CounterGuard",
    "EchoClock",
    "InvalidMessage",
    "LinkHealth",
    "MeterHealth",
    "NodeHealth",
    "ParsedTopic",
    "Ping",
    "Pong",
    "Register",
    "RegisterRange",
    "RequestEntry",
    "RequestsMessage",
    "Source",
    "SunspecChain",
    "SunspecError",
    "SunspecModel",
    "Topics",
    "UnknownVersion",
    "ValueKey",
    "ValuesMessage",
    "Withheld",
    "block_stamp",
    "pong_stamp",
]
