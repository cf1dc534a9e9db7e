"""Who is asking: bearer tokens, and what each role may do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from vecrollback.errors import AccessDeniedError, CatalogUnavailableError, OverloadedError, UnknownCallerError
from vecrollback.records import Role
from vecrollback.serving.thread_pools import ThreadPool
from vecrollback.store.tokens import TokenKeys, Tokens, reaches
from vecrollback.store.wrong_tokens import WrongTokens

_log = logging.getLogger(__name__)
_FRESH_SECONDS = 1.0
"""A revoked token opens nothing after this long. Reading the catalog for every request can cost more than a query."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, by the name that goes into the history."""

    name: str
    role: Role


class Authenticator:
    """Tells a caller by the token. Tokens are read once a second, and kept while the catalog cannot be read.

    `writes`: the threads on which it is noted that a token was used.
    """

    def __init__(self, access: Tokens, threads: ThreadPool, writes: ThreadPool, *, anonymous: str | None) -> None:
        self._access, self._threads, self._writes, self._anonymous = access, threads, writes, anonymous
        self._wrong_tokens = WrongTokens()
        self._keys: TokenKeys | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[TokenKeys] | None = None
        self._noting: asyncio.Task[None] | None = None

    async def identify(self, secret: str | None, address: str) -> Caller:
        """Raises UnknownCallerError, for a wrong token after a while."""
        keys = self._keys
        if keys is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
            keys = await self._read()
        if self._anonymous is not None and not keys.ever:
            return Caller(self._anonymous, "admin")
        try:
            token = keys.find(secret)
        except UnknownCallerError:
            if secret:
                await self._wrong_tokens.hold_up(address)
            raise
        if self._access.use_is_due(token.name):
            self._noting = asyncio.create_task(self._note_use(token.name))
        return Caller(token.name, token.role)

    async def _note_use(self, name: str) -> None:
        with contextlib.suppress(OverloadedError):
            await self._writes.run(self._access.note_use, name)

    async def _read(self) -> TokenKeys:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_once())
        return await asyncio.shield(self._reading)

    async def _read_once(self) -> TokenKeys:
        try:
            self._keys = await self._threads.run(self._access.keys)
        except CatalogUnavailableError as error:
            if self._keys is None:
                raise
            _log.warning("tokens cannot be read, the last known ones count: %s", error)
        self._read_at = time.monotonic()
        return self._keys


class Needs(HTTPBearer):
    """A dependency that lets callers of a role in, and those of higher ones.

    It is the security scheme too, not a dependency on one: FastAPI takes its time for each of them.
    """

    def __init__(self, role: Role) -> None:
        description = "A token made by `vecrollback token create`."
        super().__init__(auto_error=False, scheme_name="Token", description=description)
        self._role: Role = role

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        callers: Authenticator = request.app.state.service.callers
        credentials = await super().__call__(request)
        address = request.client.host if request.client else ""
        caller = await callers.identify(credentials.credentials if credentials else None, address)
        request.state.actor = caller.name
        if not reaches(caller.role, self._role):
            raise AccessDeniedError(
                f"token {caller.name!r} has the role {caller.role}; this needs {self._role}",
                hint=f"`vecrollback token create --role {self._role}`",
            )
        return caller


Reading = Annotated[Caller, Depends(Needs("reader"))]
Writing = Annotated[Caller, Depends(Needs("writer"))]
Operating = Annotated[Caller, Depends(Needs("operator"))]
Administering = Annotated[Caller, Depends(Needs("admin"))]
