"""The catalog: the single place that moves.

Everything else in a store is written once and never changed. One transaction here moves model and index together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.access import AuditLog, TokenDigests
from vecrollback.catalog.aliases import Aliases, chained_hash
from vecrollback.catalog.answer_counts import AnswerTable, StaleAnswerTable
from vecrollback.catalog.bridges import BridgeTable
from vecrollback.catalog.canaries import CanaryTable
from vecrollback.catalog.cascades import CascadeTable
from vecrollback.catalog.corpus_log import CORPUS, EARLIER, CorpusLog, FileDigests
from vecrollback.catalog.database import Database, as_kept, now
from vecrollback.catalog.databases.pointer import PointerReader
from vecrollback.catalog.evaluation import GateOutcomes, GoldenQueries
from vecrollback.catalog.jobs import EmbeddingTable, Jobs
from vecrollback.catalog.models import Models
from vecrollback.catalog.operations import ApprovalTable, Drills, FreezeTable, IncidentTable, Outbox
from vecrollback.catalog.pairs import NAME_RULE, Equivalences, Pairs, valid_pair_name, vectors_table
from vecrollback.catalog.policy_state import PolicyState
from vecrollback.catalog.replay import outdo, replay
from vecrollback.catalog.reports import Reports
from vecrollback.catalog.retention import RecordRetention
from vecrollback.catalog.searchers import Searchers
from vecrollback.catalog.switch_state import read_switch_state
from vecrollback.catalog.traffic import TrafficTable
from vecrollback.errors import LockHeldError
from vecrollback.records import LIVE, Move, PairFacts, Setback, SwitchState
from vecrollback.storage import FileStore

__all__ = [
    "CORPUS",
    "EARLIER",
    "NAME_RULE",
    "WORKER_LOCK",
    "Catalog",
    "PointerReader",
    "as_kept",
    "chained_hash",
    "now",
    "valid_pair_name",
    "vectors_table",
]


WORKER_LOCK = "worker"
"""What every worker of a store shares while it runs."""


class Catalog:
    """Pairs, snapshots, aliases, history, jobs, searchers, reports, tokens and the tombstone ledger of one store.

    `where`: the store's directory or file store. `url`: a PostgreSQL database; without one the catalog is SQLite in
    that directory. `place` says where it is, without a password.
    """

    def __init__(self, where: Path | FileStore, url: str | None = None, *, create: bool = False) -> None:
        self._database = Database(where, url)
        self.place = self._database.place
        try:
            self.store_id = self._database.create() if create else self._database.open()
        except BaseException:
            self._database.close()
            raise
        self.ledger = CorpusLog(self._database)
        self.pairs = Pairs(self._database)
        self.aliases = Aliases(self._database)
        self.files = FileDigests(self._database)
        self.jobs = Jobs(self._database)
        self.embedding = EmbeddingTable(self._database)
        self.searchers = Searchers(self._database)
        self.retention = RecordRetention(self._database)
        self.reports = Reports(self._database)
        self.models = Models(self._database)
        self.equivalences = Equivalences(self._database)
        self.tokens = TokenDigests(self._database)
        self.audits = AuditLog(self._database)
        self.golden = GoldenQueries(self._database)
        self.gatekeeping = GateOutcomes(self._database)
        self.canaries = CanaryTable(self._database)
        self.bridges = BridgeTable(self._database)
        self.cascades = CascadeTable(self._database)
        self.incidents = IncidentTable(self._database)
        self.served = AnswerTable(self._database)
        self.stale_reads = StaleAnswerTable(self._database)
        self.freezes = FreezeTable(self._database)
        self.approvals = ApprovalTable(self._database)
        self.notices = Outbox(self._database)
        self.drills = Drills(self._database)
        self.watching = PolicyState(self._database)
        self.traffic = TrafficTable(self._database)

    @property
    def may_write(self) -> bool:
        """Whether this user may write at all, as far as can be told without trying."""
        return self._database.may_write

    def lock(self, name: str, *, timeout: float = -1, shared: bool = False) -> AbstractContextManager[None]:
        """Hold a named lock across processes; see `Database.lock`."""
        return self._database.lock(name, timeout=timeout, shared=shared)

    def beside(self, work: Callable[[Any, str], None]) -> bool:
        """Lay out in the catalog's database what others need beside its tables, where it is PostgreSQL.

        Args:
            work: Called in a transaction of its own with the connection of psycopg and the schema of the catalog.

        Returns:
            Whether it was called.

        Raises:
            CatalogUnavailableError: The database does not answer, or forbids it.
        """
        return self._database.beside(work)

    def clock(self) -> float:
        """Seconds since 1970 by the clock that all processes of this store share."""
        with self._database.read() as connection:
            return float(connection.scalar(sa.select(self._database.clock())) or 0.0)

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds a named lock, alone or with others. Raises CatalogUnavailableError."""
        try:
            with self.lock(name, timeout=0.0):
                return False
        except LockHeldError:
            return True

    def reading(self, owner: str) -> AbstractContextManager[None]:
        """For long readers of a table: until the block ends, no version of it is cleaned away.

        Ask the catalog for the version to read inside of the block.
        """
        return self.lock(f"reading-{owner}", shared=True)

    def switch_state(
        self,
        alias: str = LIVE,
        *,
        pair: str | None = None,
        ref: str | None = None,
        until: Callable[[PairFacts], bool] | None = None,
        standbys: bool = False,
    ) -> SwitchState:
        """Everything that a move of an alias decides on, of one moment: one transaction that waits for no writer.

        It takes as long in a store of two pairs and ten moves as in one of hundreds and of many thousands: only the
        pairs that matter are read, and nothing of the history.

        Args:
            alias: The alias that is to move.
            pair: Name of a pair to read as well.
            ref: A snapshot to read as well: `PAIR@N`, `PAIR` or a tag.
            until: Asked of each pair that served before, the most recent first; the first for which it is true is the
                last that is read. Without it none is. It must be quick, and may read nothing itself.
            standbys: Whether to read which pairs stand by.

        Returns:
            The state. What does not exist is None in it.

        Raises:
            TimeWentBackError: The catalog lacks moves or changes that were seen: nothing can be decided on it.
            CatalogUnavailableError: The database cannot be read.
        """
        with self._database.read() as connection:
            self._database.witness.require_present(connection)
            return read_switch_state(
                connection, self.searchers, alias, pair=pair, ref=ref, until=until, standbys=standbys
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes the catalog until the block ends."""
        with self._database.write():
            yield

    def setback(self, *, look: bool = False) -> Setback | None:
        """What this catalog lacks of what was seen of it before.

        Args:
            look: Also ask object storage what others saw since this catalog was opened; that takes a request.

        Returns:
            None when it lacks nothing.

        Raises:
            CatalogUnavailableError: The database cannot be read.
        """
        return self._database.setback(look=look)

    def require_present(self) -> None:
        """Raise TimeWentBackError when the catalog lacks what was seen of it before.

        Every transaction that writes asks the same; this is for what comes before one, such as the files of a table.
        """
        with self._database.read() as connection:
            self._database.witness.require_present(connection)

    @contextmanager
    def mending(self) -> Iterator[None]:
        """Writes of this block are let through although the catalog lacks what was seen."""
        with self._database.witness.overruled():
            yield

    def take_moves_back(self, setback: Setback, *, actor: str) -> tuple[list[Move], list[Move]]:
        """Give a catalog that went back in time its moves again, and take it for the truth from here on.

        Args:
            setback: What it lacks.
            actor: Who mends it, for the history.

        Returns:
            Moves that are in the history again as they were; and moves that were made for those that are lost.

        Raises:
            CatalogUnavailableError: The database cannot be written.
        """
        with self.mending(), self._database.write(wakes=True) as connection:
            lost = self._database.witness.lost_moves(connection)
            replayed = [] if setback.diverged else replay(connection, lost)
            gone = lost[len(replayed) :]
            anew = outdo(connection, gone, actor=actor, reason=str(setback), diverged=setback.diverged)
        with self._database.read() as connection:
            self._database.witness.accept(connection)
        return replayed, anew

    def copy_to(self, root: Path) -> None:
        """Write all that the catalog knows, at one moment, into a new catalog in another directory."""
        copy = Catalog(root, create=True)
        try:
            self._database.copy_to(copy._database)
        finally:
            copy.close()

    def copy_into(self, other: Catalog) -> None:
        """Replace the rows of another catalog by this one's, in one transaction; it stays a store of its own."""
        self._database.copy_to(other._database)

    def integrity(self) -> str:
        """What the database finds wrong with its own pages; empty when nothing is."""
        return self._database.integrity()

    def close(self) -> None:
        self._database.close()
