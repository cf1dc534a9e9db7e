"""Who calls over HTTP, by the store's own tokens and roles; the rules are those of `vecrollback serve`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecrollback.errors import OverloadedError, UnknownCallerError
from vecrollback.records import Role
from vecrollback.store.store import Store
from vecrollback.store.wrong_tokens import WrongTokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """Who asked, by the name that goes into the history."""

    name: str
    role: Role


class Callers:
    """Tells a caller by the token. `anonymous`: while the store never had a token, whoever comes may do everything."""

    def __init__(self, store: Store, *, anonymous: bool) -> None:
        self._store, self._anonymous = store, anonymous

    def identify(self, authorization: str | None) -> AgentCaller:
        """The caller of a request, by its header. Over stdio there is none: it is who started the process.

        Raises UnknownCallerError.
        """
        if self._anonymous and authorization is None:
            return AgentCaller(self._store.actor, "admin")
        scheme, _, secret = (authorization or "").partition(" ")
        access = self._store.access
        token = access.keys().find(secret if scheme.lower() == "bearer" else None)
        if access.use_is_due(token.name):
            access.note_use(token.name)
        return AgentCaller(token.name, token.role)


class TokenGate:
    """Lets no request in without a token that opens the store."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app, self._callers, self._wrong_tokens = app, callers, WrongTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from anyio.to_thread import run_sync
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        if scope["type"] == "http":
            authorization = Headers(scope=scope).get("authorization")
            try:
                await run_sync(self._callers.identify, authorization)
            except UnknownCallerError as error:
                if authorization:
                    with contextlib.suppress(OverloadedError):  # nothing waits for it: it is answered at once
                        await self._wrong_tokens.hold_up((scope.get("client") or ("", 0))[0])
                body = {"error": {"type": "UnknownCallerError", "message": error.message, "hint": error.hint}}
                await JSONResponse(body, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)
