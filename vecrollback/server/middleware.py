"""What every request passes before it reaches a route: size, origin, headers, and the line in the log."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecrollback.server.errors import TOO_LARGE, answer, unexpected
from vecrollback.server.settings import ServerSettings

_log = logging.getLogger("vecrollback.access_log")
_READS = ("/v1/search", "/v1/embed", "/v1/documents/get", "/v1/documents/list", "/v1/documents/count")
"""Reads that are sent like writes."""
_DIGITS = 15
_BODY_SECONDS = 60.0
"""For all of a body: who sends it drop by drop holds a connection, and whatever the route has taken by then."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""What a route sets itself stays as it is."""


class RequestGuard:
    """An ASGI middleware, written as one because Starlette's own base class costs more than a search."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        state = scope.setdefault("state", {})
        state["id"] = secrets.token_hex(8)

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                names = {name for name, _ in headers}
                own = [header for header in _HEADERS if header[0] not in names]
                message["headers"] = [*headers, (b"x-request-id", state["id"].encode()), *own]
            await send(message)

        try:
            refusal = self._refusal(scope["method"], Headers(scope=scope))
            if refusal is not None:
                hint = TOO_LARGE if refusal[0] == 413 else ""
                await answer(refusal[0], "RefusedError", refusal[1], hint)(scope, receive, marked)
            else:
                await self._app(scope, self._with_limit(receive), marked)
        except Exception as error:
            state["error"] = type(error).__name__
            _log.exception("request failed", extra={"request_id": state["id"]})
            if not status:  # else part of the answer is sent, and the connection has to break
                await unexpected(state["id"])(scope, receive, marked)
        finally:
            if self._worth_a_line(scope, status):
                _note(scope, status, time.perf_counter() - start)

    def _worth_a_line(self, scope: Scope, status: int) -> bool:
        # A read that went well is counted, not logged: at thousands a second the log would cost more than they do.
        is_read = scope["method"] in _SAFE or scope["path"] in _READS
        return status >= 400 or not is_read or self._settings.log_reads

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason, for what no route shall see."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > _DIGITS or int(length) > self._settings.max_body:
            return 413, f"the body is larger than {self._settings.max_body} bytes"
        host = headers.get("host", "")
        if self._settings.hosts and _without_port(host) not in self._settings.hosts:
            return 421, "this server does not go by that name; it serves this machine only"
        # A page on the web may send a form to any address its reader can reach; it cannot hide where it comes from.
        origin = headers.get("origin")
        if method not in _SAFE and origin is not None and _host_of(origin) != host:
            return 403, "pages of other origins may not change anything here"
        return None

    def _with_limit(self, receive: Receive) -> Receive:
        # Counted as it arrives: a chunked body has no `content-length` that could be refused before.
        size, whole = 0, False
        deadline = asyncio.get_running_loop().time() + _BODY_SECONDS

        async def bounded() -> Message:
            nonlocal size, whole
            if whole:  # from here on only the end of the connection is waited for
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not come within {_BODY_SECONDS:g} s") from None
            whole = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self._settings.max_body:
                raise HTTPException(413, f"the body is larger than {self._settings.max_body} bytes")
            return message

        return bounded


def _host_of(origin: str) -> str | None:
    """The host and port of an Origin; None where it is not valid, or names none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _note(scope: Scope, status: int, seconds: float) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    state = scope["state"]
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 2),
        "actor": state.get("actor"),
        "error": state.get("error"),
        "request_id": state["id"],
    }
    _log.info("request", extra={name: value for name, value in facts.items() if value is not None})
