"""Serving processes: who follows an alias, and which move each of them has applied."""

from __future__ import annotations

import os
import socket

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import searcher
from vecrollback.records import SearcherRecord

ALIVE_SECONDS = 5.0
"""A searcher whose last heartbeat is older is taken for dead."""
_FORGOTTEN_SECONDS = 3600.0


class Searchers:
    """Rows of searchers, each written by the process it stands for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def announce(self, new: SearcherRecord) -> None:
        """Write a searcher's row: what it has applied, what it holds open, that it is alive."""
        values = {
            "alias": new.alias,
            "host": new.host,
            "pid": new.pid,
            "epoch": new.epoch,
            "warm": list(new.warm),
            "heartbeat": self._database.clock(),
        }
        statement = self._database.insert(searcher).values(id=new.id, **values)
        with self._database.note() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))

    def leave(self, id_: str) -> None:
        """Remove a searcher that ends, and those of any host that are silent for an hour: they were killed."""
        long_gone = searcher.c.heartbeat < self._database.clock() - _FORGOTTEN_SECONDS
        with self._database.note() as connection:
            connection.execute(searcher.delete().where(sa.or_(searcher.c.id == id_, long_gone)))

    def registered(self, alias: str) -> list[SearcherRecord]:
        """Searchers that follow the alias, but for those of this host whose process is gone. They may hang."""
        with self._database.read() as connection:
            return self._select(connection, searcher.c.alias == alias)

    def alive(self, alias: str) -> list[SearcherRecord]:
        """Registered searchers with a fresh heartbeat."""
        with self._database.read() as connection:
            return self.alive_in(connection, alias)

    def alive_in(self, connection: sa.Connection, alias: str) -> list[SearcherRecord]:
        """The same, inside a transaction."""
        recent = searcher.c.heartbeat > self._database.clock() - ALIVE_SECONDS
        return self._select(connection, searcher.c.alias == alias, recent)

    def _select(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[SearcherRecord]:
        query = sa.select(searcher).where(*conditions)
        rows = [SearcherRecord(**(dict(row._mapping) | {"warm": tuple(row.warm)})) for row in connection.execute(query)]
        here = socket.gethostname()
        # A killed process of this host is known to be dead at once, without waiting for its heartbeat to age.
        return [r for r in rows if r.host != here or _process_exists(r.pid)]


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
