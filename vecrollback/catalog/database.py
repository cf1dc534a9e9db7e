"""Transactions and locks of a catalog, with the durability that the laws ask for, on whatever database it is."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from vecrollback.catalog import schema
from vecrollback.catalog.databases import store_identity
from vecrollback.catalog.databases.base import open_driver
from vecrollback.catalog.databases.pointer import PointerReader
from vecrollback.catalog.witness import TimeWitness
from vecrollback.errors import (
    CatalogUnavailableError,
    StorageUnavailableError,
    StoreFormatError,
    StoreNotFoundError,
    UsageError,
)
from vecrollback.records import Setback
from vecrollback.storage import FileStore, LocalFileStore, file_store_at
from vecrollback.storage.forks import follow_forks, hold_off_forks
from vecrollback.storage.local import written

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite  # each costs a switch 20 ms, and a catalog has one of them

_log = logging.getLogger(__name__)
_RESERVE = "reserve"
_RESERVE_BYTES = 1 << 20
"""A move and the searchers' acknowledgements write a few pages each; the log of SQLite may need new ones for them."""


class Database:
    """The connection to a catalog: transactions that are on disk when they return, and named locks.

    `where` the store's files are; `url` names a PostgreSQL database, None the SQLite file in the store's directory.
    """

    def __init__(self, where: Path | FileStore, url: str | None = None) -> None:
        self.file_store = file_store_at(where)
        root = self.file_store.root if isinstance(self.file_store, LocalFileStore) else None
        self._driver = open_driver(root, url)
        self.place = self._driver.place
        self.witness = TimeWitness(self.file_store)
        follow_forks(self._driver)
        self.engine = self._driver.engine
        self.reserve = DiskReserve(root) if root and self._driver.embedded else None

    @property
    def may_write(self) -> bool:
        """Whether this user may write at all, as far as can be told without trying."""
        return self._driver.may_write

    @contextmanager
    def write(self, *, wakes: bool = False, witnessed: bool = True) -> Iterator[sa.Connection]:
        """One durable transaction, the only one that writes: committed and synced on a clean exit, else rolled back.

        `wakes`: it changes what a pointer reader reads. `witnessed`: the catalog is compared with what was seen of it
        before; what only adds a report or takes rights away goes without. Raises TimeWentBackError; and
        CatalogUnavailableError, then nothing was changed unless it is CommitUnknownError.
        """
        with hold_off_forks(), self._errors_translated(), self.engine.connect() as connection:
            connection.begin()
            ticket = self._driver.begin(connection)
            if witnessed:
                self.witness.require_present(connection)
            yield connection
            news = None
            if wakes:
                self._driver.wake_searchers(connection)
                news = self.witness.news(connection)
            try:
                connection.commit()
            except (sa.exc.OperationalError, sa.exc.InterfaceError):
                # A server that went away may have committed first: only the server knows.
                if not self._driver.landed(ticket):
                    raise
            if news is not None:
                self.witness.mark(news)

    @contextmanager
    def note(self) -> Iterator[sa.Connection]:
        """One transaction for signs of life: not synced, because after a power loss nobody lives who gave them."""
        with hold_off_forks(), self._errors_translated(), self._driver.fleeting().begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view of the catalog; never waits for writers."""
        with (
            hold_off_forks(),
            self._errors_translated(),
            self._driver.reading().connect() as connection,
            connection.begin(),
        ):
            yield connection
            self._driver.require_unmoved(connection)

    def lock(self, name: str, *, timeout: float = -1, shared: bool = False) -> AbstractContextManager[None]:
        """Hold the named lock across processes; a process that dies lets go of it.

        `shared`: together with all others who share it; who wants it alone waits for the last of them.

        Raises LockHeldError after `timeout` seconds (-1: wait for ever); CatalogUnavailableError at the end when the
        lock was lost meanwhile.
        """
        return self._driver.lock(name, timeout=timeout, shared=shared)

    def beside(self, work: Callable[[Any, str], None]) -> bool:
        """Do something in a transaction with the driver's own connection and the schema; see `Catalog.beside`."""
        schema_name = self._driver.schema
        if schema_name is None:
            return False
        with self.write(witnessed=False) as connection:
            work(connection.connection.driver_connection, schema_name)
        return True

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT of the dialect, which knows `on_conflict_do_update`."""
        return self._driver.insert(table)

    def clock(self) -> sa.ColumnElement[float]:
        """Seconds since 1970, for times that processes compare: by the server's clock where hosts share one."""
        return self._driver.clock()

    def pointer_reader(self, alias: str) -> PointerReader:
        with self._errors_translated():
            alias.encode()  # said here: the first query is too late for a name that no alias can have
            return self._driver.pointer_reader(alias)

    def create(self) -> str:
        """Lay out an empty catalog and `open` it. Idempotent: the first of several processes does it."""
        embedded, identity = self._driver.embedded, store_identity.read_identity(self.file_store)
        store_identity.require_kind(self.file_store, identity, embedded=embedded)
        if identity is None and embedded and self.file_store.exists(store_identity.EMBEDDED):
            return self.open()  # from before directories had an identity
        if identity is None:
            self._refuse_taken()
        mine = identity or store_identity.claim(self.file_store, store_identity.EMBEDDED if embedded else self.place)
        with self.write(witnessed=False) as connection:
            if not sa.inspect(connection).has_table("store"):  # one of an older format is for `open` to migrate
                self._driver.lay_out(connection)
                schema.metadata.create_all(connection, checkfirst=False)  # in one transaction: none is there or all are
                row = {"id": mine.id, "format": schema.FORMAT, "created_at": now()}
                connection.execute(schema.store.insert().values(**row))
                connection.execute(schema.corpus.insert().values(one=1, head=0, version=0, documents=0))
                connection.execute(schema.earlier.insert().values(one=1, version=0, floor=0))
        return self.open()

    def open(self) -> str:
        """Check whose catalog it is and its format, migrate an older one, and return the store's id.

        Raises StoreNotFoundError, CatalogMismatchError, StoreFormatError.
        """
        mine, embedded = self._identity(), self._driver.embedded
        store_identity.require_kind(self.file_store, mine, embedded=embedded)
        store_identity.require_store(self.file_store, mine, embedded=embedded)
        if mine is not store_identity.UNKNOWN:
            self.witness.look()
        with self.read() as connection:
            if not sa.inspect(connection).has_table("store"):
                raise StoreNotFoundError(f"{self.place} is not a vecrollback catalog", hint="run `vecrollback init`")
            row = connection.execute(sa.select(schema.store.c.id, schema.store.c.format)).one_or_none()
        if row is None or row.format > schema.FORMAT:
            raise StoreFormatError(
                f"the store at {self.file_store.uri} has format {row and row.format}; "
                f"this vecrollback knows up to {schema.FORMAT}",
                hint="pip install --upgrade vecrollback",
            )
        if mine is not None:
            store_identity.require_same(self.file_store, self.place, directory=mine.id, catalog=row.id)
        if row.format < schema.FORMAT:
            from vecrollback.catalog.migrations import migrate

            with self.lock("migrate"), self.write(witnessed=False) as connection:
                migrate(connection, self.file_store)
        if self.reserve is not None:
            self.reserve.keep()
        return str(row.id)

    def copy_to(self, other: Database) -> None:
        """Replace the rows of another catalog, which is new, by this one's; it stays a store of its own.

        Not those of running processes and of what they answer, nor messages that wait: they would be sent twice.
        """
        with self.read() as mine, other.write(witnessed=False) as theirs:
            # In the order of foreign keys, so that a row never names one that is not there yet.
            for table in schema.metadata.sorted_tables:
                if table in _NOT_COPIED:
                    continue
                theirs.execute(table.delete())
                rows = [dict(row._mapping) for row in mine.execute(sa.select(table))]
                if rows:
                    theirs.execute(table.insert(), rows)
            other._driver.count_on(theirs)

    def setback(self, *, look: bool = False) -> Setback | None:
        """What this catalog lacks of what was seen of it before; `look`: also by others, on object storage."""
        if look:
            self.witness.look()
        with self.read() as connection:
            return self.witness.setback(connection)

    def integrity(self) -> str:
        """What the database finds wrong with its own pages; empty when nothing is."""
        try:
            with self.read() as connection:
                return self._driver.integrity(connection)
        except CatalogUnavailableError as error:
            cause = error.__cause__
            if type(cause) is not sa.exc.DatabaseError:
                raise
            return str(cause.orig)  # so damaged that the check itself cannot be made

    def close(self) -> None:
        self.witness.close()
        self._driver.close()

    def _refuse_taken(self) -> None:
        """Raise before a directory is claimed for what cannot become its catalog.

        Raises CatalogMismatchError for the catalog of another store, UsageError where tables of others have the names.
        """
        if self._driver.embedded:
            return
        with self.read() as connection:
            taken = schema.metadata.tables.keys() & set(sa.inspect(connection).get_table_names())
            if schema.store.name in taken:
                other_id = connection.scalar(sa.select(schema.store.c.id))
                store_identity.require_same(self.file_store, self.place, directory="new", catalog=str(other_id))
        if taken:
            raise UsageError(
                f"{self.place} has tables with names that the catalog needs: {', '.join(sorted(taken))}",
                hint="give the catalog a schema of its own: ?schema=NAME. Nothing was changed",
            )

    def _identity(self) -> store_identity.StoreIdentity | None:
        """What the store's place says of itself. A rollback must not wait for a storage that is away (law 7)."""
        try:
            return store_identity.read_identity(self.file_store)
        except StorageUnavailableError as error:
            _log.warning("whether this is the catalog of %s cannot be looked up: %s", self.file_store.uri, error)
            return store_identity.UNKNOWN

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # a broken constraint is the caller's to explain
        except (UnicodeEncodeError, OverflowError, sa.exc.DataError) as error:
            # Said here for every name and number that anybody may ask for, by whatever route it came.
            cause = error.orig if isinstance(error, sa.exc.DataError) else error
            raise UsageError(
                f"a name or a number cannot be in the catalog: {str(cause).strip()}",
                hint="names are valid Unicode without NUL, numbers have 64 bits",
            ) from error
        except sa.exc.DBAPIError as error:
            fact = str(error.orig).strip()  # alone: the whole message holds the statement and its values
            if type(error) is sa.exc.DatabaseError:  # SQLite over a file whose schema or pages are damaged
                raise CatalogUnavailableError.of_damage(self.place, fact) from error
            raise CatalogUnavailableError(
                f"the catalog {self.place} cannot be used: {fact}", hint=self._driver.advice
            ) from error
        except sa.exc.NoResultFound as error:
            raise CatalogUnavailableError.of_damage(self.place, "a row that each store has is missing") from error
        except sa.exc.TimeoutError as error:
            raise CatalogUnavailableError(
                f"the catalog {self.place} cannot be used: all connections of this process are busy",
                hint="try again, with fewer threads at once. Nothing was changed",
            ) from error


_NOT_COPIED = (
    schema.store,
    schema.searcher,
    schema.served,
    schema.stale_read,
    schema.notice,
    schema.watch,
    schema.sampled_query,
    schema.answer_count,
)


def now() -> str:
    """The time now, as the catalog writes it: ISO 8601, UTC, microseconds."""
    return as_kept(dt.datetime.now(dt.UTC))


def as_kept(time: dt.datetime) -> str:
    """A time as the catalog writes it. Raises ValueError where UTC has no such time: in a year before 1, after 9999."""
    try:
        return time.astimezone(dt.UTC).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise ValueError(str(error)) from error


class DiskReserve:
    """A file beside the catalog that holds room: a full disk must not stand between a person and a rollback."""

    def __init__(self, root: Path) -> None:
        self._path = root / _RESERVE

    def keep(self) -> None:
        """Take the room, where there is plenty. Costs a look at the file when it is held already."""
        if self._path.exists():
            return
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._path.parent).free > 4 * _RESERVE_BYTES:
                with written(self._path) as temporary:
                    temporary.write_bytes(
                        os.urandom(_RESERVE_BYTES)
                    )  # a file system that compresses would keep no zeros

    def give(self) -> bool:
        """Free the room when the disk is full; whether there is more of it now."""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < _RESERVE_BYTES:
                self._path.unlink()
                return True
        return False
