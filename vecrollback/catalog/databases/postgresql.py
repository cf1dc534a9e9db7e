"""The catalog in PostgreSQL, for several hosts: one schema of a database for each store."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from vecrollback.catalog.databases.advisory_locks import AdvisoryLocks
from vecrollback.catalog.databases.listen_notify import PostgresPointerReader
from vecrollback.catalog.schema import metadata
from vecrollback.errors import CommitUnknownError, UsageError
from vecrollback.storage.forks import FollowsForks, inherit

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_DEFAULT_SCHEMA = "vecrollback"
_FIND_OUT_SECONDS, _PAUSE_SECONDS = 15.0, 0.1
_CONNECT: Mapping[str, str] = {
    "application_name": "vecrollback",
    "connect_timeout": "3",
    # of several hosts in the URL the one that writes: a standby's pointer would be late
    "target_session_attrs": "read-write",
    # a host that vanished sends nothing: without these a query would wait for it for hours
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SESSION: Mapping[str, str] = {
    # a writer that hangs in its transaction must not keep a rollback waiting
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "30s",
    "idle_session_timeout": "0",
    # the locks of a client host that vanished are free after about this time
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class PostgresDriver(FollowsForks):
    """Write transactions take turns by an advisory lock: what SQLite's `BEGIN IMMEDIATE` gives.

    The history is a chain of hashes, so moves need one order anyway; with it, every check-then-write of the catalog
    is race-free under READ COMMITTED without a second thought. It costs no round trip: the statement that takes the
    lock also fetches the transaction's id.
    """

    embedded = False
    may_write = True
    advice = "is the server up, the network, the password (PGPASSWORD, ~/.pgpass)? Nothing was changed"

    def __init__(self, url: str) -> None:
        address, self.schema = _parse_url(url)
        self.place = _place_of(address, self.schema)
        self._channel = f"vecrollback_{self.schema}"
        self._write_lock = self._key("write")
        self._arguments = _arguments(address, self.schema)
        bare = address.difference_update_query(["schema", "options"])
        self.engine = sa.create_engine(bare, connect_args=self._arguments, pool_pre_ping=True)
        sa.event.listen(self.engine, "connect", _require_durable)
        self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._fleeting = self.engine.execution_options(vecrollback_fleeting=True)
        sa.event.listen(self._fleeting, "begin", _begin_fleeting)
        self._locks = AdvisoryLocks(bare, self._arguments, self._key, self.place)

    def reading(self) -> sa.Engine:
        return self._reading

    def fleeting(self) -> sa.Engine:
        return self._fleeting

    def lay_out(self, connection: sa.Connection) -> None:
        # asked first: CREATE SCHEMA IF NOT EXISTS wants the right to create even where there is nothing to create
        if connection.scalar(sa.select(sa.func.to_regnamespace(self.schema))) is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {self.schema}")

    def begin(self, connection: sa.Connection) -> str:
        lock_call = sa.func.pg_advisory_xact_lock(self._write_lock)
        # The transaction's id comes along at no cost: by it a commit whose answer was lost can be looked up.
        row = connection.execute(sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.String), lock_call)).one()
        return str(row[0])

    def landed(self, ticket: str) -> bool:
        deadline = time.monotonic() + _FIND_OUT_SECONDS
        while True:
            status = self._status(ticket)
            if status in ("committed", "aborted"):
                return status == "committed"
            if time.monotonic() > deadline:
                raise CommitUnknownError(
                    f"the catalog {self.place} went away while it committed; whether it did is not known",
                    hint="when it is back, look (`vecrollback status`, `vecrollback history`), then decide again",
                )
            time.sleep(_PAUSE_SECONDS)

    def _status(self, ticket: str) -> str | None:
        try:
            with self.engine.connect() as connection:
                query = sa.text("SELECT pg_xact_status(CAST(:ticket AS xid8))")
                status: str | None = connection.scalar(query, {"ticket": ticket})
                return status
        except (sa.exc.DBAPIError, sa.exc.TimeoutError):
            return None  # away still; or a standby took over that never heard of this transaction

    def wake_searchers(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_notify(self._channel, "")))

    def lock(self, name: str, *, timeout: float, shared: bool = False) -> AbstractContextManager[None]:
        return self._locks.share(name, timeout) if shared else self._locks.hold(name, timeout)

    def insert(self, table: sa.Table) -> postgresql.Insert:
        return postgresql.insert(table)

    def clock(self) -> sa.ColumnElement[float]:
        return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float)

    def require_unmoved(self, connection: sa.Connection) -> None:
        """Nothing to do: a server's transaction sees one moment."""

    def count_on(self, connection: sa.Connection) -> None:
        for table in metadata.sorted_tables:
            if "number" in table.c and table.c.number.primary_key:
                newest = sa.select(sa.func.max(table.c.number)).scalar_subquery()
                sequence = sa.func.pg_get_serial_sequence(f'"{table.name}"', "number")
                # false: the number given is the next one, so that an empty table begins with 1
                connection.execute(sa.select(sa.func.setval(sequence, sa.func.coalesce(newest, 0) + 1, sa.false())))

    def integrity(self, connection: sa.Connection) -> str:  # noqa: ARG002
        return ""  # PostgreSQL checks its pages when it reads them

    def pointer_reader(self, alias: str) -> PostgresPointerReader:
        _, parameters = self.engine.dialect.create_connect_args(self.engine.url)
        arguments = {**parameters, **self._arguments}
        return PostgresPointerReader(arguments, alias, channel=self._channel, place=self.place)

    def forked(self) -> None:
        inherit(self.engine.pool)
        self.engine.dispose(close=False)
        self._locks.forked()

    def close(self) -> None:
        self._locks.close()
        self.engine.dispose()

    def _key(self, name: str) -> int:
        """The number of a lock. Advisory locks are numbered per database, which other stores and programs may use."""
        digest = hashlib.sha256(f"vecrollback\0{self.schema}\0{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def _parse_url(url: str) -> tuple[sa.URL, str]:
    """The URL and the schema in it. No message repeats a URL that cannot be parsed: a password may be anywhere."""
    hint = "postgresql+psycopg://USER@HOST/DATABASE?schema=NAME"
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError("the catalog's URL cannot be parsed", hint=hint) from None
    if address.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(f"a catalog cannot be in {address.drivername!r}", hint=hint)
    schema = address.query.get("schema", _DEFAULT_SCHEMA)
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise UsageError(
            f"{schema!r} cannot be the schema of a catalog",
            hint="lower-case letters, digits, underscore, not a digit first; at most 48",
        )
    return address.set(drivername="postgresql+psycopg"), schema


def _arguments(url: sa.URL, schema: str) -> dict[str, str]:
    """How to connect, besides what the URL says, which wins."""
    session = " ".join(f"-c {name}={value}" for name, value in {**_SESSION, "search_path": schema}.items())
    own = url.query.get("options", "")
    options = " ".join([session, *([own] if isinstance(own, str) else own)])
    return {name: value for name, value in _CONNECT.items() if name not in url.query} | {"options": options}


def _place_of(url: sa.URL, schema: str) -> str:
    """The URL for messages. Only what tells where it is: libpq takes passwords as parameters too."""
    query = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return url.set(query={**query, "schema": schema}).render_as_string(hide_password=True)


def _begin_fleeting(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("vecrollback_fleeting"):
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")


def _require_durable(connection: psycopg.Connection, _record: object) -> None:
    """Law 4: a commit that was acknowledged is on the server's disk. A stronger setting than `on` stays."""
    query = (
        "SELECT current_setting('fsync'), set_config('synchronous_commit', CASE WHEN"
        " current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    )
    row = connection.execute(query).fetchone()
    connection.commit()
    if row is None or row[0] != "on":
        raise UsageError(
            "the catalog's server runs with fsync = off: a power loss takes what it acknowledged",
            hint="set fsync = on in postgresql.conf and restart the server",
        )
