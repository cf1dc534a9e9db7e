"""What those who answer give to a watch on another host: some queries in full, and counts of all.

In rings: each searcher writes over its own oldest rows. What is older than the watch has use for is deleted, and all of
a searcher's rows when it closes. Times are by the clock that all processes of the store share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa

from vecrollback.catalog.answer_counts import hurry
from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import answer_count, sampled_query, watch
from vecrollback.records import AnswerCount, Sample, WatchCall

SAMPLE_SLOTS, COUNT_SLOTS = 512, 900
"""Rows that a searcher has at most: of sampled queries, and of counts, one or two a second."""

_MOST_SAMPLES = 4_000
_BRIEF_MS = 200
_OLD_SECONDS = 3600.0


class TrafficTable:
    """The call of the watch, and what answers it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def call(self, alias: str, request: WatchCall, seconds: float) -> None:
        """Ask all who answer for their traffic, for so many seconds from now; delete what is of no more use."""
        clock = self._database.clock()
        values = {
            "origin": request.origin,
            "keep": request.keep,
            "a_second": request.a_second,
            "until": clock + seconds,
        }
        statement = self._database.insert(watch).values(alias=alias, **values)
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            connection.execute(statement.on_conflict_do_update(index_elements=["alias"], set_=values))
            for table in (sampled_query, answer_count):
                old = sa.and_(table.c.alias == alias, table.c.at < clock - request.keep)
                connection.execute(table.delete().where(old))

    def called(self, alias: str) -> WatchCall | None:
        """What a watch asks for now; None while none does."""
        query = sa.select(watch).where(watch.c.alias == alias, watch.c.until > self._database.clock())
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else WatchCall(row.origin, row.keep, row.a_second)

    def give(
        self,
        searcher: str,
        alias: str,
        origin: str,
        samples: Sequence[tuple[int, Sample]],
        counts: Sequence[tuple[int, AnswerCount]],
    ) -> None:
        """Write what a searcher has seen, each with the slot of its ring that it goes into."""
        mine = {"searcher": searcher, "alias": alias, "origin": origin}
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            # Clocks of hosts need not agree: times are written by the one that all share.
            shift = float(connection.scalar(sa.select(self._database.clock())) or 0.0) - time.time()
            self._put(connection, sampled_query, [mine | {"slot": slot} | _row(one, shift) for slot, one in samples])
            self._put(
                connection, answer_count, [mine | {"slot": slot} | _count_row(one, shift) for slot, one in counts]
            )

    def samples(self, alias: str, seconds: float, *, without: str) -> list[Sample]:
        """Sampled queries of the last seconds, oldest first, `at` by this host's clock; not those `without` gave."""
        table = sampled_query
        age = self._database.clock() - table.c.at
        query = sa.select(table.c.epoch, table.c.query, table.c.best, age.label("age"))
        query = query.where(table.c.alias == alias, table.c.origin != without, age <= seconds)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.at.desc()).limit(_MOST_SAMPLES)).all()
        now = time.time()
        return [Sample(now - row.age, row.epoch, row.query, row.best) for row in reversed(rows)]

    def counts(self, alias: str, seconds: float, *, without: str) -> list[tuple[str, AnswerCount]]:
        """The counts of the last seconds with the origin of each, oldest first, `at` by this host's clock."""
        table = answer_count
        age = self._database.clock() - table.c.at
        query = sa.select(table, age.label("age"))
        query = query.where(table.c.alias == alias, table.c.origin != without, age <= seconds)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.at)).all()
        now = time.time()
        return [
            (row.origin, AnswerCount(now - row.age, row.epoch, row.answers, row.errors, tuple(row.latency)))
            for row in rows
        ]

    def leave(self, searcher: str) -> None:
        """Delete all that a searcher gave."""
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            for table in (sampled_query, answer_count):
                connection.execute(table.delete().where(table.c.searcher == searcher))

    def forget_old(self) -> None:
        """Delete what is older than any watch has use for: those that asked for it, or that gave it, were killed."""
        with self._database.note() as connection:
            hurry(connection, _BRIEF_MS)
            for table in (sampled_query, answer_count):
                connection.execute(table.delete().where(table.c.at < self._database.clock() - _OLD_SECONDS))

    def _put(self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> None:
        if not rows:
            return
        statement = self._database.insert(table)
        values = {name: statement.excluded[name] for name in rows[0] if name not in ("searcher", "slot")}
        connection.execute(statement.on_conflict_do_update(index_elements=["searcher", "slot"], set_=values), rows)


def _row(one: Sample, shift: float) -> dict[str, object]:
    return {"at": one.at + shift, "epoch": one.epoch, "query": one.query, "best": one.best}


def _count_row(one: AnswerCount, shift: float) -> dict[str, object]:
    counts = {"answers": one.answers, "errors": one.errors, "latency": list(one.latency)}
    return {"at": one.at + shift, "epoch": one.epoch, **counts}
