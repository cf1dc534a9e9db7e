"""What holds automation back, and what waits for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import approval, freeze
from vecrollback.errors import UnknownNameError
from vecrollback.records import Approval, Freeze

_COLUMNS = ("number", "kind", "state", "at")


class Freezes:
    """One row for each alias that automation may not move."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, new: Freeze) -> None:
        """Freeze an alias; a later freeze replaces the one before."""
        values = asdict(new)
        statement = self._database.insert(freeze).values(**values)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["alias"], set_=values))

    def lift(self, alias: str) -> bool:
        """Whether there was one."""
        with self._database.write() as connection:
            return bool(connection.execute(freeze.delete().where(freeze.c.alias == alias)).rowcount)

    def of(self, alias: str) -> Freeze | None:
        """The freeze that holds now."""
        holds = sa.or_(freeze.c.until.is_(None), freeze.c.until > now())
        with self._database.read() as connection:
            row = connection.execute(sa.select(freeze).where(freeze.c.alias == alias, holds)).one_or_none()
        return Freeze(**row._mapping) if row else None


class Approvals:
    """Moves that somebody asked for and others have to agree to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, new: Approval) -> Approval:
        """Keep a request; the one that waits already for the same move is returned instead."""
        body = _body(new)
        with self._database.write() as connection:
            waiting = connection.execute(sa.select(approval).where(approval.c.state == "waiting")).all()
            for row in map(_approval, waiting):
                if (row.kind, row.target, row.epoch) == (new.kind, new.target, new.epoch):
                    return row
            values = {"kind": new.kind, "state": "waiting", "body": body, "at": new.at}
            number = connection.execute(approval.insert().values(**values).returning(approval.c.number)).scalar_one()
        return self.get(number)

    def change(self, number: int, changed: Callable[[Approval], Approval]) -> Approval:
        """Replace an approval by what `changed` makes of it, in one transaction. Raises UnknownNameError."""
        with self._database.write() as connection:
            row = connection.execute(sa.select(approval).where(approval.c.number == number)).one_or_none()
            after = changed(_approval(_found(row, number)))
            values = {"state": after.state, "body": _body(after)}
            connection.execute(approval.update().where(approval.c.number == number).values(**values))
        return after

    def get(self, number: int) -> Approval:
        """Raises UnknownNameError."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(approval).where(approval.c.number == number)).one_or_none()
        return _approval(_found(row, number))

    def all(self, *, state: str | None = None) -> list[Approval]:
        """Approvals, newest first."""
        query = sa.select(approval).order_by(approval.c.number.desc())
        if state is not None:
            query = query.where(approval.c.state == state)
        with self._database.read() as connection:
            return [_approval(row) for row in connection.execute(query)]


def _body(one: Approval) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _COLUMNS}


def _found(row: sa.Row[Any] | None, number: int) -> sa.Row[Any]:
    if row is None:
        raise UnknownNameError(f"no approval {number}", hint="`vecrollback approvals` lists them")
    return row


def _approval(row: sa.Row[Any]) -> Approval:
    body = dict(row.body)
    decisions = tuple(body.pop("decisions"))
    return Approval(**{name: getattr(row, name) for name in _COLUMNS}, **body, decisions=decisions)
