"""Named locks in PostgreSQL: session advisory locks, which a process that dies, or loses its connection, lets go of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from vecrollback.errors import CatalogUnavailableError, LockHeldError
from vecrollback.storage.forks import inherit

_POLL_SECONDS = 0.02
_KEPT_OPEN = 2


class AdvisoryLocks:
    """Each held lock has a connection of its own; threads of one process queue for it before they open one.

    Waiting is by polling, as with lock files: a statement that waits inside the server would hold back its vacuum for
    as long as a re-embedding takes.
    """

    def __init__(self, url: sa.URL, arguments: Mapping[str, str], key: Callable[[str], int], place: str) -> None:
        self._key, self._place = key, place
        self._engine = sa.create_engine(
            url,
            connect_args=dict(arguments),
            isolation_level="AUTOCOMMIT",
            pool_pre_ping=True,
            pool_size=_KEPT_OPEN,
            max_overflow=-1,  # a job must get its lock while others of this process wait for theirs
        )
        self._threads: dict[str, threading.Lock] = {}

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[None]:
        """Hold a lock. Raises LockHeldError, and CatalogUnavailableError at the end when it was lost meanwhile."""
        deadline = time.monotonic() + timeout if timeout >= 0 else None
        # Threads of this process queue here, so that each lock they wait for needs one connection and not many.
        queue = self._threads.setdefault(name, threading.Lock())
        if not queue.acquire(timeout=timeout):
            raise LockHeldError(name, timeout)
        try:
            with self._locked(name, timeout, deadline):
                yield
        finally:
            queue.release()

    @contextmanager
    def share(self, name: str, timeout: float) -> Iterator[None]:
        """Hold a lock together with others that share it. Raises as `hold`."""
        with self._locked(name, timeout, time.monotonic() + timeout if timeout >= 0 else None, "_shared"):
            yield

    @contextmanager
    def _locked(self, name: str, timeout: float, deadline: float | None, mode: str = "") -> Iterator[None]:
        with self._connection() as connection:
            while not self._call(connection, f"pg_try_advisory_lock{mode}", name):
                if deadline is not None and time.monotonic() > deadline:
                    raise LockHeldError(name, timeout)
                time.sleep(_POLL_SECONDS)
            yield
            self._release(connection, name, mode)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        """A connection; after any error it is closed rather than kept, which lets go of what it holds."""
        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            raise self._unavailable(error) from error
        with connection:
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise

    def _call(self, connection: sa.Connection, function: str, name: str) -> bool:
        try:
            return bool(connection.scalar(sa.select(getattr(sa.func, function)(self._key(name)))))
        except sa.exc.DBAPIError as error:
            raise self._unavailable(error) from error

    def _release(self, connection: sa.Connection, name: str, mode: str) -> None:
        """Let go, and notice a lock that was lost. Its commits were refused if another writer came in between."""
        try:
            was_held = self._call(connection, f"pg_advisory_unlock{mode}", name)
        except CatalogUnavailableError:
            was_held = False
        if not was_held:
            raise CatalogUnavailableError(
                f"the lock {name!r} in {self._place} was lost while this process held it: the connection broke",
                hint="what was acknowledged stands; run the same command again for the rest",
            )

    def _unavailable(self, error: sa.exc.DBAPIError) -> CatalogUnavailableError:
        return CatalogUnavailableError(
            f"the catalog {self._place} cannot be used: {str(error.orig).strip()}",
            hint="is the server up, and reachable from here? Nothing was changed",
        )

    def forked(self) -> None:
        """In a child after a fork: the connections, and the locks they hold, are the parent's."""
        inherit(self._engine.pool)
        self._engine.dispose(close=False)
        self._threads = {}

    def close(self) -> None:
        self._engine.dispose()
