"""Which pairs serve, or served, before they were whole: at most one row a pair, that of its last time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import cascade
from vecrollback.records import Cascade, CascadeTrial


class CascadeTable:
    """Rows of cascades. What answers a query is in the snapshot; these say how it goes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, new: Cascade) -> None:
        """Note that a pair is about to serve so, in place of what was noted of an earlier time.

        Args:
            new: What is known of it.
        """
        values = {**asdict(new), "started_at": new.started_at or now()}
        rest = {name: value for name, value in values.items() if name != "pair"}
        statement = self._database.insert(cascade).values(**values)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["pair"], set_=rest))

    def find(self, pair: str) -> Cascade | None:
        """The newest of a pair, going on or ended.

        Args:
            pair: Its name.

        Returns:
            What is known of it; None where the pair never served so.
        """
        rows = self._rows(sa.select(cascade).where(cascade.c.pair == pair))
        return rows[0] if rows else None

    def all(self) -> list[Cascade]:
        """Every one, the newest first."""
        return self._rows(sa.select(cascade).order_by(cascade.c.started_at.desc()))

    def count(self, pair: str, *, queries: int = 0, embedded: int = 0, covered: int | None = None) -> None:
        """Add what was answered and embedded since.

        Args:
            pair: Its name.
            queries: Queries more that were answered.
            embedded: Documents more that were embedded for them.
            covered: Documents that have vectors of their own now; None leaves that as it is.
        """
        values: dict[str, Any] = {
            "queries": cascade.c.queries + queries,
            "embedded": cascade.c.embedded + embedded,
        }
        if covered is not None:
            values["covered"] = covered
        with self._database.write() as connection:
            connection.execute(cascade.update().where(cascade.c.pair == pair).values(**values))

    def judge(self, pair: str, trial: CascadeTrial) -> None:
        """Note how it compares with the pair before.

        Args:
            pair: Its name.
            trial: Every query that was asked of both.
        """
        with self._database.write() as connection:
            connection.execute(cascade.update().where(cascade.c.pair == pair).values(trial=asdict(trial)))

    def end(self, pair: str, outcome: str) -> None:
        """Note why it ended. One that has ended stays as it is.

        Args:
            pair: Its name.
            outcome: For people.
        """
        going_on = (cascade.c.pair == pair, cascade.c.ended_at.is_(None))
        with self._database.write() as connection:
            connection.execute(cascade.update().where(*going_on).values(ended_at=now(), outcome=outcome))

    def _rows(self, query: sa.Select[Any]) -> list[Cascade]:
        with self._database.read() as connection:
            return [_cascade(row) for row in connection.execute(query)]


def _cascade(row: sa.Row[Any]) -> Cascade:
    body = dict(row._mapping)
    scores = {name: tuple(body["trial"][name]) for name in ("old", "new")}
    return Cascade(**(body | {"trial": CascadeTrial(**(body["trial"] | scores))}))
