"""The HTTP server: pages, events, history. It only reads, and only answers GET and HEAD."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Optional

from aiohttp import web

from hrd.errors import HrdError
from hrd.watch.model import csv_lines
from hrd.web.guard import COOKIE, Guard, Listen, Rates
from hrd.web.hub import Hub
from hrd.web.patience import Entrance, Patience
from hrd.words import REASONS, STATES

PAGES: Dict[str, str] = {
    "/": "index.html",
    "/overlay": "overlay.html",
    "/style.css": "style.css",
    "/overlay.css": "overlay.css",
    "/hrd.js": "hrd.js",
    "/overlay.js": "overlay.js",
    "/flow.js": "flow.js",
    "/icon.svg": "icon.svg",
}
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_SHOWN_S = 600.0
_LINE_BYTES = 2048  # of a request line, and of a header
_SPARE_CONNECTIONS = 64  # beside those that carry events
_CONNECTIONS_OF_ONE = 32  # address of a network; a browser opens six
_CSV_ROWS = 2000  # written at a time
_COOKIE_S = 30 * 24 * 3600

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """Everything that is answered. ``viewers``: how many may have a page open at once;
    ``patience``: how long a connection may ask for nothing."""

    def __init__(
        self, hub: Hub, guard: Guard, viewers: int = 64, patience: Optional[Patience] = None
    ) -> None:
        self.patience = patience or Patience()
        self._hub = hub
        self._guard = guard
        self._viewers = viewers
        self._requests = Rates(per_s=20.0, burst=400.0 if guard.loopback else 60.0)
        self._wrong_tokens = Rates(per_s=0.1, burst=10.0)
        folder = Path(__file__).parent / "static"
        self._files = {
            path: ((folder / name).read_bytes(), _TYPES[Path(name).suffix])
            for path, name in PAGES.items()
        }
        self.connections = viewers + _SPARE_CONNECTIONS
        self.connections_of_one = self.connections if guard.loopback else _CONNECTIONS_OF_ONE
        self.app = web.Application(middlewares=[self._check], client_max_size=1)
        for path in PAGES:
            self.app.router.add_get(path, self._file)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_get("/recent.json", self._recent)
        self.app.router.add_get("/words.json", self._words)
        self.app.router.add_get("/history.csv", self._history)
        self.app.on_response_prepare.append(_add_headers)

    # Who may look.

    @web.middleware
    async def _check(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("closed before its request was read")
        self.patience.hold(transport)
        try:
            return await self._answer(request, handler)
        finally:
            self.patience.begin(transport)

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        address = request.remote or ""
        if not self._requests.take(address):
            return _refused(429, "Too many requests: wait a little.")
        if request.method not in ("GET", "HEAD"):
            return _refused(405, "There is nothing here that could be changed.")
        if request.body_exists:
            return _refused(413, "A request needs no body here.")
        refusal = self._guard.refusal(
            request.headers.get("Host", ""),
            request.headers.get("Origin"),
            request.headers.get("Sec-Fetch-Site"),
            request.headers.get("Sec-Fetch-Mode") == "navigate",
        )
        if refusal is not None:
            return _refused(*refusal)
        if self._guard.token is not None:
            answer = self._ask_token(request, address)
            if answer is not None:
                return answer
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refused(error.status, f"{error.reason}.")

    def _ask_token(self, request: web.Request, address: str) -> Optional[web.Response]:
        """None if the request brings the token; else the answer."""
        in_address = request.query.get("token")
        bearer = request.headers.get("Authorization", "").partition("Bearer ")[2]
        given = in_address or bearer or request.cookies.get(COOKIE)
        if self._guard.admits(given):
            if in_address is None:
                return None
            # out of the address at once: it would stay in the history and in screenshots
            answer = web.Response(status=303, headers={"Location": request.path})
            answer.set_cookie(
                COOKIE, in_address, max_age=_COOKIE_S, httponly=True, samesite="Strict", path="/"
            )
            return answer
        if given is not None and not self._wrong_tokens.take(address):
            return _refused(429, "Too many wrong tokens: wait a minute.")
        return _refused(401, "Open the address that hrd web has printed: it holds the token.")

    # What there is.

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _words(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "states": STATES,
                "reasons": {
                    name: {"short": why.short.partition(":")[0], "remedy": why.remedy}
                    for name, why in REASONS.items()
                },
            }
        )

    async def _recent(self, request: web.Request) -> web.Response:
        """The last ten minutes: [Unix time, bpm or null] for each reading."""
        rates = self._hub.history.rates(time.time() - _SHOWN_S)
        return web.json_response({"span_s": _SHOWN_S, "rates": rates})

    async def _history(self, request: web.Request) -> web.StreamResponse:
        """Every reading that is kept, as a table."""
        readings = list(self._hub.history.readings())
        name = time.strftime("hrd-%Y%m%d-%H%M%S.csv")
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": f'attachment; filename="{name}"',
            }
        )
        with contextlib.suppress(ConnectionError):  # who asked has gone
            await answer.prepare(request)
            header, *_ = csv_lines([])
            await answer.write(f"{header}\n".encode())
            for start in range(0, len(readings), _CSV_ROWS):
                rows = csv_lines(readings[start : start + _CSV_ROWS])[1:]
                await answer.write(("\n".join(rows) + "\n").encode())
            await answer.write_eof()
        return answer

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The daemon's lines as server-sent events; with ``?setup=1`` SETUP as well."""
        if len(self._hub.viewers) >= self._viewers:
            return _refused(503, f"{self._viewers} pages are open already: close one.")
        answer = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        transport = request.transport
        viewer = self._hub.join(
            lambda: transport.abort() if transport is not None else None,
            setup=request.query.get("setup") == "1",
        )
        try:
            await answer.prepare(request)
            await answer.write(b"retry: 1000\n\n")
            async for data in viewer:
                await answer.write(data)
        except ConnectionError:
            pass  # closed by the browser
        finally:
            self._hub.leave(viewer)
        return answer


async def _add_headers(request: web.Request, answer: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        answer.headers[name] = value
    answer.headers.pop("Server", None)


def _refused(status: int, why: str) -> web.Response:
    answer = web.Response(status=status, text=f"{why}\n")
    answer.force_close()
    return answer


@contextlib.asynccontextmanager
async def serving(site: Site, listen: Listen) -> AsyncIterator[int]:
    """Answer on ``listen`` while the block runs; gives the port. Raises ``HrdError``."""
    runner = web.AppRunner(
        site.app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=15.0,
        max_line_size=_LINE_BYTES,
        max_field_size=_LINE_BYTES,
    )
    await runner.setup()
    server: Any = runner.server

    def answering(transport: Any) -> asyncio.Protocol:
        host = _host(transport)
        others = [one.transport for one in server.connections]
        if len(others) >= site.connections:
            return _Full()
        if sum(_host(one) == host for one in others) >= site.connections_of_one:
            return _Full()
        made: asyncio.Protocol = server()
        return made

    try:
        try:
            listening = await asyncio.get_event_loop().create_server(
                lambda: Entrance(site.patience, answering), listen.host, listen.port, backlog=64
            )
        except OSError as error:
            raise HrdError(
                f"cannot listen on {listen.host}:{listen.port} ({error.strerror or error}): "
                "choose another port with --listen"
            ) from None
        try:
            sock: socket.socket = listening.sockets[0]
            yield int(sock.getsockname()[1])
        finally:
            listening.close()
    finally:
        await runner.cleanup()
        site.patience.close()


def _host(transport: Any) -> object:
    """The address at the other end; None where there is none any more."""
    return (transport.get_extra_info("peername") or (None,))[0] if transport is not None else None


class _Full(asyncio.Protocol):
    """For a connection too many: closed at once."""

    def connection_made(self, transport: Any) -> None:
        transport.close()
