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

from vecrollback.catalog.databases.pointer import CANARY_SQL, POINTER_SQL, pointer_of, tries
from vecrollback.errors import CatalogUnavailableError
from vecrollback.records import Pointer
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit

_ANSWER_SECONDS = 3.0
_RETRY_SECONDS = 0.25
_STATEMENT, _CANARY_STATEMENT = b"pointer", b"canary"


class PostgresPointerReader(FollowsForks):
    """Exact: the server is asked for every query. A wait has a connection of its own, so that it delays no query.

    While the server is away a thread tries to reach it, and queries hear at once that it is: none of them waits for a
    network that answers nobody, but the one that found out.
    """

    def __init__(self, arguments: Mapping[str, Any], alias: str, *, channel: str, place: str) -> None:
        self._arguments, self._alias, self._channel, self._place = arguments, alias, channel, place
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._away: str | None = None
        self._closing = threading.Event()
        self._pointer: Pointer | None = None
        self._listener: psycopg.Connection | None = None
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._connection, self._listener, self._bell, self._ringer)
        self._connection = self._listener = None
        self._lock, self._away = threading.Lock(), None
        closed, self._closing = self._closing.is_set(), threading.Event()
        if closed:
            self._closing.set()
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> Pointer | None:
        self._refuse_while_away()
        with self._lock:
            self._refuse_while_away()  # it may have gone while this thread queued
            try:
                row = self._row()
            except psycopg.Error as error:
                self._drop()
                self._away = _reason(error)
                threading.Thread(target=self._return, name="vecrollback-catalog", daemon=True).start()
                raise self._unavailable(self._away) from error
            pointer = pointer_of(self._alias, row) if row else None
            self._pointer = self._pointer if pointer == self._pointer else pointer
            return self._pointer

    def _row(self) -> tuple[Any, ...] | None:
        """The row; over a new connection when the one that was open broke: a server that restarted is back already."""
        if self._connection is not None:
            try:
                return self._fetch(self._connection)
            except psycopg.Error as error:
                self._drop()
                if isinstance(error, _NoAnswerError):
                    raise
        self._connection = self._prepare()
        return self._fetch(self._connection)

    def _fetch(self, connection: psycopg.Connection) -> tuple[Any, ...] | None:
        row = self._execute(connection, _STATEMENT)
        return self._execute(connection, _CANARY_STATEMENT) if row and tries(row) else row

    def _execute(self, connection: psycopg.Connection, statement: bytes) -> tuple[Any, ...] | None:
        # Below psycopg's cursors: those would wait for ever for a server that hangs.
        server = connection.pgconn
        server.send_query_prepared(statement, [self._alias.encode()])
        result = _answer(server)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        if not result.ntuples:
            return None
        values = (result.get_value(0, column) for column in range(result.nfields))
        return tuple(None if value is None else value.decode() for value in values)

    def _prepare(self) -> psycopg.Connection:
        connection = self._connect()
        try:
            for name, sql in ((_STATEMENT, POINTER_SQL), (_CANARY_STATEMENT, CANARY_SQL)):
                result = connection.pgconn.prepare(name, sql.format("$1::text").encode())
                if result.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(**self._arguments, autocommit=True)

    def _return(self) -> None:
        """Connect as soon as the server lets us."""
        while not self._closing.wait(_RETRY_SECONDS):
            try:
                connection = self._prepare()
            except psycopg.Error as error:
                self._away = _reason(error)
                continue
            with self._lock:
                self._connection, self._away = connection, None
                # The reader may have been closed while this thread connected.
                if self._closing.is_set():
                    self._drop()
            return

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refuse_while_away(self) -> None:
        if self._away is not None:
            raise self._unavailable(self._away)

    def _unavailable(self, why: str) -> CatalogUnavailableError:
        return CatalogUnavailableError(
            f"the pointer {self._alias!r} in {self._place} cannot be read: {why}",
            hint="is the server up, and reachable from here? Answers come from what was read before",
        )

    # -- waiting ------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> bool:
        try:
            if self._listener is None:
                self._listener = self._listen()
                return True  # what was committed before the first LISTEN has rung nowhere
            return self._wait_for_bell(self._listener, seconds)
        except psycopg.Error:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._wait_for_bell(None, min(seconds, _RETRY_SECONDS))
            return True

    def _listen(self) -> psycopg.Connection:
        connection = self._connect()
        connection.execute(f"LISTEN {self._channel}")
        return connection

    def _wait_for_bell(self, listener: psycopg.Connection | None, seconds: float) -> bool:
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
        self._closing.set()
        with self._lock:
            self._drop()
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._bell.close()
            self._ringer.close()


class _NoAnswerError(psycopg.OperationalError):
    """The server hangs, or the network swallows everything: connecting again would only take longer."""


def _answer(server: pq.abc.PGconn) -> pq.abc.PGresult:
    """The one result of a statement that was sent. Raises OperationalError, _NoAnswerError when none comes in time."""
    poll = select.poll()
    poll.register(server.socket, select.POLLIN)
    deadline = time.monotonic() + _ANSWER_SECONDS
    while server.flush() or server.is_busy():
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _NoAnswerError(f"no answer within {_ANSWER_SECONDS:g} s")
        server.consume_input()
    result = server.get_result()
    if result is None:
        raise psycopg.OperationalError("the server gave no result")
    # libpq wants all results read before the next statement may be sent.
    while server.get_result() is not None:
        pass
    return result


def _reason(error: psycopg.Error) -> str:
    return str(error).strip() or type(error).__name__
