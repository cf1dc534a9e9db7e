"""A table of SQLite under guard, sqlite-vec's or a plain one. Its stamp is a row of a table of its own in the file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from vecrollback.connectors.base import Record, stamp_name
from vecrollback.connectors.sqlite_rows import SqliteTable, Vec0Table, decoded, open_table, quoted, tables_of
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import UsageError
from vecrollback.guard.places import DrawnRows, draw, rows_of


class SqliteRows:
    """A table as a connection of `sqlite3` has it; the connection stays the caller's.

    `vector`: which of several columns holds the vectors, "" for the usual one.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, vector: str = "") -> None:
        self._connection, self._name, self._vector = connection, table, vector or None
        self.name = f"SQLite table {table!r}"
        opened = self._table()
        self._key = stamp_name(table, opened.vector, opened.vectors)

    def read(self) -> str | None:
        if STAMPS not in tables_of(self._connection):
            return None
        query = f"SELECT stamp FROM {quoted(STAMPS)} WHERE collection = ?"
        row = self._connection.execute(query, (self._key,)).fetchone()
        return str(row[0]) if row else None

    def write(self, stamp: str | None) -> None:
        inside = self._connection.in_transaction
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(STAMPS)} (collection TEXT PRIMARY KEY, stamp TEXT NOT NULL)"
        )
        self._connection.execute(f"DELETE FROM {quoted(STAMPS)} WHERE collection = ?", (self._key,))
        if stamp is not None:
            self._connection.execute(f"INSERT INTO {quoted(STAMPS)} VALUES (?, ?)", (self._key, stamp))
        if not inside:
            self._connection.commit()

    def count(self) -> int:
        return len(self._table().rowids)

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        table = self._table()
        rows = np.array(draw(len(table.rowids), size, chance), np.int64)
        if not len(rows):
            return DrawnRows()
        records: list[Record]
        records, vectors = table.take(rows, table.fields, True)
        return rows_of(records, [decoded(one) if isinstance(one, bytes | str) else one for one in vectors])

    def _table(self) -> SqliteTable | Vec0Table:
        return open_table(self._connection, self._name, self.name, self._vector)


def open_place(place: str) -> SqliteRows:
    """`sqlite:FILE#table`."""
    where, _, table = place.removeprefix("sqlite:").partition("#")
    path = Path(where[3:] if where.startswith("///") else where).expanduser()
    if not path.is_file():
        raise UsageError(f"{place}: there is no such file", hint="sqlite:FILE#table")
    return SqliteRows(sqlite3.connect(path, check_same_thread=False), table)
