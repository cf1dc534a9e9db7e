"""Who is asking: bearer tokens, and what each role may do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from vecrollback.access import Access, Keys, reaches
from vecrollback.errors import AccessDeniedError, CatalogUnavailableError, UnknownCallerError
from vecrollback.records import Role
from vecrollback.server.lanes import Lane

_log = logging.getLogger(__name__)
_FRESH_SECONDS = 1.0
"""A revoked token opens nothing after this long. Reading the catalog for every request can cost more than a query."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, by the name that goes into the history."""

    name: str
    role: Role


class Callers:
    """Tells a caller by the token. Tokens are read once a second, and kept while the catalog cannot be read."""

    def __init__(self, access: Access, lane: Lane, *, anonymous: str | None) -> None:
        self._access, self._lane, self._anonymous = access, lane, anonymous
        self._keys: Keys | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[Keys] | None = None

    async def identify(self, secret: str | None) -> Caller:
        """Raises UnknownCallerError."""
        keys = self._keys
        if keys is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
            keys = await self._read()
        if self._anonymous is not None and not keys.ever:
            return Caller(self._anonymous, "admin")
        token = keys.find(secret) if secret else None
        if token is None:
            raise UnknownCallerError(
                "this token is unknown or was revoked" if secret else "no token was given",
                hint="send `Authorization: Bearer TOKEN`; `vecrollback token create --role ROLE` makes one",
            )
        return Caller(token.name, token.role)

    async def _read(self) -> Keys:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_once())
        return await asyncio.shield(self._reading)

    async def _read_once(self) -> Keys:
        try:
            self._keys = await self._lane.run(self._access.keys)
        except CatalogUnavailableError as error:
            if self._keys is None:
                raise
            _log.warning("tokens cannot be read, the last known ones count: %s", error)
        self._read_at = time.monotonic()
        return self._keys


_bearer = HTTPBearer(auto_error=False, description="A token made by `vecrollback token create`.")


def needs(role: Role) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets callers of this role in, and those of higher ones."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> Caller:
        callers: Callers = request.app.state.service.callers
        caller = await callers.identify(credentials.credentials if credentials else None)
        request.state.actor = caller.name
        if not reaches(caller.role, role):
            raise AccessDeniedError(
                f"token {caller.name!r} has the role {caller.role}; this needs {role}",
                hint=f"`vecrollback token create --role {role}`",
            )
        return caller

    return check


Reading = Annotated[Caller, Depends(needs("reader"))]
Writing = Annotated[Caller, Depends(needs("writer"))]
Operating = Annotated[Caller, Depends(needs("operator"))]
Administering = Annotated[Caller, Depends(needs("admin"))]
