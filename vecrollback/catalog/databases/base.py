"""What a database must do for a catalog. Everything else is the same SQL for all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from vecrollback.catalog.databases.pointer import PointerReader
from vecrollback.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite  # each costs a switch 20 ms, and a catalog has one of them


class DatabaseDriver(Protocol):
    """One kind of database, opened.

    `place` names it in messages and never holds a password; `advice` is the hint of an error of the database;
    `embedded`: it is a file in the store's directory; `schema`: of a server's database, where the tables are.
    """

    place: str
    may_write: bool
    embedded: bool
    engine: sa.Engine

    @property
    def advice(self) -> str: ...

    @property
    def schema(self) -> str | None: ...

    def lay_out(self, connection: sa.Connection) -> None:
        """Prepare the place for the tables."""

    def reading(self) -> sa.Engine:
        """The engine for transactions that read one consistent state and never wait for writers."""

    def fleeting(self) -> sa.Engine:
        """The engine for transactions that a power loss may undo, and whose order among others does not matter."""

    def begin(self, connection: sa.Connection) -> str:
        """Let this transaction alone write from here on; returns a ticket by which `landed` knows it."""

    def landed(self, ticket: str) -> bool:
        """Whether a transaction whose commit raised did commit. Raises CommitUnknownError."""

    def wake_searchers(self, connection: sa.Connection) -> None:
        """Wake waiting pointer readers when this transaction commits."""

    def lock(self, name: str, *, timeout: float, shared: bool = False) -> AbstractContextManager[None]:
        """Hold a named lock across processes. Those that share it hold it together. Raises LockHeldError."""

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows `on_conflict_do_update`."""

    def clock(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by a clock that all processes share."""

    def count_on(self, connection: sa.Connection) -> None:
        """Let keys that count up by themselves go on after the rows that were copied in with theirs."""

    def require_unmoved(self, connection: sa.Connection) -> None:
        """Raise CatalogUnavailableError when what a transaction has read was not one moment of the catalog."""

    def integrity(self, connection: sa.Connection) -> str:
        """What is wrong with the database's own pages."""

    def pointer_reader(self, alias: str) -> PointerReader: ...

    def before_fork(self) -> None:
        """In the parent, while no transaction runs; see `vecrollback.storage.forks`."""

    def after_fork(self) -> None: ...

    def forked(self) -> None: ...

    def close(self) -> None: ...


def open_driver(root: Path | None, url: str | None) -> DatabaseDriver:
    """The database at `url`, or the one in the store's directory `root`. Raises UsageError, MissingDependencyError."""
    if url is None:
        if root is None:
            raise UsageError(
                "a store on object storage needs its catalog in PostgreSQL, and none is named",
                hint="--catalog postgresql+psycopg://USER@HOST/DATABASE?schema=NAME, or VECROLLBACK_CATALOG",
            )
        from vecrollback.catalog.databases.sqlite import SqliteDriver

        return SqliteDriver(root)
    try:
        from vecrollback.catalog.databases.postgresql import PostgresDriver
    except ImportError as error:
        raise MissingDependencyError("psycopg", "postgresql") from error
    return PostgresDriver(url)
