"""What searchers say they answered. Never in the way of anything: a write that has to wait is given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import served, stale_read

# Counts may be lost; a move must not wait for them.
_BRIEF_MS = 200


class AnswerTotals(NamedTuple):
    """Answers of some epochs: how many, by how many searchers, between which times (seconds since 1970)."""

    answers: int
    searchers: int
    since: float | None
    until: float | None


def canary_alias(pair: str) -> str:
    """The name under which answers are counted that a pair gave to callers while it was tried."""
    return f"canary:{pair}"


class AnswerTable:
    """How many queries each searcher answered in each epoch. Written by the searchers, about once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, searcher: str, alias: str, counts: Iterable[tuple[int, int, float, float]]) -> None:
        """Write what a searcher has answered so far: (epoch, answers, first, last) in seconds since 1970."""
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            for epoch, answers, first, last in counts:
                # The column was named before searchers were: a stored name stays.
                values = {"alias": alias, "answers": answers, "first_at": first, "last_at": last}
                statement = self._database.insert(served).values(reader=searcher, epoch=epoch, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["reader", "epoch"], set_=values))

    def between(self, alias: str, first: int, last: int) -> AnswerTotals:
        """What all searchers of an alias answered in the epochs `first` to `last`."""
        query = sa.select(
            sa.func.coalesce(sa.func.sum(served.c.answers), 0),
            sa.func.count(served.c.reader.distinct()),
            sa.func.min(served.c.first_at),
            sa.func.max(served.c.last_at),
        ).where(served.c.alias == alias, served.c.epoch.between(first, last), served.c.answers > 0)
        with self._database.read() as connection:
            answers, searchers, since, until = connection.execute(query).one()
        return AnswerTotals(int(answers), int(searchers), since, until)

    def forget(self, before: float) -> None:
        """Drop counts whose last answer is older than `before`, in seconds since 1970."""
        with self._database.write() as connection:
            connection.execute(served.delete().where(served.c.last_at < before))


class StaleAnswerTable:
    """How often documents were answered from vectors older than their text, by pair: says what to mend first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, pair: str, reads: Mapping[str, int]) -> None:
        """Add what a searcher has counted since its last report: document -> answers that held it."""
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            for document in sorted(reads):  # two searchers that lock rows in one order do not lock each other out
                statement = self._database.insert(stale_read).values(
                    pair=pair, document=document, reads=reads[document]
                )
                more = {"reads": stale_read.c.reads + statement.excluded.reads}
                connection.execute(statement.on_conflict_do_update(index_elements=["pair", "document"], set_=more))

    def most(self, pair: str, count: int) -> list[str]:
        """The documents that were read most, at most so many; most first."""
        query = sa.select(stale_read.c.document).where(stale_read.c.pair == pair)
        with self._database.read() as connection:
            ranking = query.order_by(stale_read.c.reads.desc(), stale_read.c.document).limit(count)
            return list(connection.scalars(ranking))

    def counts(self, pair: str) -> dict[str, int]:
        """Document -> answers that held it with an outdated vector; most first."""
        query = sa.select(stale_read.c.document, stale_read.c.reads).where(stale_read.c.pair == pair)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(stale_read.c.reads.desc(), stale_read.c.document))
            return {row.document: row.reads for row in rows}

    def forget(self, pair: str, documents: Sequence[str] | None = None) -> None:
        """Drop the counts of these documents, which have new vectors; without any named, of all."""
        mine = stale_read.c.pair == pair
        with self._database.write() as connection:
            if documents is None:
                connection.execute(stale_read.delete().where(mine))
            else:
                connection.execute(stale_read.delete().where(mine, stale_read.c.document.in_(documents)))


def hurry(connection: sa.Connection, milliseconds: int) -> None:
    """Let a transaction wait for locks only so long."""
    # SQLite has one lock for everything, which the move itself has just had.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout TO {milliseconds}")
