"""Tokens of the HTTP API, by their digests, and what was changed with them."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import audit, token
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.records import AuditEntry, Token

_SHOWN = [column for column in token.c if column is not token.c.sha256]


class TokenDigests:
    """Rows of tokens. A revoked one keeps its row, so that a name in the history stays one person's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Token, sha256: str) -> None:
        """Raises UsageError for a name that is taken, also by a revoked token."""
        row = {name: value for name, value in asdict(new).items() if value is not None}
        with self._database.write() as connection:
            if connection.scalar(sa.select(token.c.name).where(token.c.name == new.name)) is not None:
                raise UsageError(
                    f"there is or was a token named {new.name!r}",
                    hint="take another name: the history tells people apart by it",
                )
            connection.execute(token.insert().values(**row, sha256=sha256))

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(*_SHOWN).order_by(token.c.created_at))
            return [Token(**row._mapping) for row in rows]

    def clock(self) -> float:
        """Seconds since 1970 by the database's clock: where hosts disagree, a token ends for all of them at once."""
        with self._database.read() as connection:
            return float(connection.scalar(sa.select(self._database.clock())) or 0.0)

    def note_use(self, name: str) -> None:
        """Write down that a token was used just now. Not synced: a power loss may take the note."""
        used = token.update().where(token.c.name == name).values(last_used_at=now())
        with self._database.note() as connection:
            connection.execute(used)

    def digests(self) -> list[tuple[str, Token]]:
        """SHA-256 and token, of those that were not revoked; expired ones too."""
        query = sa.select(token.c.sha256, *_SHOWN).where(token.c.revoked_at.is_(None))
        with self._database.read() as connection:
            return [(row.sha256, Token(*row[1:])) for row in connection.execute(query)]

    def revoke(self, name: str) -> Token:
        """Raises UnknownNameError. Idempotent: the first time stands."""
        with self._database.write(witnessed=False) as connection:
            active = sa.and_(token.c.name == name, token.c.revoked_at.is_(None))
            connection.execute(token.update().where(active).values(revoked_at=now()))
            row = connection.execute(sa.select(*_SHOWN).where(token.c.name == name)).one_or_none()
        if row is None:
            raise UnknownNameError(
                f"token {name!r} does not exist", hint="`vecrollback token list` shows those that are"
            )
        return Token(**row._mapping)


class AuditLog:
    """What somebody changed, pointer moves excepted: those are in the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: str, action: str, subject: str) -> None:
        row = {"at": now(), "actor": actor, "action": action, "subject": subject}
        with self._database.write(witnessed=False) as connection:
            connection.execute(audit.insert().values(**row))

    def all(
        self, limit: int | None = None, *, actor: str | None = None, action: str | None = None, since: str | None = None
    ) -> list[AuditEntry]:
        """Entries, newest first. `action`: how it begins, so that `token` finds every change of one."""
        query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
        if actor is not None:
            query = query.where(audit.c.actor == actor)
        if action is not None:
            query = query.where(audit.c.action.startswith(action, autoescape=True))
        if since is not None:
            query = query.where(audit.c.at >= since)
        with self._database.read() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query)]
