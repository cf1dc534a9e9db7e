"""The catalog in SQLite, in the store's own directory: for one host, with nothing to run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from vecrollback.catalog.databases.holders import holders
from vecrollback.catalog.databases.pointer import CANARY_SQL, POINTER_SQL, pointer_of, tries
from vecrollback.catalog.databases.store_identity import EMBEDDED
from vecrollback.errors import CatalogUnavailableError, LockHeldError
from vecrollback.records import Pointer
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit
from vecrollback.storage.local import give_to_owner

if TYPE_CHECKING:
    from filelock import FileLock

_BUSY_MS = 30_000
_WAL_WRITE_LOCK = 120
"""The byte of the -shm file that who writes has locked: https://www.sqlite.org/walformat.html#wal_locks."""
_WRITABLE_ADVICE = "is the disk full, the file writable, another process holding it? Nothing was changed"
_READER_ADVICE = "this user may only read the store: run it as the store's owner, or give this user the right to write"
_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.01
"""How long a catalog file that was put in place of this one may be overlooked."""


class SqliteDriver(FollowsForks):
    """A write transaction takes the write lock at its start (`BEGIN IMMEDIATE`), so what it reads cannot change."""

    embedded = True
    schema: str | None = None

    def __init__(self, root: Path) -> None:
        self.path = root / EMBEDDED
        self.may_write = may_write(self.path)
        self.place = str(self.path)
        self._was_there = self.path.exists()
        self._locks = root / "locks"
        self._held: set[FileLock] = set()
        self._shared_files: set[int] = set()
        self.engine = self._engine("FULL")
        self._fleeting = self._engine("NORMAL")  # a commit of the other engine syncs what was written before it
        self._reading = self.engine.execution_options(vecrollback_read=True)

    def _engine(self, synchronous: str) -> sa.Engine:
        if not self.may_write:
            return self._engine_for_reading()
        engine = sa.create_engine(
            "sqlite+pysqlite://", creator=self._connect, poolclass=sa.QueuePool, json_deserializer=self._parse
        )
        sa.event.listen(engine, "connect", partial(_prepare, synchronous=synchronous))
        return self._watched(engine)

    def _connect(self) -> sqlite3.Connection:
        # A catalog that was there and is gone must not come back as an empty file.
        place = f"file:{quote(str(self.path))}?mode={'rw' if self._was_there else 'rwc'}"
        connection = sqlite3.connect(place, timeout=_BUSY_MS / 1000, uri=True, check_same_thread=False)
        self._was_there = True
        return connection

    def _engine_for_reading(self) -> sa.Engine:
        """For a user who may not write: SQLite must not want to create the files beside the catalog."""

        def connect() -> sqlite3.Connection:
            place = place_for_reading(self.path, may_write=False)
            return sqlite3.connect(place, uri=True, check_same_thread=False, isolation_level=None)

        return self._watched(
            sa.create_engine(
                "sqlite+pysqlite://", creator=connect, poolclass=sa.QueuePool, json_deserializer=self._parse
            )
        )

    def _watched(self, engine: sa.Engine) -> sa.Engine:
        sa.event.listen(engine, "connect", self._note_file)
        sa.event.listen(engine, "checkout", self._require_same_file)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _parse(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:  # unlike PostgreSQL, SQLite does not look at what it keeps
            fact = f"a value in it is not valid JSON: {error}"
            raise CatalogUnavailableError.of_damage(self.place, fact) from error

    def require_unmoved(self, connection: sa.Connection) -> None:
        """Raise CatalogUnavailableError when a file that was read without locks was changed meanwhile."""
        info = connection.connection.info
        if not self.may_write and info.get("file") != self._identity():
            raise CatalogUnavailableError(
                f"the catalog {self.place} was changed while it was read", hint="run the command again"
            )

    def _identity(self) -> FileIdentity:
        return file_identity(self.path, may_write=self.may_write)

    def _note_file(self, _connection: Any, record: Any) -> None:
        record.info["file"] = self._identity()

    def _require_same_file(self, _connection: Any, record: Any, _proxy: Any) -> None:
        # What is written into a file that has lost its name is gone with the last process that has it open.
        if record.info.get("file") != self._identity():
            raise sa.exc.DisconnectionError("another file lies there now")

    def lay_out(self, connection: sa.Connection) -> None:
        """Nothing to prepare: the file is the catalog's own."""

    def reading(self) -> sa.Engine:
        return self._reading

    def fleeting(self) -> sa.Engine:
        return self._fleeting

    def begin(self, connection: sa.Connection) -> str:  # noqa: ARG002
        return ""

    def landed(self, ticket: str) -> bool:  # noqa: ARG002
        return False  # the commit is in this process: when it raises, it did not happen

    def wake_searchers(self, connection: sa.Connection) -> None:
        """Nothing to send: `data_version` tells every connection of every process."""

    @property
    def advice(self) -> str:
        """The hint of an error, which says who is in the middle of a write, where somebody is."""
        if writer := holders(self.path.with_name(f"{self.path.name}-shm"), at=_WAL_WRITE_LOCK):
            return f"{writer} is in the middle of a write: wait for it, wake it (`kill -CONT PID`) or end it"
        return _WRITABLE_ADVICE if self.may_write else _READER_ADVICE

    @contextmanager
    def lock(self, name: str, *, timeout: float, shared: bool = False) -> Iterator[None]:
        from filelock import FileLock, Timeout

        if shared:
            with self._shared(name, timeout):
                yield
            return
        try:
            self._locks.mkdir(exist_ok=True)
            file_lock = FileLock(self._locks / f"{name}.lock", timeout=timeout)
            file_lock.acquire()
            give_to_owner(self._locks / f"{name}.lock")
        except Timeout:
            raise LockHeldError(name, timeout, holder=holders(self._locks / f"{name}.lock")) from None
        except OSError as error:
            raise self._unlockable(name, error) from error
        self._held.add(file_lock)
        try:
            yield
        finally:
            self._held.discard(file_lock)
            file_lock.release()

    @contextmanager
    def _shared(self, name: str, timeout: float) -> Iterator[None]:
        """Hold the file of a lock together with others. FileLock uses the same system call, and knows no sharing."""
        deadline = time.monotonic() + timeout if timeout >= 0 else None
        try:
            descriptor = self._open_shared(self._locks / f"{name}.lock")
        except OSError as error:
            raise self._unlockable(name, error) from error
        if descriptor is None:
            yield
            return
        self._shared_files.add(descriptor)
        try:
            while not _flock_shared(descriptor):
                if deadline is not None and time.monotonic() > deadline:
                    raise LockHeldError(name, timeout, holder=holders(self._locks / f"{name}.lock"))
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            if descriptor in self._shared_files:  # else this is a child, which closed its copy when it was forked
                self._shared_files.discard(descriptor)
                os.close(descriptor)

    def _unlockable(self, name: str, error: OSError) -> CatalogUnavailableError:
        return CatalogUnavailableError(
            f"the lock {name!r} of the catalog {self.place} cannot be taken: {error}",
            hint="is the folder `locks` of the store there, and may this user write in it? Nothing was changed"
            if self.may_write
            else self.advice,
        )

    def _open_shared(self, path: Path) -> int | None:
        """The file of a lock, which who only reads may share; None where nobody has made it and this user may not."""
        try:
            path.parent.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            give_to_owner(path)
            return descriptor
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return None

    def insert(self, table: sa.Table) -> sqlite.Insert:
        return sqlite.insert(table)

    def clock(self) -> sa.ColumnElement[float]:
        return sa.literal(time.time(), sa.Float)

    def count_on(self, connection: sa.Connection) -> None:
        """Nothing to do: the next key is one more than the largest there is."""

    def integrity(self, connection: sa.Connection) -> str:
        rows = connection.exec_driver_sql("PRAGMA integrity_check(5)").scalars().all()
        return "" if list(rows) == ["ok"] else "; ".join(map(str, rows))

    def pointer_reader(self, alias: str) -> SqlitePointerReader:
        return SqlitePointerReader(self.path, alias)

    def before_fork(self) -> None:
        """Close what is idle. SQLite remembers the locks of a process, which a child does not inherit."""
        for engine in (self.engine, self._fleeting):
            with contextlib.suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
                engine.dispose()

    def forked(self) -> None:
        for engine in (self.engine, self._fleeting):
            inherit(engine.pool)
            engine.dispose(close=False)
        for held in self._held:  # a copy of the file's handle would hold the lock for as long as the child lives
            if (handle := held._context.lock_file_fd) is not None:
                held._context.lock_file_fd = None
                os.close(handle)
        self._held.clear()
        for descriptor in self._shared_files:
            os.close(descriptor)
        self._shared_files.clear()

    def close(self) -> None:
        self.engine.dispose()
        self._fleeting.dispose()


def _flock_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


FileIdentity = tuple[int, ...] | None


def file_identity(path: Path | str, *, may_write: bool = True) -> FileIdentity:
    """Which file has this name now; None for none. A backup that is put back is another one.

    For who may not write, its content counts as well, and whether others have it open for writing: see
    `place_for_reading`.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  every query asks: a path object takes twice as long
    except OSError:
        return None
    if may_write:
        return status.st_dev, status.st_ino
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, _is_in_use(Path(path))


def may_write(path: Path) -> bool:
    """Whether this user may write a catalog, as far as rights and the file system say; also one that is not there."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def place_for_reading(path: Path, *, may_write: bool) -> str:
    """The URI that opens a catalog for reading.

    Who may not write cannot create the files that SQLite shares between processes. Where nobody else has made them,
    nobody writes: then the file is read as it is, without locks, and whether that has changed is looked at each time.
    """
    unlocked = not may_write and not _is_in_use(path)
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if unlocked else ''}"


def _is_in_use(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def _prepare(connection: Any, _record: Any, *, synchronous: str) -> None:
    connection.isolation_level = None  # the driver would otherwise begin transactions behind SQLAlchemy's back
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    read_only = connection.get_execution_options().get("vecrollback_read")
    # IMMEDIATE takes the write lock now: a reader that becomes a writer later may be refused for what it read.
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


class SqlitePointerReader:
    """Exact, and cheap while nothing was committed.

    SQLite's `data_version` changes with every commit of any other connection, in any process; while it stands still
    the row read before is still true. It is read first: a commit in between costs one extra read, never a stale answer.
    """

    def __init__(self, path: Path, alias: str) -> None:
        self._alias = alias
        self._sql, self._canary_sql = POINTER_SQL.format("?"), CANARY_SQL.format("?")
        self._path = path.resolve()
        self._name = str(self._path)
        self._may_write = may_write(self._path)
        self._file: FileIdentity = None
        self._looks_at = 0.0  # seconds of `time.monotonic`; 0: at the next read
        self._connection: sqlite3.Connection | None = None
        self._version_read: int | None = None
        self._version_awaited: int | None = None
        self._lock = threading.Lock()
        self._wake_event = threading.Event()
        self._pointer: Pointer | None = None
        self._resting = True  # the first read opens the file: it tells what is wrong with it
        follow_forks(self)

    def _open(self) -> None:
        self._file = file_identity(self._path, may_write=self._may_write)
        place = place_for_reading(self._path, may_write=self._may_write)
        self._connection = sqlite3.connect(place, uri=True, check_same_thread=False, isolation_level=None)
        self._version = self._connection.cursor()
        self._version_read = self._version_awaited = None

    def before_fork(self) -> None:
        """Close the connection: what SQLite knows of its locks would be copied without the locks."""
        self._lock.acquire()
        if self._connection is not None:
            self._rest(self._connection)

    def after_fork(self) -> None:
        self._lock.release()

    def forked(self) -> None:
        self._lock, self._wake_event = threading.Lock(), threading.Event()

    def read(self) -> Pointer | None:
        try:
            return self._read_pointer()
        except sqlite3.Error as error:
            raise CatalogUnavailableError(
                f"the pointer {self._alias!r} in {self._path} cannot be read: {error}",
                hint="is the file there, and may this user read it? Answers come from what was read before",
            ) from error

    def _read_pointer(self) -> Pointer | None:
        with self._lock:
            # Before the row: a commit in between costs one more read the next time, never a stale answer.
            version = self._data_version()
            if version != self._version_read:
                row = self._version.connection.execute(self._sql, (self._alias,)).fetchone()
                if row and tries(row):
                    row = self._version.connection.execute(self._canary_sql, (self._alias,)).fetchone()
                pointer = pointer_of(self._alias, row) if row else None
                self._pointer = self._pointer if pointer == self._pointer else pointer
                self._version_read = version
            return self._pointer

    def wait(self, seconds: float) -> bool:
        """Poll `data_version`. Watching the file instead is unreliable: its notices come up to 100 ms late."""
        deadline = time.monotonic() + seconds
        while not self._wake_event.wait(_POLL_SECONDS) and time.monotonic() < deadline:
            if self._has_news():
                return True
        self._wake_event.clear()
        return False

    def _has_news(self) -> bool:
        try:
            with self._lock:
                version = self._data_version()
        except sqlite3.Error:
            return True
        news, self._version_awaited = version != self._version_awaited, version
        return news

    def _data_version(self) -> int:
        # Every query passes here, and a look at the file takes a third of a read: not every read looks.
        if time.monotonic() >= self._looks_at:
            self._look()
        version: int = self._version.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _look(self) -> None:
        """Open the file, anew where another one has the catalog's name now.

        Who may not write reads without locks and sees by the file alone that something was committed: always looks.
        """
        if self._connection is not None and self._file != file_identity(self._name, may_write=self._may_write):
            self._rest(self._connection)
        if self._resting:
            self._open()
            self._resting = False
        if self._connection is None:
            raise sqlite3.ProgrammingError("the reader is closed")
        if self._may_write:
            self._looks_at = time.monotonic() + _LOOK_SECONDS

    def _rest(self, connection: sqlite3.Connection) -> None:
        """Close the connection; the next read opens another."""
        connection.close()
        self._connection, self._resting, self._looks_at = None, True, 0.0

    def wake(self) -> None:
        self._wake_event.set()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._rest(self._connection)
            self._resting = False
