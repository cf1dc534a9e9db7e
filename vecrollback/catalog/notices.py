"""The outbox: messages to people, kept until each was delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import notice
from vecrollback.records import Json, Notice, NoticeState


class Notices:
    """Rows of notices, one for each message and channel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, channels: Iterable[str], body: Mapping[str, Json], *, due: float) -> None:
        """Keep a message for these channels. `due`: when to try first, in seconds since 1970."""
        rest = {"body": dict(body), "state": "waiting", "attempts": 0, "due": due, "error": "", "at": now()}
        rows = [{"channel": channel, **rest} for channel in channels]
        if rows:
            with self._database.write() as connection:
                connection.execute(notice.insert(), rows)

    def due(self, at: float, *, limit: int = 50) -> list[Notice]:
        """What is to be tried by now, the oldest first."""
        query = sa.select(notice).where(notice.c.state == "waiting", notice.c.due <= at)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(notice.c.number).limit(limit))
            return [Notice(**row._mapping) for row in rows]

    def tried(self, number: int, state: NoticeState, *, due: float, error: str = "") -> None:
        """Note one attempt and what came of it."""
        values = {"state": state, "due": due, "error": error, "attempts": notice.c.attempts + 1}
        with self._database.write() as connection:
            connection.execute(notice.update().where(notice.c.number == number).values(**values))

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Notice]:
        """Notices, newest first."""
        query = sa.select(notice).order_by(notice.c.number.desc()).limit(limit)
        if state is not None:
            query = query.where(notice.c.state == state)
        with self._database.read() as connection:
            return [Notice(**row._mapping) for row in connection.execute(query)]
