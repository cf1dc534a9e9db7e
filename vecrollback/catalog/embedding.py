"""What could not be embedded, and by which backend the rest was."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import making, unembedded
from vecrollback.records import Json, Made, Unembedded


class Embedding:
    """Rows of documents that a pair's model cannot embed, and of what made the vectors that there are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give_up(self, new: Sequence[Unembedded]) -> None:
        """Record documents without vectors, durably, before the watermark passes them."""
        if not new:
            return
        columns = [column.name for column in unembedded.c]
        with self._database.write() as connection:
            for one in new:
                values = {name: getattr(one, name) for name in columns} | {"at": now()}
                statement = self._database.insert(unembedded).values(**values)
                keys = ["pair", "document", "seq"]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))

    def made_good(self, pair: str, documents: Sequence[tuple[str, int]]) -> None:
        """Forget records of documents, by id and seq, that have vectors by now."""
        with self._database.write() as connection:
            for document, seq in documents:
                same = (unembedded.c.pair == pair, unembedded.c.document == document, unembedded.c.seq == seq)
                connection.execute(unembedded.delete().where(*same))

    def without(self, *, pair: str | None = None, job: str | None = None) -> list[Unembedded]:
        """Documents that were given up, of a pair or by a job, in the order of their ids."""
        query = sa.select(unembedded).order_by(unembedded.c.document, unembedded.c.seq)
        if pair is not None:
            query = query.where(unembedded.c.pair == pair)
        if job is not None:
            query = query.where(unembedded.c.job == job)
        with self._database.read() as connection:
            return [Unembedded(**row._mapping) for row in connection.execute(query)]

    def begin(self, pair: str, job: str, backend: str, facts: dict[str, Json], *, after: int) -> int:
        """Record what embeds the batches after this one; returns the record's number."""
        values = {"pair": pair, "job": job, "backend": backend, "body": facts, "first": after + 1, "last": after}
        with self._database.write() as connection:
            return int(connection.scalar(making.insert().values(**values, at=now()).returning(making.c.number)) or 0)

    def reached(self, number: int, last: int) -> None:
        """Record how far that went."""
        with self._database.write() as connection:
            connection.execute(making.update().where(making.c.number == number).values(last=last))

    def made(self, pair: str) -> list[Made]:
        """What made a pair's vectors, oldest first."""
        query = sa.select(making).where(making.c.pair == pair).order_by(making.c.number)
        with self._database.read() as connection:
            return [Made(**row._mapping) for row in connection.execute(query)]
