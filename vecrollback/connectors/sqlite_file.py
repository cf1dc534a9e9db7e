"""`sqlite:FILE#table`: a table of SQLite with vectors, sqlite-vec's or a plain one; or a query in its place."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from vecrollback.connectors.base import BLOCK_ROWS, Connector, OpenOptions, Part, majority, named, stacked, stamp_name
from vecrollback.connectors.sqlite_rows import open_table, quoted, tables_of
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_WAL = b"\x02\x02"
_VIEW = "vecrollback_rows"


class SqliteConnector:
    """Keeps the rowids in memory, 8 bytes a row. A view or a query is laid out in SQLite's temporary file first."""

    def __init__(self, path: Path, table: str, vector: str | None) -> None:
        self.place = f"sqlite:{path}#{table}"
        self._connection = connect(path, self.place)
        try:
            self._table = open_table(
                self._connection, _laid_out(self._connection, table, self.place), self.place, vector
            )
            self.stamp = _stamp(self._connection, stamp_name(table, self._table.vector, self._table.vectors))
            self.count, self.fields = len(self._table.rowids), self._table.fields
            self.metric: Metric | None = self._table.metric
            self.stored = self._table.stored
            self.facts: dict[str, Json] = {"vector_field": self._table.vector}
            self.dimension = self._dimension()
        except BaseException:
            self._connection.close()
            raise

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, BLOCK_ROWS):
            yield self.take(np.arange(first, min(first + BLOCK_ROWS, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        wanted = self.fields if names is None else names
        records, raw = self._table.take(np.asarray(rows, np.int64), wanted, vectors)
        array: FloatArray = np.empty((len(rows), 0), np.float32)
        sizes: Numbers = np.zeros(len(rows), np.int64)
        if vectors:
            array, sizes = stacked(raw, self.dimension)
        return Part(array, sizes, records if names != () else [])

    def close(self) -> None:
        self._connection.close()

    def _dimension(self) -> int:
        counts: Counter[int] = Counter()
        for first in range(0, self.count, BLOCK_ROWS):
            rows = np.arange(first, min(first + BLOCK_ROWS, self.count))
            counts.update(0 if one is None else len(one) for one in self._table.take(rows, (), True)[1])
        return majority(counts)


def connect(path: Path, place: str) -> sqlite3.Connection:
    """Open a file for reading; not even the files of its journal are made beside it.

    Raises:
        UsageError: There is no such file, or it is not one of SQLite.
    """
    if not path.is_file():
        raise UsageError(f"{place}: there is no such file", hint="sqlite:FILE#table")
    with path.open("rb") as file:
        head = file.read(20)
    if not head.startswith(b"SQLite format 3\0"):
        raise UsageError(f"{place}: {path} is not a database of SQLite", hint="sqlite:FILE#table")
    # A reader of write-ahead logging makes files beside the database, unless it is told that nobody writes to it.
    alone = head[18:20] == _WAL and not path.with_name(f"{path.name}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _laid_out(connection: sqlite3.Connection, table: str, place: str) -> str:
    """The table; or the name of a temporary one that holds what a view or a query gives, whose rows have numbers."""
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master"))
    query = table if table.lower().startswith(("select ", "with ")) else None
    if kinds.get(table) == "view":
        query = f"SELECT * FROM {quoted(table)}"
    if query is None:
        return table
    try:
        connection.execute(f"CREATE TEMP TABLE {_VIEW} AS {query}")
    except sqlite3.Error as error:
        raise UsageError(f"{place}: {error}", hint=f"tables: {named(tables_of(connection))}") from error
    return _VIEW


def _stamp(connection: sqlite3.Connection, name: str) -> str | None:
    if STAMPS not in tables_of(connection):
        return None
    row = connection.execute(f"SELECT stamp FROM {quoted(STAMPS)} WHERE collection = ?", (name,)).fetchone()
    return str(row[0]) if row else None


class SqliteKind:
    """`sqlite:FILE#table`, or `sqlite:FILE#SELECT ...`; applications write `sqlite:///FILE`."""

    form, texts_beside = "sqlite:FILE#table", False

    def claims(self, place: str) -> bool:
        return Path(place.partition("#")[0]).suffix.lower() in (".db", ".sqlite", ".sqlite3") and "#" in place

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, _, table = place.removeprefix("sqlite:").partition("#")
        path = Path(where[3:] if where.startswith("///") else where).expanduser()
        if not table:
            connection = connect(path, f"sqlite:{path}")
            there = named(tables_of(connection))
            connection.close()
            raise UsageError(f"sqlite:{path} names no table", hint=f"write it after a #; tables: {there}")
        return SqliteConnector(path, table, options.vector)
