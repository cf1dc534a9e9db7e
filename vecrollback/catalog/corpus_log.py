"""The head of the log and the tombstones: what makes a write acknowledged and a delete final.

With the digests of the files that hold each Lance table, so that a changed byte is found: Lance keeps none of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import corpus, earlier, file, tombstone
from vecrollback.errors import HeadMovedError
from vecrollback.records import CorpusState, EarlierState

CORPUS = "documents"
"""Owner of the corpus's files, and the name of its table."""

EARLIER = "earlier"
"""The same of what documents were before."""


class CorpusLog:
    """One row for the head of the corpus; one row per document ever deleted, with the seq of its last delete."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self) -> CorpusState:
        with self._database.read() as connection:
            return _state(connection)

    def commit(
        self,
        state: CorpusState,
        deleted: Iterable[tuple[str, int]] = (),
        files: Mapping[str, str] | None = None,
        *,
        expected: CorpusState,
        earlier_version: int | None = None,
        earlier_files: Mapping[str, str] | None = None,
    ) -> None:
        """Acknowledge the log up to `state.head`, the deletes (id, seq) in it and its new files, in one transaction.

        With them the version of the table of earlier documents that holds what the changes superseded, and its files.

        Raises HeadMovedError when the log is not as `expected`: the writer's lock was lost, and another one wrote.
        """
        at = now()
        rows = [{"id": id_, "seq": seq, "at": at} for id_, seq in deleted]
        statement = self._database.insert(tombstone)
        newest = {"seq": statement.excluded.seq, "at": statement.excluded.at}
        with self._database.write(wakes=True) as connection:
            current = _state(connection)
            if current != expected:
                raise HeadMovedError(CORPUS, expected=expected, found=current)
            if rows:
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=newest), rows)
            values = {"head": state.head, "version": state.version, "documents": state.documents}
            connection.execute(corpus.update().values(**values))
            record_files(self._database, connection, CORPUS, files or {})
            if earlier_version is not None:
                connection.execute(earlier.update().values(version=earlier_version))
                record_files(self._database, connection, EARLIER, earlier_files or {})

    def earlier(self) -> EarlierState:
        """Which version of the table of earlier documents counts, and how far back it reaches."""
        with self._database.read() as connection:
            return _earlier(connection)

    def name_earlier(self, state: EarlierState, files: Mapping[str, str], *, expected: EarlierState) -> None:
        """Acknowledge another version of that table with the same changes in it. Raises HeadMovedError."""
        with self._database.write() as connection:
            if (current := _earlier(connection)) != expected:
                raise HeadMovedError(EARLIER, expected=expected, found=current)
            connection.execute(earlier.update().values(version=state.version, floor=state.floor))
            record_files(self._database, connection, EARLIER, files)

    def tombstones(self, after: int = 0) -> dict[str, int]:
        """Ids deleted at a seq greater than `after`, and that seq. Vectors of a smaller seq are never served."""
        with self._database.read() as connection:
            return _tombstones(connection, after)

    def standing(self) -> tuple[CorpusState, dict[str, int]]:
        """State and tombstones of one moment; of two moments, a delete in between would look like a lost vector."""
        with self._database.read() as connection:
            return _state(connection), _tombstones(connection)


def _earlier(connection: sa.Connection) -> EarlierState:
    return EarlierState(*connection.execute(sa.select(earlier.c.version, earlier.c.floor)).one())


def _state(connection: sa.Connection) -> CorpusState:
    return CorpusState(*connection.execute(sa.select(corpus.c.head, corpus.c.version, corpus.c.documents)).one())


def _tombstones(connection: sa.Connection, after: int = 0) -> dict[str, int]:
    query = sa.select(tombstone.c.id, tombstone.c.seq).where(tombstone.c.seq > after)
    return {row.id: row.seq for row in connection.execute(query)}


_DIGESTS = sa.select(file.c.path, file.c.sha256)
_MOST_NAMED = 200


class FileDigests:
    """Digests by owner (a table's name) and path inside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, owner: str, paths: Sequence[str] | None = None) -> dict[str, str]:
        """Path -> SHA-256 of every file that was recorded, or of those of these that were."""
        query = _DIGESTS.where(file.c.owner == owner)
        if paths is not None and len(paths) <= _MOST_NAMED:  # else all are read sooner
            query = query.where(file.c.path.in_(paths))
        with self._database.read() as connection:
            rows: Sequence[Any] = connection.execute(query).all()
            return dict(rows)

    def keep_only(self, owner: str, paths: set[str]) -> None:
        """Forget files that the table no longer consists of."""
        obsolete = [{"gone": path} for path in self.of(owner) if path not in paths]
        if obsolete:
            statement = file.delete().where(file.c.owner == owner, file.c.path == sa.bindparam("gone"))
            with self._database.write() as connection:
                connection.execute(statement, obsolete)


def record_files(database: Database, connection: sa.Connection, owner: str, files: Mapping[str, str]) -> None:
    """Record digests inside the transaction that acknowledges the files."""
    if files:
        statement = database.insert(file)
        rows = [{"owner": owner, "path": path, "sha256": digest} for path, digest in files.items()]
        newest = {"sha256": statement.excluded.sha256}
        connection.execute(statement.on_conflict_do_update(index_elements=["owner", "path"], set_=newest), rows)
