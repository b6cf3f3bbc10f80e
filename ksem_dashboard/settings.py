"""Defines the settings of the web page: dashboard.toml."""

import attrs

from service_runtime.common_settings import MqttSettings
from service_runtime.setting import between, each, matching, name, not_empty, port, setting


@attrs.frozen(kw_only=True)
class DashboardSettings:
    """The table [dashboard]."""

    listen: str = setting(
        default="127.0.0.1", help="address to listen on; 0.0.0.0 lets the whole network in", allowed=not_empty()
    )
    port: int = setting(default=8080, help="TCP port of the page", allowed=port())
    hosts: tuple[str, ...] = setting(
        factory=tuple,
        help="more host names by which browsers reach the page; addresses, localhost and this host's name always do",
        allowed=each(not_empty()),
    )
    proxy: str = setting(
        default="",
        help="the address of a proxy with a login of its own, as Home Assistant's ingress: it alone is answered,"
        " whatever name browsers use; empty: none",
        allowed=matching(r"|[0-9.]+|[0-9a-fA-F:]+", "an address"),
    )
    meters: tuple[str, ...] = setting(
        factory=tuple, help="ids of the meters to show; empty = all that publish", allowed=each(name())
    )
    nodes: tuple[str, ...] = setting(
        factory=tuple, help="names of the RTU servers to show; empty = all that publish", allowed=each(name())
    )
    old_after: float = setting(
        default=2.0, help="age from which live values are shown as old", allowed=between(0.5, 60, "seconds")
    )


@attrs.frozen(kw_only=True)
class KsemDashboardSettings:
    """All settings of ksem-dashboard."""

    dashboard: DashboardSettings = setting(factory=DashboardSettings, help="the web page")
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
