"""`postgresql://user@host/database#table`: a table with a column of pgvector, or of arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from vecrollback.connectors.base import (
    Connector,
    OpenOptions,
    Part,
    Record,
    guess_vector,
    majority,
    split_at_hash,
    stacked,
    stamp_name,
)
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import FailedError, MissingDependencyError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.effective_config import masked_parameters

_PAGE = 2_000
_TABLE = 48
"""Bits of a block and an offset; above them stands the number of the table."""
_FIELDS = 2
"""Columns of a row that tell its place, before those asked for."""
_STORED = {"vector": "float32", "halfvec": "float16", "_float4": "float32", "_float8": "float64"}
_METRICS: dict[str, Metric] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}

_COLUMNS = """
SELECT a.attname, t.typname, a.atttypmod FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_WITH_VECTORS = """
SELECT DISTINCT s.schemaname, s.relname FROM pg_stat_user_tables s JOIN pg_attribute a ON a.attrelid = s.relid
JOIN pg_type t ON t.oid = a.atttypid WHERE t.typname = ANY(%s)
"""
_OPERATORS = """
SELECT o.opcname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
JOIN pg_opclass o ON o.oid = ANY(i.indclass) WHERE i.indrelid = %s AND a.attname = %s
"""


class PgvectorConnector:
    """A table as one read-only transaction sees it. In it a row keeps its `ctid`: its number is the place of that.

    A row of a partition or of a child by inheritance is known by its own table too: each counts from (0,1).
    Vectors come in pgvector's binary form, through a server-side cursor.
    """

    def __init__(self, url: str, table: str, vector: str | None) -> None:
        self.place, self._connection = _connect(url, table)
        try:
            self._open(table, vector)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, table: str, vector: str | None) -> None:
        from psycopg import sql

        oid = self._find(table)
        columns = {name: (kind, modifier) for name, kind, modifier in self._all(_COLUMNS, (oid,))}
        usable = [name for name, column in columns.items() if column[0] in _STORED]
        self._vector = guess_vector(usable, list(columns), vector, self.place)
        kind, modifier = columns[self._vector]
        self._kind, self.stored = kind, _STORED[kind]
        self.fields = tuple(name for name in columns if name != self._vector)
        self._table = sql.Identifier(*table.split("."))
        self._tables: dict[int, int] = {}
        self._places = self._rows()
        self.count = len(self._places)
        self.dimension = modifier if modifier > 0 and not kind.startswith("_") else self._dimension()
        self.metric = self._metric(oid)
        self.facts: dict[str, Json] = {"vector_field": self._vector, "type": kind}
        self.stamp = self._stamp(table, stamp_name(table, self._vector, usable))

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        columns, first = self._wanted(names, vectors), 0
        for page in self._pages(columns):
            places = self._placed(page)
            if not np.array_equal(places, self._places[first : first + len(page)]):
                raise FailedError(
                    f"{self.place}: two passes gave the rows in different orders", hint="examine it again"
                )
            first += len(page)
            yield self._part(page, columns, vectors, names)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        from psycopg import sql

        columns = self._wanted(names, vectors)
        places = self._places[rows]
        query = self._select(columns) + sql.SQL(" WHERE tableoid = %s AND ctid = ANY(%s::tid[])")
        found: dict[int, Any] = {}
        for table, number in self._tables.items():
            here = np.unique(places[places >> _TABLE == number])
            for first in range(0, len(here), _PAGE):
                wanted = [f"({_block(place)},{place & 0xFFFF})" for place in here[first : first + _PAGE].tolist()]
                page = self._all(query, (table, wanted))
                found |= dict(zip(self._placed(page).tolist(), page, strict=True))
        return self._part([found[place] for place in places.tolist()], columns, vectors, names)

    def close(self) -> None:
        self._connection.close()

    # -- what there is ------------------------------------------------------------------------------------------------

    def _find(self, table: str) -> int:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
        [[oid]] = self._all("SELECT to_regclass(%s)::oid", (quoted,))
        if oid is None:
            query = "SELECT relname FROM pg_stat_user_tables ORDER BY relname"
            there = ", ".join(name for (name,) in self._all(query, ())) or "none"
            raise UsageError(f"{self.place}: there is no such table", hint=f"tables: {there}")
        [[kind]] = self._all("SELECT relkind::text FROM pg_class WHERE oid = %s", (oid,))
        if kind not in ("r", "m", "p"):
            raise UsageError(
                f"{self.place} is not a plain table, so its rows have no fixed place",
                hint="name the table that holds the rows, or make a materialized view of it",
            )
        return int(oid)

    def _metric(self, oid: int) -> Metric | None:
        for (name,) in self._all(_OPERATORS, (oid, self._vector)):
            if found := _METRICS.get(name.removesuffix("_ops").rpartition("_")[2]):
                return found
        return None

    def _stamp(self, table: str, name: str) -> str | None:
        """The stamp that a guard has left for the vectors of the table as a whole."""
        schema = table.rpartition(".")[0].replace('"', '""')
        stamps = f'"{schema}".{STAMPS}' if schema else STAMPS
        [[there]] = self._all("SELECT to_regclass(%s) IS NOT NULL", (stamps,))
        rows = self._all(f"SELECT stamp FROM {stamps} WHERE collection = %s", (name,)) if there else []
        return str(rows[0][0]) if rows else None

    def _dimension(self) -> int:
        from psycopg import sql

        size = "cardinality({0})" if self._kind.startswith("_") else "vector_dims({0})"
        query = sql.SQL(f"SELECT {size}::int, count(*) FROM {{1}} WHERE {{0}} IS NOT NULL GROUP BY 1").format(
            sql.Identifier(self._vector), self._table
        )
        if dimension := majority(dict(self._all(query, ()))):
            return dimension
        raise UsageError(f"{self.place}: no row of {self._vector!r} has a vector", hint="name another --vector-field")

    def _rows(self) -> Numbers:
        found = [self._placed(page) for page in self._pages([])]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _placed(self, page: Sequence[Any]) -> Numbers:
        """The number of each row's table, and the block and offset of its `ctid` in it, as one number."""
        numbers = [self._tables.setdefault(int(row[1]), len(self._tables)) for row in page]
        return (np.array(numbers, np.int64) << _TABLE) | _places([row[0] for row in page])

    # -- statements ---------------------------------------------------------------------------------------------------

    def _wanted(self, names: Collection[str] | None, vectors: bool) -> list[str]:
        return [*(n for n in self.fields if names is None or n in names), *([self._vector] if vectors else [])]

    def _select(self, columns: Sequence[str]) -> Any:
        from psycopg import sql

        chosen = sql.SQL(", ").join([sql.SQL("ctid, tableoid"), *map(sql.Identifier, columns)])
        return sql.SQL("SELECT {} FROM {}").format(chosen, self._table)

    def _pages(self, columns: Sequence[str]) -> Iterator[list[Any]]:
        with self._connection.cursor("vecrollback", binary=True) as cursor:
            cursor.execute(self._select(columns))
            while page := cursor.fetchmany(_PAGE):
                yield page

    def _all(self, query: Any, values: tuple[Any, ...]) -> list[Any]:
        with self._connection.cursor(binary=True) as cursor:
            return list(cursor.execute(query, values).fetchall())

    def _part(self, page: list[Any], columns: list[str], vectors: bool, names: Collection[str] | None) -> Part:
        rows: FloatArray = np.empty((len(page), 0), np.float32)
        sizes = np.zeros(len(page), np.int64)
        if vectors:
            rows, sizes = stacked([_vector(row[-1], self._kind) for row in page], self.dimension)
        fields = columns[:-1] if vectors else columns
        records: list[Record] = [dict(zip(fields, row[_FIELDS:], strict=False)) for row in page] if fields else []
        return Part(rows, sizes, records if names != () else [])


def _vector(value: Any, kind: str) -> Any:
    """One vector of pgvector's wire format: a count, a reserved number, big-endian floats."""
    if value is None or kind.startswith("_"):
        return value
    return np.frombuffer(value, ">f4" if kind == "vector" else ">f2", offset=4)


def _block(place: int) -> int:
    return place >> 16 & 0xFFFFFFFF


def _places(ctids: Sequence[bytes]) -> Numbers:
    """Block and offset of each `ctid` as one number."""
    pairs = np.frombuffer(b"".join(ctids), np.dtype([("block", ">u4"), ("offset", ">u2")]))
    return (pairs["block"].astype(np.int64) << 16) | pairs["offset"].astype(np.int64)


def _connect(url: str, table: str) -> tuple[str, Any]:
    """The place to show, and a connection whose one transaction only reads."""
    try:
        import psycopg
    except ImportError as error:
        raise MissingDependencyError("psycopg", "postgresql") from error
    import sqlalchemy as sa

    try:
        parts = sa.make_url(url)
        connection = psycopg.connect(_conninfo(parts))
    except (sa.exc.ArgumentError, psycopg.Error, ValueError) as error:
        raise UsageError(
            f"no PostgreSQL answers there: {error}", hint="postgresql://user@host:5432/database#table"
        ) from error
    hidden = parts.set(drivername="postgresql").render_as_string(hide_password=True)
    place = f"{masked_parameters(hidden)}#{table}"
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.execute("SET LOCAL synchronize_seqscans = off")  # or a pass may start in the middle
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # embedding takes its time
    return place, connection


def _conninfo(parts: Any) -> str:
    from psycopg.conninfo import make_conninfo

    values = {"host": parts.host, "port": parts.port, "user": parts.username, "password": parts.password}
    values |= {"dbname": parts.database, **parts.query}
    values.pop("schema", None)  # a catalog's URL may name one
    return make_conninfo(**{name: value for name, value in values.items() if value is not None})


_SCHEMES = (
    "postgres://",
    "postgresql+psycopg://",
    "postgresql+psycopg2://",
    "postgresql+asyncpg://",
    "postgresql+pg8000://",
    "jdbc:postgresql://",
)
"""How the settings of applications spell it."""


def _tables(where: str) -> list[str]:
    _, connection = _connect(f"postgresql:{where}", "")
    with connection:
        rows = connection.execute(_WITH_VECTORS, (list(_STORED),)).fetchall()
    return [name if schema == "public" else f"{schema}.{name}" for schema, name in rows]


class PgvectorKind:
    """`postgresql://user@host/database#table`; other programs write `postgres://`, or the name of a driver in it."""

    form, texts_beside = "postgresql://...#table", False

    def claims(self, place: str) -> bool:
        return place.startswith(_SCHEMES)

    def open(self, place: str, options: OpenOptions) -> Connector:
        url = f"postgresql:{place.removeprefix('jdbc:').partition(':')[2]}"
        where, table = split_at_hash(url, "postgresql", "table", _tables)
        return PgvectorConnector(f"postgresql:{where}", table, options.vector)
