"""What is answered over HTTP: the page, its events, /metrics, /healthz, /state.json [shell]."""

import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from importlib import resources
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .healthz import health_verdict
from .metrics import CONTENT_TYPE, Exposition
from .picture import Picture
from .report import report
from .stream import Stream

FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "draw.js": ("draw.js", "text/javascript; charset=utf-8"),
    "ages.js": ("ages.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS: Final = {
    # Everything from here, nothing inline: what comes over MQTT can't become a script.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def make_app(
    picture: Picture, stream: Stream, clock: Callable[[], float], hosts: Iterable[str] = (), proxy: str = ""
) -> ASGIApp:
    """The application; everything it needs is given. `hosts`: more names by which browsers may reach it.

    `proxy`: the one address that is answered, by any name: what stands there checks names and logins itself.
    """
    exposition = Exposition(picture, clock)

    async def metrics(_request: Request) -> Response:
        return Response(exposition.text(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    async def healthz(_request: Request) -> Response:
        ok, why = health_verdict(picture, clock())
        headers = {"cache-control": "no-store"}
        return PlainTextResponse(f"{why}\n", status_code=200 if ok else 503, headers=headers)

    async def state(_request: Request) -> Response:
        return JSONResponse(report(picture, clock()), headers={"cache-control": "no-store"})

    async def events(_request: Request) -> Response:
        if stream.is_full:
            return PlainTextResponse("too many pages are open\n", status_code=503, headers={"retry-after": "10"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return _Events(stream, headers)

    routes = [Route(f"/{path}", _file(*found)) for path, found in FILES.items()]
    routes += [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/state.json", state),
        Route("/events", events),
    ]
    pages = Starlette(routes=routes)
    return _with_headers(_with_one_peer(pages, proxy) if proxy else _with_known_hosts(pages, hosts))


class _Events(StreamingResponse):
    """Counts as a listener from its first step, so that pages which open at the same moment keep the limit."""

    def __init__(self, stream: Stream, headers: dict[str, str]) -> None:
        super().__init__(stream.events(), media_type="text/event-stream", headers=headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._stream.listeners += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.listeners -= 1


def _file(name: str, content_type: str) -> Callable[[Request], Awaitable[Response]]:
    body = resources.files(__package__).joinpath("page", name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"content-type": content_type, "cache-control": "no-cache", "etag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    return answer


def _with_one_peer(app: ASGIApp, proxy: str) -> ASGIApp:
    """Refuse everybody but the proxy. Its page lies below a path of its own: all links in the page are relative."""
    refusal = PlainTextResponse("This page is for the proxy in [dashboard] proxy alone.\n", status_code=403)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        await (app if peer and peer[0] == proxy else refusal)(scope, receive, send)

    return answer


def _with_known_hosts(app: ASGIApp, hosts: Iterable[str]) -> ASGIApp:
    """Refuse other names: a page on the web could let its own name point here and read all (DNS rebinding)."""
    own = socket.gethostname().lower()
    first = own.partition(".")[0]
    known = {"localhost", own, first, f"{first}.local", *(host.lower().rstrip(".") for host in hosts)}
    refusal = PlainTextResponse(
        "This page is not known by that name. Use its address, or add the name to [dashboard] hosts.\n", status_code=421
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        good = len(given) == 1 and is_known_host(given[0], known)
        await (app if good else refusal)(scope, receive, send)

    return answer


def is_known_host(header: str, known: set[str]) -> bool:
    """Tell whether a Host header holds an address or a known name. An address can't be pointed elsewhere."""
    if header.startswith("["):
        host, bracket, port = header[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
        port = port[1:]
    else:
        host, _, port = header.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not header.startswith("[") and host.lower().rstrip(".") in known
    return True


def _with_headers(app: ASGIApp) -> ASGIApp:
    more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await app(scope, receive, send_more)

    return answer
