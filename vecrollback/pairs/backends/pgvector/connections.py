"""Connections to PostgreSQL: kept open, replaced where they broke, never shared with a forked child."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vecrollback.errors import CorruptArtifactError, MissingDependencyError, StorageUnavailableError, UsageError
from vecrollback.pairs.backend import Place
from vecrollback.pairs.backends.pgvector.wire import WireVector

_CONNECT_SECONDS = 5
_IDLE = 16
"""Connections kept open between uses."""
_PATIENCE_SECONDS = 10.0
"""How long a read waits for a server that restarts."""

T = TypeVar("T")


def import_psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise MissingDependencyError("psycopg", "postgresql") from error
    return psycopg


def configure(connection: Any, settings: tuple[tuple[str, str], ...]) -> None:
    """Settings of index scans, which stay until somebody with another index comes."""
    if settings and connection.vecrollback_settings != settings:
        names = ", ".join("set_config(%s, %s, false)" for _ in settings)
        connection.execute(f"SELECT {names}", [part for pair in settings for part in pair])
        connection.vecrollback_settings = settings


class Pool:
    """Connections to one server, last used first. A process that was forked opens its own."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[Any] = []
        self._pid = os.getpid()
        self._inherited: list[Any] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[Any], T], *, patience: float = _PATIENCE_SECONDS) -> T:
        """Do something on a connection; again on a new one, for a while, where the old one is broken.

        Raises StorageUnavailableError, CorruptArtifactError.
        """
        psycopg = import_psycopg()
        until = time.monotonic() + patience
        while True:
            try:
                with self._connection() as connection:
                    return work(connection)
            except psycopg.errors.UndefinedTable as error:
                raise CorruptArtifactError(
                    f"the table {self._place.shown} is gone", hint="re-embed the pair under another name"
                ) from error
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if time.monotonic() >= until or isinstance(error, psycopg.errors.InsufficientPrivilege):
                    raise StorageUnavailableError(
                        f"{self._place.shown} does not answer: {self._without_secrets(str(error))}",
                        hint="is the server up? a password is not kept in the store: PGPASSWORD or ~/.pgpass has it, "
                        "or write pgvector:$VARIABLE#NAME with the whole URL in that variable",
                    ) from None
                time.sleep(0.05)

    def clear(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        with self._lock:
            if self._pid != os.getpid():
                # never closed here: that would speak to the server in the parent's name
                self._inherited, self._idle, self._pid = self._idle, [], os.getpid()
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> Any:
        psycopg = import_psycopg()
        from psycopg.adapt import Dumper
        from psycopg.pq import Format

        try:
            connection = psycopg.connect(conninfo(self._place.address), autocommit=True)
        except (ValueError, psycopg.ProgrammingError) as error:
            raise UsageError(
                f"{self._place.shown} is not a valid address", hint="postgresql://user@host:5432/database"
            ) from error
        row = connection.execute("SELECT oid FROM pg_type WHERE typname = 'vector'").fetchone()

        class VectorDumper(Dumper):
            format = Format.BINARY
            oid = row[0] if row else 0

            def dump(self, obj: bytes) -> bytes:
                return bytes(obj)

        if row:
            connection.adapters.register_dumper(WireVector, VectorDumper)
        connection.prepare_threshold = 2
        connection.vecrollback_settings = ()
        return connection

    def _without_secrets(self, message: str) -> str:
        """A server's words are not trusted to leave out what it was told."""
        password = urlsplit(self._place.address).password if "://" in self._place.address else None
        return message.strip().replace(password, "***") if password else message.strip()


def conninfo(address: str) -> str:
    """A URL of an application's settings as libpq takes it: drivers' names and a catalog's `schema` left out.

    Raises ValueError.
    """
    import sqlalchemy as sa
    from psycopg.conninfo import make_conninfo

    try:
        parts = sa.make_url(re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", address))
    except sa.exc.ArgumentError as error:
        raise ValueError("not a URL") from error
    values: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    values |= {"host": parts.host, "port": parts.port, "user": parts.username, "password": parts.password}
    values |= {"dbname": parts.database, **parts.query}
    values.pop("schema", None)
    return make_conninfo(**{name: value for name, value in values.items() if value is not None})
