"""What gates said of a pair: when it was promoted, and when it was not."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import gate_outcome
from vecrollback.records import Gated, GateOutcome


class Gatekeeping:
    """Every verdict on a promote is kept; that of one that happened is in the move's own transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refused(self, gated: Gated, actor: str) -> None:
        """Note a promote that its gates stopped."""
        with self._database.write() as connection:
            record_gates(connection, gated, actor=actor, move=None)

    def of_move(self, number: int) -> Gated | None:
        """What the gates said before this move of the history; None when it had none to pass."""
        return self._first(gate_outcome.c.move == number)

    def newest(self, pair: str) -> Gated | None:
        """The last verdict on a pair."""
        return self._first(gate_outcome.c.pair == pair)

    def _first(self, condition: sa.ColumnElement[bool]) -> Gated | None:
        query = sa.select(gate_outcome).where(condition).order_by(gate_outcome.c.number.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return Gated(row.pair, row.snapshot, tuple(GateOutcome(**one) for one in row.outcomes)) if row else None


def record_gates(connection: sa.Connection, gated: Gated, *, actor: str, move: int | None) -> None:
    """Write a verdict inside a transaction; `move`: number of the history's entry, None for a refusal."""
    row = {"pair": gated.pair, "snapshot": gated.snapshot, "move": move, "passed": gated.passed, "actor": actor}
    outcomes = [asdict(one) for one in gated.outcomes]
    connection.execute(gate_outcome.insert().values(**row, outcomes=outcomes, at=now()))
