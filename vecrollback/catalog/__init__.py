"""The catalog: the single place that moves.

Everything else in a store is written once and never changed. One transaction here moves model and index together.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from vecrollback.catalog.aliases import Aliases, MoveOrder, chained_hash
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.files import Files
from vecrollback.catalog.jobs import Jobs
from vecrollback.catalog.ledger import CORPUS, Ledger
from vecrollback.catalog.pairs import NAME_RULE, Pairs, valid_pair_name, vectors_table
from vecrollback.catalog.pointer import PointerReader
from vecrollback.catalog.readers import Readers
from vecrollback.catalog.reports import Equivalences, Reports
from vecrollback.catalog.tokens import Audits, Tokens

__all__ = [
    "CORPUS",
    "NAME_RULE",
    "Catalog",
    "MoveOrder",
    "PointerReader",
    "chained_hash",
    "now",
    "valid_pair_name",
    "vectors_table",
]


class Catalog:
    """Pairs, snapshots, aliases, history, jobs, readers, reports, tokens and the tombstone ledger of one store.

    In the store's directory `root`, or in the PostgreSQL database at `url`; `place` says where, without a password.
    """

    def __init__(self, root: Path, url: str | None = None, *, create: bool = False) -> None:
        self._database = Database(root, url)
        self.place = self._database.place
        try:
            self.store_id = self._database.create() if create else self._database.open()
        except BaseException:
            self._database.close()
            raise
        self.ledger = Ledger(self._database)
        self.pairs = Pairs(self._database)
        self.aliases = Aliases(self._database)
        self.files = Files(self._database)
        self.jobs = Jobs(self._database)
        self.readers = Readers(self._database)
        self.reports = Reports(self._database)
        self.equivalences = Equivalences(self._database)
        self.tokens = Tokens(self._database)
        self.audits = Audits(self._database)

    def lock(self, name: str, *, timeout: float = -1) -> AbstractContextManager[None]:
        """Hold a named lock across processes; see `Database.lock`."""
        return self._database.lock(name, timeout=timeout)

    def integrity(self) -> str:
        """What the database finds wrong with its own pages; empty when nothing is."""
        return self._database.integrity()

    def close(self) -> None:
        self._database.close()
