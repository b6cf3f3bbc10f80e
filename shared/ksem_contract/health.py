"""All health messages and their parts, under one name."""

from ksem_contract.histogram import Histogram
from ksem_contract.link_health import HealthCondition, LinkCondition, LinkHealth
from ksem_contract.meter_health import BlockHealth, CheckFlag, MeterHealth, PollHealth, PushHealth
from ksem_contract.node_health import NodeHealth, Percentiles, Transit, UnitHealth

__all__ = [
    "BlockHealth",
    "CheckFlag",
    "HealthCondition",
    "Histogram",
    "LinkCondition",
    "LinkHealth",
    "MeterHealth",
    "NodeHealth",
    "Percentiles",
    "PollHealth",
    "PushHealth",
    "Transit",
    "UnitHealth",
]
