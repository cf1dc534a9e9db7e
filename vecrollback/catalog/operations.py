"""Incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.answer_counts import hurry
from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import incident
from vecrollback.errors import UnknownNameError
from vecrollback.records import Acknowledgements, Blast, Finding, Incident, PostCheck, Timeline

_PATIENCE_MS = 2_000
_COLUMNS = ("number", "state", "alias", "epoch")


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
            hurry(connection, _PATIENCE_MS)
            yield connection


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
