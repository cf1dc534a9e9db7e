"""What a drill needs of a store's inside: a scratch alias that moves as `live` does."""

from __future__ import annotations

from vecrollback.catalog import Catalog
from vecrollback.records import Drill, Snapshot, Switched
from vecrollback.switching.switch import Order, Switch


class Rehearsal:
    """Scratch aliases, and the drills that used them."""

    def __init__(self, catalog: Catalog, switch: Switch) -> None:
        self._catalog, self._switch = catalog, switch

    def stage(self, alias: str, order: Order) -> Snapshot:
        """Point a new alias where `live` points; returns that snapshot."""
        return self._switch.stage(alias, order)

    def rehearse(self, alias: str, target: Snapshot, order: Order) -> Switched:
        """Move it as a rollback moves `live`."""
        return self._switch.rehearse(alias, target, order)

    def drop(self, alias: str) -> None:
        """Forget it."""
        self._catalog.aliases.drop(alias)

    def keep(self, drill: Drill) -> Drill:
        """Record a drill that ended."""
        return self._catalog.drills.add(drill)

    def drills(self, *, limit: int | None = None) -> list[Drill]:
        """Drills, newest first."""
        return self._catalog.drills.all(limit=limit)
