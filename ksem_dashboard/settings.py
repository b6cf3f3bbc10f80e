"""Defines the settings of the web page: dashboard.toml."""

from pathlib import Path

import attrs

from ksem_dashboard.delivery import Receiver, read_receivers
from ksem_dashboard.notification_text import TEXTS
from ksem_dashboard.notifier import QUIET_PATTERN, Rules, parse_quiet
from service_runtime.common_settings import MqttSettings
from service_runtime.setting import (
    between,
    each,
    matching,
    name,
    not_empty,
    not_negative,
    one_of,
    port,
    readable_file,
    setting,
)


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
class NotifySettings:
    """The table [notify]: who is notified of an outage, and when."""

    urls_file: Path | None = setting(
        default=None,
        help="a file with an address of apprise a line, as ntfy://ntfy.example/my-topic or"
        " mailtos://user:password@mail.example; none: nobody is notified",
        allowed=readable_file(),
    )
    after: float = setting(
        default=60.0, help="seconds without data after which a message is sent", allowed=between(10, 86400, "seconds")
    )
    repeat: float = setting(
        default=0.0,
        help="seconds after which a message is sent again while the outage goes on; 0: never",
        allowed=(not_negative("seconds"),),
    )
    quiet: str = setting(
        default="",
        help="hours in which no message is sent, in local time: 22:00-06:30; what happened is sent at their end",
        allowed=matching(rf"|{QUIET_PATTERN}", "hours like 22:00-06:30, or empty"),
    )
    language: str = setting(default="en", help="the language of messages", allowed=one_of(*TEXTS))

    def __attrs_post_init__(self) -> None:
        mistakes = []
        if 0 < self.repeat < _LEAST_REPEAT:
            mistakes.append(f"repeat = {self.repeat:g}: 0, or {_LEAST_REPEAT:g} seconds and more")
        try:
            parse_quiet(self.quiet)
        except ValueError as error:
            mistakes.append(f'quiet = "{self.quiet}": {error}')
        try:
            self.receivers()
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f'urls_file = "{self.urls_file}": can\'t be read: {error}')
        except ValueError as error:
            mistakes.append(f'urls_file = "{self.urls_file}": {error}')
        if mistakes:
            raise ValueError(*mistakes)

    def receivers(self) -> list[Receiver]:
        """Who is notified, as the file has it now."""
        return [] if self.urls_file is None else read_receivers(self.urls_file)

    @property
    def rules(self) -> Rules:
        """When they are notified."""
        return Rules(self.after, self.repeat, parse_quiet(self.quiet), self.language)


_LEAST_REPEAT: float = 1200.0
"""Seconds: three messages an hour at most are sent."""


@attrs.frozen(kw_only=True)
class HistorySettings:
    """The table [history]: power, energy and outages of the last days."""

    directory: Path | None = setting(
        default=None, help="the folder for it; else the one that systemd gives the service, else memory alone"
    )


@attrs.frozen(kw_only=True)
class KsemDashboardSettings:
    """All settings of ksem-dashboard."""

    dashboard: DashboardSettings = setting(factory=DashboardSettings, help="the web page")
    notify: NotifySettings = setting(factory=NotifySettings, help="messages about outages")
    history: HistorySettings = setting(factory=HistorySettings, help="the history that the page shows")
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
