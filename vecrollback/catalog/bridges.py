"""Which bridges there are: at most one from a pair to another, the newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import bridge, pair
from vecrollback.errors import UnknownNameError
from vecrollback.records import Bridge, BridgeWorth


class BridgeTable:
    """Rows of bridges. They are forgotten together with either pair."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Bridge, present: Callable[[], object] = list) -> Bridge:
        """Register a bridge whose artefact is in place, and give it its number.

        Args:
            new: The bridge.
            present: Raises unless the artefact is in place; nothing is pruned while it looks.

        Returns:
            The bridge with its number.

        Raises:
            UnknownNameError: One of its pairs was forgotten meanwhile.
        """
        values = {name: value for name, value in asdict(new).items() if name != "number"}
        with self._database.write() as connection:
            for name in (new.source, new.target):
                if connection.scalar(sa.select(pair.c.name).where(pair.c.name == name)) is None:
                    raise UnknownNameError(f"pair {name!r} does not exist any more", hint="`vecrollback pairs`")
            present()
            number = connection.execute(bridge.insert().values(**values).returning(bridge.c.number)).scalar_one()
            # After it, or SQLite would give the new one the old one's number. Its file stays until a prune: somebody
            # may be reading it.
            older = (bridge.c.source == new.source, bridge.c.target == new.target, bridge.c.number < number)
            connection.execute(bridge.delete().where(*older))
        return replace(new, number=number)

    def all(self) -> list[Bridge]:
        """Every bridge, newest first."""
        return self._rows(sa.select(bridge))

    def into(self, target: str) -> list[Bridge]:
        """Bridges that lead into a pair's space, newest first."""
        return self._rows(sa.select(bridge).where(bridge.c.target == target))

    def _rows(self, query: sa.Select[Any]) -> list[Bridge]:
        with self._database.read() as connection:
            return [_bridge(row) for row in connection.execute(query.order_by(bridge.c.number.desc()))]


def find_bridge(connection: sa.Connection, source: str, target: str) -> Bridge | None:
    """The bridge from one pair to another, inside a transaction; None when there is none that still fits both."""
    fits = sa.select(sa.func.count()).where(
        sa.or_(
            sa.and_(pair.c.name == source, pair.c.fingerprint == bridge.c.source_fingerprint),
            sa.and_(pair.c.name == target, pair.c.fingerprint == bridge.c.target_fingerprint),
        )
    )
    same_way = (bridge.c.source == source, bridge.c.target == target, fits.scalar_subquery() == 2)
    row = connection.execute(sa.select(bridge).where(*same_way)).one_or_none()
    return _bridge(row) if row else None


def _bridge(row: sa.Row[Any]) -> Bridge:
    return Bridge(**(dict(row._mapping) | {"worth": BridgeWorth(**row.worth)}))
