"""A table of PostgreSQL under guard. Its stamp is a row of a table of its own, in the same schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vecrollback.connectors.base import split_at_hash, stamp_name
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.guard.places import DrawnRows, choose_vector, rows_of

_KINDS = ("vector", "halfvec", "_float4", "_float8")
_MOST_SORTED = 100_000
"""Up to so many rows a random order is drawn over all of them; of more, over a share of the table's pages."""

_COLUMNS = """
SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


class PgvectorRows:
    """A table, of a connection of psycopg or an engine of SQLAlchemy, which stays the caller's.

    Args:
        database: The connection or the engine.
        table: `table` or `schema.table`.
        where: A condition in SQL that tells one collection in the table from others. It is the caller's own SQL.
        own: What tells the collection's stamp from others of this table; `where` by default.
        vector: Which of several columns holds the vectors; "" for the usual one.
    """

    def __init__(self, database: Any, table: str, where: str = "", own: str = "", vector: str = "") -> None:
        self._database, self._table, self._where = database, table, where
        self._key = "/".join(part for part in (table, own or where) if part)
        self.name = f"table {self._key!r}"
        schema = table.rpartition(".")[0]
        self._stamps = _quoted(f"{schema}.{STAMPS}" if schema else STAMPS)
        with self._cursor() as cursor:
            cursor.execute(_COLUMNS, (_quoted(table),))
            columns = dict(cursor.fetchall())
        if not columns:
            raise UsageError(f"{self.name} does not exist", hint="write table or schema.table")
        usable = [name for name, kind in columns.items() if kind in _KINDS]
        self._vector = choose_vector(usable, list(columns), vector, self.name)
        self._key = stamp_name(self._key, self._vector, usable)
        self.name = f"table {self._key!r}"
        self._fields = [name for name in columns if name != self._vector]

    def read(self) -> str | None:
        with self._cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (self._stamps,))
            if cursor.fetchone()[0] is None:
                return None
            cursor.execute(f"SELECT stamp FROM {self._stamps} WHERE collection = %s", (self._key,))
            row = cursor.fetchone()
        return str(row[0]) if row else None

    def write(self, stamp: str | None) -> None:
        with self._cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {self._stamps} (collection text PRIMARY KEY, stamp text NOT NULL)"
            )
            cursor.execute(f"DELETE FROM {self._stamps} WHERE collection = %s", (self._key,))
            if stamp is not None:
                cursor.execute(f"INSERT INTO {self._stamps} VALUES (%s, %s)", (self._key, stamp))

    def count(self) -> int:
        with self._cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {_quoted(self._table)}{self._condition}")
            return int(cursor.fetchone()[0])

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", (_quoted(self._table),)
            )
            many = int(cursor.fetchone()[0]) > _MOST_SORTED
            # The order of `random()` follows the seed, as long as the rows are read in the same order.
            cursor.execute("SELECT setseed(%s)", (float(chance.uniform(-1, 1)),))
            rows = self._draw(cursor, size, " TABLESAMPLE SYSTEM (5)" if many else "")
            if len(rows) < size and many:  # the collection may lie on other pages
                rows = self._draw(cursor, size, "")
        records = [dict(zip(self._fields, row[1:], strict=True)) for row in rows]
        return rows_of(records, [row[0] for row in rows])

    def _draw(self, cursor: Any, size: int, share: str) -> list[Any]:
        fields = "".join(f", {_quoted_name(name)}" for name in self._fields)
        cursor.execute(
            f"SELECT {_quoted_name(self._vector)}::real[]{fields} FROM {_quoted(self._table)}{share}"
            f"{self._condition} ORDER BY random() LIMIT {int(size)}"
        )
        return list(cursor.fetchall())

    @property
    def _condition(self) -> str:
        return f" WHERE ({self._where})" if self._where else ""

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor whose statements are committed, but inside a transaction that the caller has begun."""
        if hasattr(self._database, "raw_connection"):
            connection = self._database.raw_connection()
            try:
                with connection.cursor() as cursor:
                    yield cursor
                connection.commit()
            finally:
                connection.close()
            return
        idle = int(self._database.info.transaction_status) == 0
        with self._database.cursor() as cursor:
            yield cursor
        if idle and not self._database.autocommit:
            self._database.commit()


def open_place(place: str) -> PgvectorRows:
    """`postgresql://user@host/database#table`, also with the name of a driver in it."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("psycopg", "postgresql") from error
    import sqlalchemy as sa

    url, table = split_at_hash(f"postgresql:{place.partition(':')[2]}", "postgresql", "table")
    address = sa.make_url(f"postgresql:{url}").set(drivername="postgresql+psycopg")
    return PgvectorRows(sa.create_engine(address), table)


def _quoted(table: str) -> str:
    return ".".join(map(_quoted_name, table.split(".")))


def _quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
