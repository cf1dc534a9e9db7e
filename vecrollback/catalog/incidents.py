"""Incidents, and the answers that readers counted by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NamedTuple

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import incident, served
from vecrollback.errors import UnknownNameError
from vecrollback.records import Acknowledgements, Blast, Finding, Incident, PostCheck, Timeline

_PATIENCE_MS = 2_000
_BRIEF_MS = 200
_COLUMNS = ("number", "state", "alias", "epoch")


class Counted(NamedTuple):
    """Answers of some epochs: how many, by how many readers, between which times (seconds since 1970)."""

    answers: int
    readers: int
    since: float | None
    until: float | None


class Incidents:
    """Rows of incidents. A locked table must not hold up what comes after a rollback, so writes wait little."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, new: Incident) -> Incident:
        """Keep a new incident; returns it with its number. The move's own when it has one already."""
        with self._write() as connection:
            same = sa.and_(incident.c.alias == new.alias, incident.c.epoch == new.epoch)
            row = connection.execute(sa.select(incident).where(same)).one_or_none()
            if row is None:
                values = {name: getattr(new, name) for name in _COLUMNS[1:]}
                connection.execute(incident.insert().values(**values, body=_body(new), at=new.timeline.switched or ""))
                row = connection.execute(sa.select(incident).where(same)).one()
        return _incident(row)

    def change(self, number: int, changed: Callable[[Incident], Incident]) -> Incident:
        """Replace an incident by what `changed` makes of it, in one transaction. Raises UnknownNameError."""
        with self._write() as connection:
            row = connection.execute(sa.select(incident).where(incident.c.number == number)).one_or_none()
            after = changed(_incident(_found(row, number)))
            values = {"state": after.state, "body": _body(after)}
            connection.execute(incident.update().where(incident.c.number == number).values(**values))
        return after

    def get(self, number: int) -> Incident:
        """Raises UnknownNameError."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(incident).where(incident.c.number == number)).one_or_none()
        return _incident(_found(row, number))

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Incident]:
        """Incidents, newest first."""
        query = sa.select(incident).order_by(incident.c.number.desc()).limit(limit)
        if state is not None:
            query = query.where(incident.c.state == state)
        with self._database.read() as connection:
            return [_incident(row) for row in connection.execute(query)]

    def epochs(self, alias: str) -> set[int]:
        """Epochs of the moves that have an incident."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(incident.c.epoch).where(incident.c.alias == alias)))

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._database.write() as connection:
            _hurry(connection, _PATIENCE_MS)
            yield connection


class Served:
    """How many queries each reader answered in each epoch. Written by the readers, about once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, reader: str, alias: str, counts: Iterable[tuple[int, int, float, float]]) -> None:
        """Write what a reader has answered so far: (epoch, answers, first, last) in seconds since 1970."""
        with self._database.note() as connection:
            _hurry(connection, _BRIEF_MS)
            for epoch, answers, first, last in counts:
                values = {"alias": alias, "answers": answers, "first_at": first, "last_at": last}
                statement = self._database.insert(served).values(reader=reader, epoch=epoch, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["reader", "epoch"], set_=values))

    def between(self, alias: str, first: int, last: int) -> Counted:
        """What all readers of an alias answered in the epochs `first` to `last`."""
        query = sa.select(
            sa.func.coalesce(sa.func.sum(served.c.answers), 0),
            sa.func.count(served.c.reader.distinct()),
            sa.func.min(served.c.first_at),
            sa.func.max(served.c.last_at),
        ).where(served.c.alias == alias, served.c.epoch.between(first, last), served.c.answers > 0)
        with self._database.read() as connection:
            answers, readers, since, until = connection.execute(query).one()
        return Counted(int(answers), int(readers), since, until)

    def forget(self, before: float) -> None:
        """Drop counts whose last answer is older than `before`, in seconds since 1970."""
        with self._database.write() as connection:
            connection.execute(served.delete().where(served.c.last_at < before))


def _hurry(connection: sa.Connection, milliseconds: int) -> None:
    # SQLite has one lock for everything, which the move itself has just had.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout TO {milliseconds}")


def _body(one: Incident) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _COLUMNS}


def _found(row: sa.Row[Any] | None, number: int) -> sa.Row[Any]:
    if row is None:
        raise UnknownNameError(f"no incident {number}", hint="`vecrollback incident list` shows them")
    return row


def _incident(row: sa.Row[Any]) -> Incident:
    body: dict[str, Any] = dict(row.body)
    nested: dict[str, Any] = {
        "timeline": Timeline(**body.pop("timeline")),
        "blast": Blast(**body.pop("blast")),
        "readers": _readers(body.pop("readers")),
        "post_check": PostCheck(**post) if (post := body.pop("post_check")) else None,
        "findings": _findings(body.pop("findings")),
        "failed_findings": _findings(body.pop("failed_findings")),
    }
    return Incident(**{name: getattr(row, name) for name in _COLUMNS}, **body, **nested)


def _readers(body: Mapping[str, Any] | None) -> Acknowledgements | None:
    return Acknowledgements(**(dict(body) | {"missing": tuple(body["missing"])})) if body else None


def _findings(body: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding(**(dict(one) | {"ids": tuple(one["ids"])})) for one in body)
