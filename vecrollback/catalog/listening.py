"""The pointer in PostgreSQL: one prepared statement per query, and notifications for readers that wait."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq

from vecrollback.catalog.pointer import POINTER_SQL
from vecrollback.errors import CatalogUnavailableError
from vecrollback.records import Pointer

_ANSWER_SECONDS = 3.0
_RETRY_SECONDS = 0.25
_STATEMENT = b"pointer"


class PostgresPointerReader:
    """Exact: the server is asked for every query. A wait has a connection of its own, so that it delays no query.

    While the server is away one query at a time tries to reach it, a few times a second; all others hear at once that
    it is, instead of queueing for a timeout.
    """

    def __init__(self, arguments: Mapping[str, Any], alias: str, *, channel: str, place: str) -> None:
        self._arguments, self._alias, self._channel, self._place = arguments, alias, channel, place
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._away: str | None = None
        self._retry_at = 0.0
        self._pointer: Pointer | None = None
        self._listener: psycopg.Connection | None = None
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> Pointer | None:
        if self._away is not None and time.monotonic() < self._retry_at:
            raise self._unavailable(self._away)
        if not self._lock.acquire(blocking=self._away is None):
            raise self._unavailable(self._away or "it is being connected to")
        try:
            return self._read()
        except psycopg.Error as error:
            self._away, self._retry_at = _told(error), time.monotonic() + _RETRY_SECONDS
            raise self._unavailable(self._away) from error
        finally:
            self._lock.release()

    def _read(self) -> Pointer | None:
        row = self._row()
        self._away = None
        found = Pointer(self._alias, *row) if row else None
        self._pointer = self._pointer if found == self._pointer else found
        return self._pointer

    def _row(self) -> tuple[Any, ...] | None:
        """The row; over a new connection when the one that was open is broken: the server may be back already."""
        if self._connection is not None:
            try:
                return self._fetched(self._connection)
            except psycopg.Error:
                self._forget()
        self._connection = self._connected()
        try:
            self._connection.pgconn.prepare(_STATEMENT, POINTER_SQL.format("$1::text").encode())
            return self._fetched(self._connection)
        except psycopg.Error:
            self._forget()
            raise

    def _fetched(self, connection: psycopg.Connection) -> tuple[Any, ...] | None:
        # below psycopg's cursors, which would wait for a server that hangs for ever
        server = connection.pgconn
        server.send_query_prepared(_STATEMENT, [self._alias.encode()])
        result = _answer(server)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        if not result.ntuples:
            return None
        values = [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]
        epoch, pair, *numbers = values
        return int(epoch), pair, *map(int, numbers)

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(**self._arguments, autocommit=True)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unavailable(self, why: str) -> CatalogUnavailableError:
        return CatalogUnavailableError(
            f"the pointer {self._alias!r} in {self._place} cannot be read: {why}",
            hint="is the server up, and reachable from here? Answers come from what was read before",
        )

    # -- waiting ------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> bool:
        try:
            if self._listener is None:
                self._listener = self._listening()
                return True  # what was committed before the first LISTEN has rung nowhere
            return self._rung(self._listener, seconds)
        except psycopg.Error:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._rung(None, min(seconds, _RETRY_SECONDS))
            return True

    def _listening(self) -> psycopg.Connection:
        connection = self._connected()
        connection.execute(f"LISTEN {self._channel}")
        return connection

    def _rung(self, listener: psycopg.Connection | None, seconds: float) -> bool:
        """Whether a notification came before the time was over or somebody called `wake`."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if listener is not None:
            poll.register(listener.pgconn.socket, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
        if self._bell.fileno() in ready:
            self._bell.recv(4096)
        if listener is not None and listener.pgconn.socket in ready:
            listener.pgconn.consume_input()
            while listener.pgconn.notifies() is not None:
                pass
            return True
        return False

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            self._ringer.send(b"!")

    def close(self) -> None:
        with self._lock:
            self._forget()
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._bell.close()
            self._ringer.close()


def _answer(server: pq.abc.PGconn) -> pq.abc.PGresult:
    """The one result of a statement that was sent. Raises OperationalError when none comes in time."""
    poll = select.poll()
    poll.register(server.socket, select.POLLIN)
    deadline = time.monotonic() + _ANSWER_SECONDS
    while server.flush() or server.is_busy():
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise psycopg.OperationalError(f"no answer within {_ANSWER_SECONDS:g} s")
        server.consume_input()
    result = server.get_result()
    if result is None:
        raise psycopg.OperationalError("the server gave no result")
    while server.get_result() is not None:
        pass
    return result


def _told(error: psycopg.Error) -> str:
    return str(error).strip() or type(error).__name__
