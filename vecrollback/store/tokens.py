"""Who may use the HTTP API: tokens, their roles, and the record of what was changed with them."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import logging
import re
import secrets
import time
from dataclasses import dataclass
from typing import get_args

from vecrollback.catalog import Catalog, as_kept, now
from vecrollback.errors import CatalogUnavailableError, UnknownCallerError, UsageError
from vecrollback.records import AuditEntry, Role, Token
from vecrollback.records.times import read_time

ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""

_PREFIX = "vr_"
"""So that scanners for leaked secrets know one when they see it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_USE_SECONDS = 60.0
"""A token's last use is written this often at most: a write for every request would cost more than the request."""
_HINT = "send `Authorization: Bearer TOKEN`; `vecrollback token create --role ROLE` makes one"
_log = logging.getLogger(__name__)


def reaches(role: Role, other: Role) -> bool:
    """Whether a role may do what `needed` may."""
    return ROLES.index(role) >= ROLES.index(other)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The tokens at one moment, to compare secrets with. `ever`: whether there was one at any time.

    `ahead`: seconds that the catalog's clock, which says when one expires, is ahead of this machine's.
    """

    digests: tuple[tuple[str, Token], ...]
    ever: bool
    ahead: float = 0.0

    @property
    def open_any(self) -> bool:
        """Whether one of them opens something now."""
        return any(not self._is_over(token) for _, token in self.digests)

    def find(self, secret: str | None) -> Token:
        """The token of a secret. Takes as long for a wrong one as for a right one.

        Raises UnknownCallerError: there is no such token, or it has expired.
        """
        if not secret:
            raise UnknownCallerError("no token was given", hint=_HINT)
        token = self._match(secret)
        if token is None:
            raise UnknownCallerError("this token is unknown or was revoked", hint=_HINT)
        if self._is_over(token):
            raise UnknownCallerError(f"the token {token.name!r} expired at {token.expires_at}", hint=_HINT)
        return token

    def _is_over(self, token: Token) -> bool:
        if token.expires_at is None:
            return False
        return time.time() + self.ahead >= dt.datetime.fromisoformat(token.expires_at).timestamp()

    def _match(self, secret: str) -> Token | None:
        digest_of_secret = _digest(secret)
        match = None
        # No early return: the time must not tell how many tokens come before the right one.
        for digest, token in self.digests:
            if hmac.compare_digest(digest, digest_of_secret):
                match = token
        return match


class Tokens:
    """Makes, lists and revokes tokens; keeps account of changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._noted: dict[str, float] = {}

    def create(
        self, role: Role, name: str | None = None, *, actor: str, expires: str | None = None
    ) -> tuple[Token, str]:
        """A new token and its secret, which is shown this once: the catalog keeps its SHA-256.

        `expires`: when it ends, as "90d" or ISO 8601, UTC unless it says otherwise; None: when it is revoked.
        Raises UsageError.
        """
        if role not in ROLES:
            raise UsageError(f"{role!r} is not a valid role", hint=f"use one of {', '.join(ROLES)}")
        token_name = f"{role}-{secrets.token_hex(4)}" if name is None else name
        if not _NAME.fullmatch(token_name):
            raise UsageError(
                f"a token cannot be named {token_name!r}",
                hint="1 to 64 letters, digits, dots, dashes, underscores or @; it starts with a letter or digit",
            )
        # 256 random bits need no slow hash: nobody can try them all, and every request computes it.
        secret = _PREFIX + secrets.token_urlsafe(32)
        token = Token(token_name, role, now(), actor, expires_at=self._end(expires) if expires is not None else None)
        self.record(actor, "token.create", f"{token_name} ({role})")
        self._catalog.tokens.add(token, _digest(secret))
        return token, secret

    def tokens(self) -> list[Token]:
        """Every token, revoked ones too, oldest first."""
        return self._catalog.tokens.all()

    def revoke(self, name: str, *, actor: str) -> Token:
        """Let a token open nothing any more. Raises UnknownNameError."""
        self.record(actor, "token.revoke", name)
        return self._catalog.tokens.revoke(name)

    def keys(self) -> TokenKeys:
        """The tokens as they are now."""
        digests = tuple(self._catalog.tokens.digests())
        ahead = self._catalog.tokens.clock() - time.time() if any(token.expires_at for _, token in digests) else 0.0
        return TokenKeys(digests, ever=bool(digests) or bool(self.tokens()), ahead=ahead)

    def use_is_due(self, name: str) -> bool:
        """Whether it is time to note that a token was used; from then on it is not, for a minute."""
        time_now = time.monotonic()
        if time_now - self._noted.get(name, -_USE_SECONDS) < _USE_SECONDS:
            return False
        self._noted[name] = time_now
        return True

    def note_use(self, name: str) -> None:
        """Write down that a token was used just now. A catalog that cannot be written keeps nobody out."""
        try:
            self._catalog.tokens.note_use(name)
        except CatalogUnavailableError as error:
            _log.debug("that %s was used cannot be noted: %s", name, error)

    def _end(self, text: str) -> str:
        """When a token ends, by the catalog's clock. Raises UsageError."""
        present = dt.datetime.fromtimestamp(self._catalog.tokens.clock(), dt.UTC)
        end = read_time(text, present=present, ahead=True)
        if end <= present:
            raise UsageError(f"{text!r} is over already", hint="a token expires in the future")
        return end.isoformat(timespec="microseconds")

    def record(self, actor: str, action: str, subject: str) -> None:
        """Note a change before it is made: a crash in between leaves an entry too many, never a change without one."""
        self._catalog.audits.add(actor, action, subject)

    def audit(
        self, limit: int | None = None, *, actor: str | None = None, action: str | None = None, since: str | None = None
    ) -> list[AuditEntry]:
        """Changes other than pointer moves, newest first; those of the last 400 days.

        `action`: how it begins. `since`: ISO 8601, UTC unless it says otherwise, or how long ago, as 7d.
        """
        start = as_kept(read_time(since)) if since else None
        return self._catalog.audits.all(limit, actor=actor, action=action, since=start)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
