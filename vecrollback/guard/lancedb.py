"""A LanceDB table under guard. Its stamp is a row of a table of its own, in the same database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from vecrollback.connectors.arrow_rows import vector_columns
from vecrollback.connectors.base import expanded, split_at_hash, stamp_name
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import UsageError
from vecrollback.guard.places import DrawnRows, choose_vector, draw, rows_of

_SCHEMA = pa.schema([("collection", pa.string()), ("stamp", pa.string())])


class LanceRows:
    """A table as LanceDB gives it. `vector`: which of several columns holds the vectors, "" for the usual one."""

    def __init__(self, table: Any, vector: str = "") -> None:
        self._table = table
        self.name = f"LanceDB table {table.name!r}"
        columns = vector_columns(table.schema)
        self._vector = choose_vector(columns, table.schema.names, vector, self.name)
        self._key = stamp_name(table.name, self._vector, columns)
        if self._key != table.name:
            self.name += f", column {self._vector!r}"

    def read(self) -> str | None:
        if STAMPS not in _tables(self._table._conn):
            return None
        rows = self._table._conn.open_table(STAMPS).to_arrow().to_pylist()
        return next((str(row["stamp"]) for row in rows if row["collection"] == self._key), None)

    def write(self, stamp: str | None) -> None:
        connection = self._table._conn
        stamps = connection.create_table(STAMPS, schema=_SCHEMA, exist_ok=True)
        if stamp is None:
            name = self._key.replace("'", "''")
            stamps.delete(f"collection = '{name}'")
            return
        row = pa.table({"collection": [self._key], "stamp": [stamp]}, schema=_SCHEMA)
        merge = stamps.merge_insert("collection").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(row)

    def count(self) -> int:
        return int(self._table.count_rows())

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        rows = draw(self.count(), size, chance)
        records = self._table.take_offsets(rows).to_arrow().to_pylist() if rows else []
        return rows_of(records, [record.pop(self._vector) for record in records])


def open_place(place: str) -> LanceRows:
    """`lancedb:PATH#table`."""
    import lancedb

    where, name = split_at_hash(place, "lancedb", "table")
    connection = lancedb.connect(expanded(where))
    there = _tables(connection)
    if name not in there:
        raise UsageError(f"{place}: there is no such table", hint=f"tables: {', '.join(there) or 'none'}")
    return LanceRows(connection.open_table(name))


def _tables(connection: Any) -> list[str]:
    names: list[str] = []
    token = None
    while True:
        page = connection.list_tables(page_token=token)
        names += page.tables
        token = page.page_token
        if not token:
            return names
