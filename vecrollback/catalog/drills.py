"""Drills that were run."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import drill
from vecrollback.records import Drill, Phase

_COLUMNS = ("number", "chaos", "epoch", "verdict", "at")


class Drills:
    """Rows of drills, each written once, at its end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Drill) -> Drill:
        """Keep a drill; returns it with its number."""
        values = {name: getattr(new, name) for name in _COLUMNS[1:]}
        with self._database.write() as connection:
            inserted = drill.insert().values(**values, body=_body(new)).returning(drill.c.number)
            return replace(new, number=connection.execute(inserted).scalar_one())

    def all(self, *, limit: int | None = None) -> list[Drill]:
        """Drills, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(drill).order_by(drill.c.number.desc()).limit(limit))
            return [_drill(row) for row in rows]


def _body(one: Drill) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _COLUMNS}


def _drill(row: sa.Row[Any]) -> Drill:
    body = dict(row.body)
    phases = tuple(Phase(**phase) for phase in body.pop("phases"))
    return Drill(**{name: getattr(row, name) for name in _COLUMNS}, **body, phases=phases)
