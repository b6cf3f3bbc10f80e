"""By which names, and from where, the page may be reached."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from ksem_dashboard.web import _with_one_peer, is_known_host

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


@pytest.mark.parametrize(("peer", "status"), [("172.30.32.2", 200), ("192.168.1.7", 403)])
def test_a_page_behind_a_proxy_answers_the_proxy_alone_whatever_name_browsers_use(peer: str, status: int) -> None:
    sent: list[Message] = []

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "client": (peer, 1),
        "headers": [(b"host", b"my-home.example"), (b"x-forwarded-for", b"172.30.32.2")],
    }

    async def request() -> None:
        await _with_one_peer(page, "172.30.32.2")(scope, receive, send)

    asyncio.run(request())
    assert sent[0]["status"] == status
