"""Which messages show what a role may do [core]."""

from airbridge.doctor.facts import Role
from ksem_contract.topics import Topics


def probes(
    role: Role, topics: Topics, name: str, discovery_prefix: str | None = "homeassistant"
) -> list[tuple[str, str, bool]]:
    """Family, topic, and whether this role hears it, too: empty messages about a meter or node that nobody has.

    They are not retained, and nothing listens to a meter of that name. `discovery_prefix`: None: discovery is off.
    """
    prefix = topics.prefix
    level = f"{discovery_prefix}/device/ksem_{role}"
    discovery = [(f"{level}/+/config", f"{level}/{name}/config", False)] if discovery_prefix is not None else []
    if role == "publisher":
        return [
            (f"{prefix}/+/status", topics.meter_status(name), True),
            (f"{prefix}/+/block/+", topics.meter_block(name, "live"), True),
            (f"{prefix}/+/health", topics.meter_health(name), True),
            (f"{prefix}/+/values", topics.meter_values(name), False),
            (f"{prefix}/+/value/+", topics.meter_value(name, "power"), False),
            (f"{prefix}/+/pong/+", topics.pong(name, name), False),
            *discovery,
        ]
    if role == "rtu":
        return [
            (f"{prefix}/rtu/+/status", topics.node_status(name), True),
            (f"{prefix}/rtu/+/health", topics.node_health(name), True),
            (f"{prefix}/rtu/+/requests", topics.node_requests(name), True),
            (f"{prefix}/+/ping/+", topics.ping(name, name), False),
            *discovery,
        ]
    return []
