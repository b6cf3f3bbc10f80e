"""Answers over HTTP: the page, its events, /metrics, /healthz, /state.json [shell].

Server-sent events carry the newest of everything, never a queue of what was.
"""

import asyncio
import hashlib
import ipaddress
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime
from importlib import resources
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ksem_dashboard.archive import TABLES, Archive
from ksem_dashboard.history import slot_of
from ksem_dashboard.language import ENGLISH, Language, language_of
from ksem_dashboard.metrics import CONTENT_TYPE, Exposition
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.report import health_verdict, history, live, point, report

MOST: Final = 32
"""Pages that may listen at once."""
STATE_EVERY: Final = 1.0
"""Seconds between two states while nothing changes: a page that gets nothing for longer knows that it is cut off."""
LIVE_EVERY: Final = 0.19
"""A measuring cycle takes 200 ms or longer."""


class Stream:
    """Hands the state to any number of pages. A slow one gets fewer events, and always the newest."""

    def __init__(self, picture: BridgeState, clock: Callable[[], float]) -> None:
        self._state = picture
        self._clock = clock
        self._news = asyncio.Event()
        self._ended = False
        self.listeners = 0

    @property
    def is_full(self) -> bool:
        """No page more can be served."""
        return self.listeners >= MOST

    def changed(self) -> None:
        """Something came."""
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """Let all pages go; they come again."""
        self._ended = True
        self.changed()

    async def events(self, language: Language = ENGLISH) -> AsyncIterator[str]:
        """What one page gets, until it or the service ends."""
        yield "retry: 1000\n\n"
        now = self._clock()
        for view in self._state.meters.values():
            yield _event("history", history(view, now))
        async for text in self._follow(slot_of(now), language):
            yield text

    async def _follow(self, slot: int, language: Language) -> AsyncIterator[str]:
        state_due, changes = 0.0, -1
        cycles: dict[str, int] = {}
        while not self._ended:
            news, now = self._news, self._clock()
            while slot < slot_of(now):
                for view in self._state.meters.values():
                    yield _event("point", point(view, slot))
                slot += 1
            if now >= state_due or changes != self._state.changes:
                state_due, changes = now + STATE_EVERY, self._state.changes
                cycles = {name: view.cycles for name, view in self._state.meters.items()}
                yield _event("state", report(self._state, now, language))
            for name, view in self._state.meters.items():
                if cycles.get(name) != view.cycles:
                    cycles[name] = view.cycles
                    yield _event("live", live(view, now))
            await _wait(news, max(0.0, state_due - self._clock()))
            await asyncio.sleep(max(0.0, now + LIVE_EVERY - self._clock()) if not self._ended else 0)


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return


def _event(name: str, content: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"


FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "draw.js": ("draw.js", "text/javascript; charset=utf-8"),
    "past.js": ("past.js", "text/javascript; charset=utf-8"),
    "ages.js": ("ages.js", "text/javascript; charset=utf-8"),
    "words.js": ("words.js", "text/javascript; charset=utf-8"),
    "german.js": ("german.js", "text/javascript; charset=utf-8"),
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
    picture: BridgeState,
    stream: Stream,
    clock: Callable[[], float],
    hosts: Iterable[str] = (),
    proxy: str = "",
    *,
    archive: Archive,
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

    async def state(request: Request) -> Response:
        return JSONResponse(report(picture, clock(), _language(request)), headers={"cache-control": "no-store"})

    async def events(request: Request) -> Response:
        if stream.is_full:
            return PlainTextResponse("too many pages are open\n", status_code=503, headers={"retry-after": "10"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return _Events(stream, _language(request), headers)

    async def past(request: Request) -> Response:
        meter, local = request.query_params.get("meter", ""), datetime.now().astimezone()
        try:
            found = await archive.page(meter, local)
        except sqlite3.Error as error:
            return _unread(error)
        return JSONResponse(found, headers={"cache-control": "no-store"})

    async def table(request: Request) -> Response:
        name, local = request.path_params["table"], datetime.now().astimezone()
        if name not in TABLES:
            return PlainTextResponse(f"there are {', '.join(TABLES)}\n", status_code=404)
        meter = request.query_params.get("meter") or next(iter(picture.meters), "")
        try:
            text = await archive.table(name, meter, local)
        except sqlite3.Error as error:
            return _unread(error)
        headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="airbridge-{name}.csv"'}
        return Response(text, media_type="text/csv", headers=headers)

    routes = [Route(f"/{path}", _file(*found)) for path, found in FILES.items()]
    routes += [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/state.json", state),
        Route("/events", events),
        Route("/history.json", past),
        Route("/history/{table}.csv", table),
    ]
    pages = Starlette(routes=routes)
    return _with_headers(_with_one_peer(pages, proxy) if proxy else _with_known_hosts(pages, hosts))


def _language(request: Request) -> Language:
    """By `?lang=`; English without."""
    return language_of(request.query_params.get("lang", "en"))


def _unread(error: sqlite3.Error) -> Response:
    return PlainTextResponse(f"the history can't be read: {error}\n", status_code=503)


class _Events(StreamingResponse):
    """Counts as a listener from its first step, so that pages which open at the same moment keep the limit."""

    def __init__(self, stream: Stream, language: Language, headers: dict[str, str]) -> None:
        super().__init__(stream.events(language), media_type="text/event-stream", headers=headers)
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
    """Whether a Host header holds an address or a known name. An address can't be pointed elsewhere."""
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
