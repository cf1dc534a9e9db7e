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
from vecrollback.records import LIVE, Pair

NATIVE_ALIAS = "vecrollback_live"

_log = logging.getLogger(__name__)
_WAIT_SECONDS = 5.0


class NativeClients:
    """Nothing here raises: a rollback needs no database that may be broken (law 7), and no answer depends on this.

    `failed`: the last attempt to move the name ended without it.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self.failed = catalog, False

    def follow(self) -> None:
        """Let the name stand for what is live now, and for nothing in a database that `live` has left.

        Idempotent, and one read of the catalog when the name stands right: what a killed process left is finished by
        the next command.
        """
        try:
            native = self._catalog.aliases.native(LIVE)
            if native is None or not native.behind:
                return
            # Read again inside the lock: of two moves in a row, the later one may come here first.
            with self._catalog.lock("native-alias", timeout=_WAIT_SECONDS):
                self._apply()
        except (VecrollbackError, LockHeldError) as error:
            _log.warning("%s does not follow yet: %s", NATIVE_ALIAS, error)
            self.failed = True
        else:
            self.failed = False

    def hide(self, tombstones: Mapping[str, int]) -> None:
        """Hide documents that were deleted, `tombstones`: id -> seq, in every database that holds a pair."""
        for pair in self._catalog.pairs.all():
            if pair.backend and pair.state != "retired":
                try:
                    open_backend(pair.backend).delete(tombstones)
                except VecrollbackError as error:
                    # while a database is away nobody searches it
                    _log.warning("deletes in pair %r are hidden by its next catch-up: %s", pair.name, error)

    def _apply(self) -> None:
        native, target = self._catalog.aliases.native(LIVE), self._catalog.aliases.get(LIVE)
        if native is None or target is None or native.epoch != target.epoch or not native.behind:
            return  # another process has just moved it, and does this itself
        live = self._catalog.pairs.get(target.pair)
        if live.backend and self._owns(live):
            facts = {"store": self._catalog.store_id, "pair": live.name, "epoch": target.epoch}
            facts |= {"embedder": live.embedder, "fingerprint": live.fingerprint}
            open_backend(live.backend).alias(NATIVE_ALIAS, facts)
        # after it: a database that `live` has left may be the broken one
        for pair in self._elsewhere(live):
            if self._owns(pair):
                open_backend(pair.backend).alias(NATIVE_ALIAS, None)
        self._catalog.aliases.set_native(LIVE, target.epoch if live.backend else None)

    def _elsewhere(self, live: Pair) -> list[Pair]:
        """A pair of each other database that may still have the name."""
        pairs = {_database(one): one for one in self._catalog.pairs.all() if one.backend and one.state != "retired"}
        return [pair for database, pair in pairs.items() if database != _database(live)]

    def _owns(self, pair: Pair) -> bool:
        """Whether the collection is this store's: a copy of a store leaves the names of the original alone."""
        return open_backend(pair.backend).owner() == f"{self._catalog.store_id}/{pair.name}"


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
    return place.kind, place.address, place.name.partition("<")[0].rpartition(".")[0]
