"""What the services say to each other: blocks, topics, messages, freshness. Pure: no IO, no clock, no logging."""

from ksem_contract.block_message import BlockMessage, Source
from ksem_contract.echo import Ping, Pong
from ksem_contract.errors import ContractError, InvalidMessage, SunspecError, UnknownVersion
from ksem_contract.freshness import EchoClock, block_stamp, pong_stamp
from ksem_contract.register_range import RegisterRange
from ksem_contract.topics import ParsedTopic, Topics

__all__ = [
    "BlockMessage",
    "ContractError",
    "EchoClock",
    "InvalidMessage",
    "ParsedTopic",
    "Ping",
    "Pong",
    "RegisterRange",
    "Source",
    "SunspecError",
    "Topics",
    "UnknownVersion",
    "block_stamp",
    "pong_stamp",
]
