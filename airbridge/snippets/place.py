"""Where the values are, and how long a reader should trust one."""

from dataclasses import dataclass
from typing import Final

from ksem_contract.topics import Topics

LIVE_TIMEOUT: Final = 10
"""Seconds: live values come once a second by default, so ten of them are missing then."""
ENERGY_TIMEOUT: Final = 60
"""Seconds: counters come with each reading, every 10 s by default."""
PASSWORD: Final = "PASSWORD"  # noqa: S105  (a placeholder: what is printed may be shown to others)


@dataclass(frozen=True, slots=True)
class Place:
    """The broker and the meter's topics on it."""

    broker: str
    port: int
    tls: bool
    username: str
    """Empty: the broker lets everyone in."""
    topics: Topics
    meter: str

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        host = f"[{self.broker}]" if ":" in self.broker else self.broker
        return f"{host}:{self.port}"

    def url(self, plain: str, encrypted: str) -> str:
        """The broker's URL, with the schemes that a program uses."""
        return f"{encrypted if self.tls else plain}://{self.address}"

    def value(self, key: str) -> str:
        """Topic of one value."""
        return self.topics.meter_value(self.meter, key)

    @property
    def values(self) -> str:
        """Topic of all values as JSON."""
        return self.topics.meter_values(self.meter)

    @property
    def status(self) -> str:
        """Topic that says whether live data flows."""
        return self.topics.meter_status(self.meter)
