"""Who may use the HTTP API: tokens, their roles, and the record of what was changed with them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import get_args

from vecrollback.catalog import Catalog, now
from vecrollback.errors import UsageError
from vecrollback.records import AuditEntry, Role, Token

ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""

_PREFIX = "vr_"
"""So that scanners for leaked secrets know one when they see it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def reaches(role: Role, other: Role) -> bool:
    """Whether a role may do what `needed` may."""
    return ROLES.index(role) >= ROLES.index(other)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The tokens at one moment, to compare secrets with. `ever`: whether there was one at any time."""

    digests: tuple[tuple[str, Token], ...]
    ever: bool

    def find(self, secret: str) -> Token | None:
        """The token of a secret. Takes as long for a wrong one as for a right one."""
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

    def create(self, role: Role, name: str | None = None, *, actor: str) -> tuple[Token, str]:
        """A new token and its secret, which is shown this once: the catalog keeps its SHA-256."""
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
        token = Token(token_name, role, now(), actor)
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
        return TokenKeys(digests, ever=bool(digests) or bool(self.tokens()))

    def record(self, actor: str, action: str, subject: str) -> None:
        """Note a change before it is made: a crash in between leaves an entry too many, never a change without one."""
        self._catalog.audits.add(actor, action, subject)

    def audit(
        self, limit: int | None = None, *, actor: str | None = None, action: str | None = None, since: str | None = None
    ) -> list[AuditEntry]:
        """Changes other than pointer moves, newest first; those of the last 400 days.

        `action`: how it begins. `since`: ISO 8601, UTC.
        """
        return self._catalog.audits.all(limit, actor=actor, action=action, since=since)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
