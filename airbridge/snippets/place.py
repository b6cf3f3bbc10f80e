"""Holds where the values are, and how long a reader should trust one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ksem_contract.topics import Topics

LIVE_TIMEOUT: Final = 10
"""Seconds, at least: live values come once a second by default, so ten of them are missing then."""
ENERGY_TIMEOUT: Final = 60
"""Seconds, at least: counters come with each reading, every 10 s by default."""
LOGINS: Final = "/etc/ksem-airbridge/logins"
"""Where make-users and make-certs put each role's files, on the broker's host."""
PASSWORD: Final = "PASSWORD"  # noqa: S105  (a placeholder: what is printed may be shown to others)


@dataclass(frozen=True, slots=True)
class Address:
    """The broker and the meter's topics on it."""

    broker: str
    port: int
    tls: bool
    username: str
    """Empty: the broker lets everyone in."""
    topics: Topics
    meter: str
    role: str = "reader"
    """Whose files under LOGINS the program needs."""
    interval: float = 1.0
    """[values] interval: seconds between two messages of one value."""
    energy_interval: float = 10.0
    """[poll] energy: seconds between two readings of the counters."""

    @property
    def live_timeout(self) -> int:
        """Seconds after which a value/<key> that was not renewed is old."""
        return max(LIVE_TIMEOUT, math.ceil(3 * self.interval))

    @property
    def energy_timeout(self) -> int:
        """Seconds after which a counter that was not renewed is old."""
        return max(ENERGY_TIMEOUT, math.ceil(3 * max(self.interval, self.energy_interval)))

    def file(self, name: str) -> str:
        """Return where the broker's host has the password or a certificate of the program's role."""
        return f"{LOGINS}/{self.role}/{name}"

    def login_notes(self, comment: str = "# ") -> Iterator[str]:
        """Yield comment lines: where password and certificates are."""
        if self.username:
            yield f"{comment}The password of {self.username}: on the broker's host, sudo cat {self.file('password')}"
        if self.tls:
            yield f"{comment}TLS: copy ca.pem, cert.pem and key.pem from {LOGINS}/{self.role} on the broker's host."
            yield f"{comment}The certificate is the login; where the broker takes passwords instead, ca.pem is enough."
            yield f"{comment}The broker's address must be a name or address that make-certs was given."
        else:
            yield f"{comment}If the broker has an encrypted listener (port 8883), print this again with --tls."

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
        """Topic that shows whether live data flows."""
        return self.topics.meter_status(self.meter)
