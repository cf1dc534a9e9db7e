"""One SQLAlchemy engine with the durability and the locks that the laws ask for."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vecrollback.catalog import schema
from vecrollback.errors import CatalogUnavailableError, StoreFormatError, StoreNotFoundError

_BUSY_MS = 30_000


class Database:
    """The connection to a catalog: transactions that are on disk when they return, and named locks.

    A write transaction takes the write lock at its start (`BEGIN IMMEDIATE`), so what it reads cannot change under it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks = path.parent / "locks"
        self.engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=str(path)),
            connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
        )
        sa.event.listen(self.engine, "connect", _prepare_sqlite)
        sa.event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One durable transaction: committed and synced on a clean exit, rolled back on an error."""
        with _reported(self.path), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view of the catalog; never waits for writers."""
        with (
            _reported(self.path),
            self.engine.connect().execution_options(vecrollback_read=True) as connection,
            connection.begin(),
        ):
            yield connection

    def lock(self, name: str, *, timeout: float = -1) -> AbstractContextManager[Any]:
        """Hold the named lock across processes; a process that dies lets go of it.

        Raises filelock.Timeout after `timeout` seconds (-1: wait for ever).
        """
        from filelock import FileLock

        self._locks.mkdir(exist_ok=True)
        return FileLock(self._locks / f"{name}.lock", timeout=timeout)

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT of the dialect, which knows `on_conflict_do_update`."""
        return sqlite.insert(table) if self.engine.dialect.name == "sqlite" else postgresql.insert(table)

    def create(self) -> None:
        """Lay out an empty catalog. Idempotent: the first of several processes does it."""
        with self.write() as connection:
            schema.metadata.create_all(connection)
            if connection.scalar(sa.select(sa.func.count()).select_from(schema.store)):
                return
            row = {"id": uuid.uuid4().hex, "format": schema.FORMAT, "created_at": now()}
            connection.execute(schema.store.insert().values(**row))
            connection.execute(schema.corpus.insert().values(one=1, head=0, version=0, documents=0))

    def open(self) -> str:
        """Check the format, migrate an older one, and return the store's id."""
        with self.read() as connection:
            if not sa.inspect(connection).has_table("store"):
                raise StoreNotFoundError(f"{self.path} is not a vecrollback catalog", hint="run `vecrollback init`")
            found = connection.scalar(sa.select(schema.store.c.format))
        if found is None or found > schema.FORMAT:
            raise StoreFormatError(
                f"the store at {self.path.parent} has format {found}; this vecrollback knows up to {schema.FORMAT}",
                hint="pip install --upgrade vecrollback",
            )
        if found < schema.FORMAT:
            from vecrollback.catalog.migrate import migrate

            with self.lock("migrate"):
                migrate(self)
        with self.read() as connection:
            return str(connection.scalar(sa.select(schema.store.c.id)))

    def integrity(self) -> str:
        """What the database finds wrong with its own pages; empty when nothing is."""
        if self.engine.dialect.name != "sqlite":
            return ""  # PostgreSQL checks its pages when it reads them
        try:
            with self.read() as connection:
                rows = connection.exec_driver_sql("PRAGMA integrity_check(5)").scalars().all()
        except sa.exc.DatabaseError as error:  # some damage it cannot even read past
            return str(error.orig)
        return "" if list(rows) == ["ok"] else "; ".join(map(str, rows))

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise CatalogUnavailableError(
            f"the catalog {path} cannot be used: {error.orig}",
            hint="is the disk full, the file writable, another process holding it? Nothing was changed",
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would otherwise begin transactions behind SQLAlchemy's back
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("vecrollback_read")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def now() -> str:
    """The time now, as the catalog writes it: ISO 8601, UTC, microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
