"""Golden queries, whose right answers are known, and what gates said of a pair: when it was promoted, and when not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import gate_outcome, golden
from vecrollback.errors import UnknownNameError
from vecrollback.records import GateOutcome, GateVerdict, GoldenQuery


class GoldenQueries:
    """Rows of golden queries. One that is written again under its id takes the old one's place."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, queries: Iterable[GoldenQuery]) -> int:
        """Write all of them, or none; returns how many."""
        rows = [asdict(query) | {"expected": dict(query.expected), "tags": list(query.tags)} for query in queries]
        with self._database.write() as connection:
            for row in rows:
                statement = self._database.insert(golden).values(**row)
                values = {name: row[name] for name in ("text", "expected", "tags")}
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
        return len(rows)

    def all(self, tag: str | None = None) -> list[GoldenQuery]:
        """Queries with this tag, or every one; oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(golden).order_by(golden.c.created_at, golden.c.id))
            queries = [GoldenQuery(**(dict(row._mapping) | {"tags": tuple(row.tags)})) for row in rows]
        return [query for query in queries if tag is None or tag in query.tags]

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these. Raises UnknownNameError for one that is not there; then none was removed."""
        with self._database.write() as connection:
            ids_here = set(connection.scalars(sa.select(golden.c.id).where(golden.c.id.in_(ids))))
            if absent := [id_ for id_ in ids if id_ not in ids_here]:
                raise UnknownNameError(
                    f"golden query {absent[0]!r} does not exist", hint="`vecrollback golden list` shows those that are"
                )
            connection.execute(golden.delete().where(golden.c.id.in_(ids)))


class GateOutcomes:
    """Every verdict on a promote is kept; that of one that happened is in the move's own transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refused(self, gated: GateVerdict, actor: str) -> None:
        """Note a promote that its gates stopped."""
        with self._database.write() as connection:
            record_gates(connection, gated, actor=actor, move=None)

    def newest(self, pair: str) -> GateVerdict | None:
        """The last verdict on a pair."""
        query = sa.select(gate_outcome).where(gate_outcome.c.pair == pair)
        return self._first(query)

    def promoted(self, pair: str) -> GateVerdict | None:
        """What the gates said of a pair when it was promoted last; None where no gate was asked."""
        query = sa.select(gate_outcome).where(gate_outcome.c.pair == pair, gate_outcome.c.move.is_not(None))
        return self._first(query)

    def _first(self, query: sa.Select[Any]) -> GateVerdict | None:
        with self._database.read() as connection:
            row = connection.execute(query.order_by(gate_outcome.c.number.desc()).limit(1)).one_or_none()
        return GateVerdict(row.pair, row.snapshot, tuple(GateOutcome(**one) for one in row.outcomes)) if row else None


def record_gates(connection: sa.Connection, gated: GateVerdict, *, actor: str, move: int | None) -> None:
    """Write a verdict inside a transaction; `move`: number of the history's entry, None for a refusal."""
    row = {"pair": gated.pair, "snapshot": gated.snapshot, "move": move, "passed": gated.passed, "actor": actor}
    outcomes = [asdict(one) for one in gated.outcomes]
    connection.execute(gate_outcome.insert().values(**row, outcomes=outcomes, at=now()))
