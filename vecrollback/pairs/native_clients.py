"""What is done for programs that search the database of a pair by a client of their own.

Deleted documents are hidden from them. A name in the database follows `live`; it is moved right after the pointer, not
with it: who embeds with one model and reads this name may for that moment meet the other. Who asks `store.live()` for
each query, or searches through vecrollback, never does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from vecrollback.catalog import Catalog
from vecrollback.errors import LockHeldError, UsageError, VecrollbackError
from vecrollback.pairs.backend import Place, open_backend
from vecrollback.pairs.resources import Resources
from vecrollback.records import LIVE, Move, Pair, SnapshotRef

NATIVE_ALIAS = "vecrollback_live"

_log = logging.getLogger(__name__)
_WAIT_SECONDS = 5.0


class NativeClients:
    """Nothing here raises: a rollback needs no database that may be broken (law 7), and no answer depends on this."""

    def __init__(self, resources: Resources) -> None:
        self._catalog = resources.catalog

    def follow(self, move: Move) -> None:
        """Let the name stand for what is live now, and for nothing in a database that `live` has left."""
        pairs = [self._catalog.pairs.find(SnapshotRef.parse(ref).pair) for ref in (move.source, move.target) if ref]
        if any(pair is not None and pair.backend for pair in pairs):
            try:
                # Read inside the lock: of two moves in a row, the later one may come here first.
                with self._catalog.lock("native-alias", timeout=_WAIT_SECONDS):
                    self._apply(pairs[0])
            except (VecrollbackError, LockHeldError) as error:
                _log.warning("%s does not follow to epoch %d: %s", NATIVE_ALIAS, move.epoch, error)

    def hide(self, tombstones: Mapping[str, int]) -> None:
        """Hide documents that were deleted, `tombstones`: id -> seq, in every database that holds a pair."""
        for pair in self._catalog.pairs.all():
            if pair.backend and pair.state != "retired":
                try:
                    open_backend(pair.backend).delete(tombstones)
                except VecrollbackError as error:
                    # while a database is away nobody searches it
                    _log.warning("deletes in pair %r are hidden by its next catch-up: %s", pair.name, error)

    def _apply(self, source: Pair | None) -> None:
        target = self._catalog.aliases.get(LIVE)
        if target is None:
            return
        live = self._catalog.pairs.get(target.pair)
        if source is not None and source.backend and _database(source) != _database(live):
            open_backend(source.backend).alias(NATIVE_ALIAS, None)
        if live.backend:
            facts = {"store": self._catalog.store_id, "pair": live.name, "epoch": target.epoch}
            facts |= {"embedder": live.embedder, "fingerprint": live.fingerprint}
            open_backend(live.backend).alias(NATIVE_ALIAS, facts)


def offer_search(catalog: Catalog, pair: Pair) -> None:
    """Install what applications call to get the pointer and answers in one statement, where that can be.

    That is: pair and catalog lie in one PostgreSQL. Raises nothing, as everything here.
    """
    try:
        if offer := getattr(open_backend(pair.backend), "offer_search", None):
            catalog.beside(offer)
    except Exception as error:
        # whatever a database may say of rights and extensions: the pair itself is whole
        _log.warning("functions for applications are not installed for pair %r: %s", pair.name, error)


def _database(pair: Pair) -> tuple[str, str, str]:
    """Kind, address and schema: within them a name can only stand for one collection."""
    try:
        place = Place.parse(pair.backend)
    except UsageError:
        return ("", "", "")
    return place.kind, place.address, place.name.rpartition(".")[0]
