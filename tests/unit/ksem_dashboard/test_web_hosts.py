"""By which names the page may be reached."""

import pytest

from ksem_dashboard.web import is_known_host

KNOWN = {"localhost", "pi", "pi.local"}


@pytest.mark.parametrize(
    "header",
    ["192.0.2.1", "192.0.2.1:8080", "[::1]:8080", "[fe80::1]", "localhost", "LOCALHOST:8080", "pi.local.", "Pi:8080"],
)
def test_addresses_and_known_names_are_let_in(header: str) -> None:
    assert is_known_host(header, KNOWN)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example",
        "evil.example:8080",
        "",
        "[pi]",
        "[::1]evil",
        "pi:evil",
        "pi.evil.example",
        "192.0.2.1.evil.example",
        "[::1",
        "a@pi",
        "pi:80:80",
        "127.1",
    ],
)
def test_other_names_are_refused(header: str) -> None:
    assert not is_known_host(header, KNOWN)
