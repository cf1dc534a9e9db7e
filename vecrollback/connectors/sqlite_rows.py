"""Tables of SQLite that hold vectors: sqlite-vec's `vec0`, and plain ones with a column of BLOBs or JSON lists.

A `vec0` table is read from the plain tables in which sqlite-vec keeps it, so that the extension need not be loaded:
many builds of Python cannot load one.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecrollback.connectors.base import Record, guess_vector, named
from vecrollback.errors import UsageError
from vecrollback.records import Metric
from vecrollback.records.arrays import Numbers

_SHOWN = 100
_PAGE = 500
"""Below the number of values that one statement may have in any build of SQLite."""

_METRICS: dict[str, Metric] = {"cosine": "cosine", "l2": "l2"}
_STORED = {"float": "float32", "float32": "float32", "f32": "float32", "int8": "int8", "i8": "int8"}
_VEC0 = re.compile(r"create\s+virtual\s+table\b.*?\busing\s+vec0\s*\((.*)\)\s*$", re.IGNORECASE | re.DOTALL)
_VECTOR = re.compile(r'^"?(\w+)"?\s+(\w+)\s*\[\s*(\d+)\s*\](.*)$', re.DOTALL)
_DISTANCE = re.compile(r"distance_metric\s*=\s*(\w+)", re.IGNORECASE)
_INLINE = 12
"""Bytes of a text that stand in a block of metadata; longer ones stand in a table of their own."""

_VIEW_BYTES = 16
_NAMES_BESIDE = ("{0}", "{0}s", "{0}_documents", "{0}_chunks", "documents", "chunks")


class SqliteTable:
    """A plain table, by its rowid. `vector`: the column of the vectors, None to find it.

    Its attribute `vectors` names all columns that could be it.
    """

    metric: Metric | None = None

    def __init__(self, connection: sqlite3.Connection, table: str, place: str, vector: str | None = None) -> None:
        self._connection, self._table = connection, table
        columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
        sample = connection.execute(f"SELECT {_list(columns)} FROM {quoted(table)} LIMIT {_SHOWN}").fetchall()
        kinds = {name: _kind([row[n] for row in sample]) for n, name in enumerate(columns)}
        self.vectors = [name for name, kind in kinds.items() if kind]
        self.vector = guess_vector(self.vectors, columns, vector, place)
        self.fields = tuple(name for name in columns if name != self.vector)
        self.stored = str(kinds[self.vector])
        self.rowids = _column(connection, f"SELECT rowid FROM {quoted(table)} ORDER BY rowid")

    def take(self, rows: Numbers, names: Collection[str], vectors: bool) -> tuple[list[Record], list[Any]]:
        """Fields and vectors of these rows, by number."""
        fields = [name for name in self.fields if name in names]
        columns = [*fields, *([self.vector] if vectors else [])]
        there = _by_rowid(self._connection, self._table, self.rowids[rows].tolist(), columns)
        found = [there.get(rowid, (None,) * len(columns)) for rowid in self.rowids[rows].tolist()]
        records = [dict(zip(fields, row, strict=False)) for row in found]
        return records, [decoded(row[-1]) for row in found] if vectors else []


@dataclass(frozen=True, slots=True)
class _Vec0Column:
    """A column of a `vec0` table. `number`: counted among those of its `role`."""

    name: str
    role: str
    kind: str
    number: int


class Vec0Table:
    """A table of sqlite-vec, with a plain table of texts beside it where it has no text itself."""

    def __init__(self, connection: sqlite3.Connection, table: str, place: str, vector: str | None = None) -> None:
        self._connection, self._table = connection, table
        self._columns, metrics, dimensions = _columns_of(_vec0_arguments(connection, table) or "")
        vectors = [one.name for one in self._columns if one.role == "vector"]
        every = [one.name for one in self._columns]
        self.vectors = [one.name for one in self._columns if one.role == "vector" and one.kind in _STORED]
        self.vector = guess_vector(self.vectors, every, vector, place)
        self._own = next(one for one in self._columns if one.name == self.vector)
        self.metric: Metric | None = _METRICS.get(metrics[self.vector])
        self.stored, self._width = _STORED[self._own.kind], dimensions[self.vector]
        rows = connection.execute(f"SELECT rowid, chunk_id, chunk_offset FROM {self._shadow('rowids')} ORDER BY rowid")
        self.rowids, self._chunks, self._offsets = _three(rows)
        self._sizes = dict(connection.execute(f"SELECT chunk_id, size FROM {self._shadow('chunks')}"))
        self._beside = _texts_beside(connection, table)
        key = next((one for one in self._columns if one.role == "key"), None)
        own = [one.name for one in self._columns if one.name not in vectors]
        self._key = key.name if key else "rowid"
        self.fields = tuple(dict.fromkeys([*([] if key else ["rowid"]), *own, *(self._beside or {})]))

    def take(self, rows: Numbers, names: Collection[str], vectors: bool) -> tuple[list[Record], list[Any]]:
        """Fields and vectors of these rows, by number."""
        rowids = self.rowids[rows].tolist()
        records: list[Record] = [{} for _ in rowids]
        if self._key in names:
            keys = {} if self._key == "rowid" else _by_rowid(self._connection, f"{self._table}_rowids", rowids, ["id"])
            for record, rowid in zip(records, rowids, strict=True):
                key = keys.get(rowid, (None,))[0]
                record[self._key] = rowid if key is None else key
        for column in self._columns:
            if column.name in names and column.role in ("auxiliary", "partition", "metadata"):
                for record, value in zip(records, self._values(column, rows, rowids), strict=True):
                    record[column.name] = value
        self._add_texts(records, rowids, names)
        return records, self._vectors(rows) if vectors else []

    def _vectors(self, rows: Numbers) -> list[Any]:
        kind = np.dtype("<f4" if self.stored == "float32" else "i1")
        blocks = self._blocks(f"vector_chunks{self._own.number:02d}", "vectors", rows)
        size = self._width * kind.itemsize
        places = zip(self._chunks[rows].tolist(), self._offsets[rows].tolist(), strict=True)
        return [np.frombuffer(blocks[chunk], kind, self._width, offset * size) for chunk, offset in places]

    def _values(self, column: _Vec0Column, rows: Numbers, rowids: list[int]) -> list[Any]:
        if column.role == "auxiliary":
            values = _by_rowid(self._connection, f"{self._table}_auxiliary", rowids, [f"value{column.number:02d}"])
            return [values.get(rowid, (None,))[0] for rowid in rowids]
        chunks = self._chunks[rows].tolist()
        if column.role == "partition":
            name = f"partition{column.number:02d}"
            values = dict(self._connection.execute(f"SELECT chunk_id, {name} FROM {self._shadow('chunks')}"))
            return [values[chunk] for chunk in chunks]
        blocks = self._blocks(f"metadatachunks{column.number:02d}", "data", rows)
        long: dict[int, Any] = {}
        if column.kind == "text":
            long = _by_rowid(self._connection, f"{self._table}_metadatatext{column.number:02d}", rowids, ["data"])
        offsets = self._offsets[rows].tolist()
        places = zip(rowids, chunks, offsets, strict=True)
        return [_metadata(column.kind, blocks[chunk], at, long.get(rowid)) for rowid, chunk, at in places]

    def _blocks(self, table: str, column: str, rows: Numbers) -> dict[int, bytes]:
        """The blocks of these rows, by chunk."""
        chunks = np.unique(self._chunks[rows]).tolist()
        query = f"SELECT {column} FROM {self._shadow(table)} WHERE rowid = ?"
        return {chunk: self._connection.execute(query, (chunk,)).fetchone()[0] for chunk in chunks}

    def _add_texts(self, records: list[Record], rowids: list[int], names: Collection[str]) -> None:
        fields = [name for name in self._beside or {} if name in names]
        if not fields or self._beside is None:
            return
        there = _by_rowid(self._connection, self._beside[fields[0]], rowids, fields)
        for record, rowid in zip(records, rowids, strict=True):
            record |= dict(zip(fields, there.get(rowid, (None,) * len(fields)), strict=True))

    def _shadow(self, part: str) -> str:
        return quoted(f"{self._table}_{part}")


def open_table(
    connection: sqlite3.Connection, table: str, place: str, vector: str | None = None
) -> SqliteTable | Vec0Table:
    """Open a table for reading.

    Raises:
        UsageError: There is no such table, or it holds no vectors; it says what is there.
    """
    names = tables_of(connection)
    if table not in names:
        raise UsageError(f"{place}: there is no such table", hint=f"tables: {named(names)}")
    kind = Vec0Table if _vec0_arguments(connection, table) is not None else SqliteTable
    return kind(connection, table, place, vector)


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Tables and views, without those in which SQLite and its extensions keep their own things."""
    rows = connection.execute(
        "SELECT name, sql FROM (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master) "
        "WHERE type IN ('table', 'view') ORDER BY name"
    )
    every = {str(name): str(sql or "") for name, sql in rows}
    virtual = tuple(f"{name}_" for name, sql in every.items() if re.match(r"(?i)create\s+virtual", sql))
    return [name for name in every if not name.startswith(("sqlite_", *virtual))]


def decoded(value: Any) -> Any:
    """The numbers of a vector: of a BLOB of float32, or of a JSON list; None where there are none."""
    if isinstance(value, bytes):
        return np.frombuffer(value, "<f4") if value and len(value) % 4 == 0 else None
    if isinstance(value, str):
        try:
            numbers = json.loads(value)
        except ValueError:
            return None
        return numbers if isinstance(numbers, list) and numbers else None
    return None


def quoted(name: str) -> str:
    """A name in a statement."""
    return '"' + name.replace('"', '""') + '"'


def _kind(values: Sequence[Any]) -> str | None:
    """How a column keeps vectors, by its first rows; None when it holds none."""
    values = [value for value in values if value is not None]
    if values and all(isinstance(value, bytes) and len(value) >= 8 and len(value) % 4 == 0 for value in values):
        sizes = [len(value) for value in values]
        return "float32" if sizes.count(max(set(sizes), key=sizes.count)) * 2 > len(sizes) else None
    if values and all(isinstance(value, str) and value.startswith("[") for value in values):
        return "float64" if all(_is_list(value) for value in values) else None
    return None


def _is_list(text: str) -> bool:
    numbers = decoded(text)
    return bool(numbers) and all(isinstance(one, int | float) for one in numbers)


def _vec0_arguments(connection: sqlite3.Connection, table: str) -> str | None:
    row = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    found = _VEC0.match(str(row[0]).strip()) if row and row[0] else None
    return found.group(1) if found else None


def _columns_of(arguments: str) -> tuple[list[_Vec0Column], dict[str, str], dict[str, int]]:
    """The columns in order; by vector its metric and its size."""
    columns: list[_Vec0Column] = []
    metrics, dimensions = {}, {}
    counts: dict[str, int] = {}
    for part in map(str.strip, re.split(r",(?![^\[\(]*[\]\)])", arguments)):
        name = re.match(r'\+?\s*"?(\w+)"?', part)
        words = part.lower().split()
        if name is None or "=" in part.partition("[")[0]:
            continue  # an option: chunk_size=...
        kind = words[1].partition("[")[0] if len(words) > 1 else "text"
        role = "metadata"
        if vector := _VECTOR.match(part):
            role, kind = "vector", vector.group(2).lower()
            dimensions[vector.group(1)] = int(vector.group(3))
            distance = _DISTANCE.search(vector.group(4))
            metrics[vector.group(1)] = distance.group(1).lower() if distance else "l2"
        elif part.startswith("+"):
            role = "auxiliary"
        elif "primary" in words:
            role = "key"
        elif "partition" in words:
            role = "partition"
        columns.append(_Vec0Column(name.group(1), role, kind, counts.get(role, 0)))
        counts[role] = counts.get(role, 0) + 1
    return columns, metrics, dimensions


def _metadata(kind: str, block: bytes, at: int, long: tuple[Any, ...] | None) -> Any:
    """One value of a block of metadata, as sqlite-vec lays it out."""
    if kind.startswith("bool"):
        return bool(block[at // 8] >> (at % 8) & 1)
    if kind.startswith("int"):
        return int.from_bytes(block[at * 8 : at * 8 + 8], "little", signed=True)
    if kind.startswith(("float", "double")):
        return float(np.frombuffer(block, "<f8", 1, at * 8)[0])
    view = block[at * _VIEW_BYTES : (at + 1) * _VIEW_BYTES]
    length = int.from_bytes(view[:4], "little", signed=True)
    if length > _INLINE:
        return long[0] if long else None
    return view[4 : 4 + length].decode("utf-8", "replace")


def _texts_beside(connection: sqlite3.Connection, table: str) -> dict[str, str] | None:
    """By field, the plain table that has the rows' other fields under the same rowid: `docs` beside `vec_docs`."""
    stem = re.sub(r"(?i)^vec_|^vectors_|_vec$|_vectors$|_embeddings$|_index$", "", table)
    names = tables_of(connection)
    for candidate in dict.fromkeys(form.format(stem) for form in _NAMES_BESIDE):
        if candidate != table and candidate in names and _vec0_arguments(connection, candidate) is None:
            rows = connection.execute(f"PRAGMA table_info({quoted(candidate)})")
            return {str(row[1]): candidate for row in rows if str(row[2]).upper() != "BLOB"}
    return None


def _by_rowid(
    connection: sqlite3.Connection, table: str, rowids: Sequence[int], columns: Sequence[str]
) -> dict[int, tuple[Any, ...]]:
    """These columns of a table by rowid; a row that is gone is left out."""
    found: dict[int, tuple[Any, ...]] = {}
    wanted = list(dict.fromkeys(rowids))
    chosen = "".join(f", {quoted(name)}" for name in columns)
    for first in range(0, len(wanted), _PAGE):
        part = wanted[first : first + _PAGE]
        marks = ",".join("?" * len(part))
        query = f"SELECT rowid{chosen} FROM {quoted(table)} WHERE rowid IN ({marks})"
        found |= {row[0]: row[1:] for row in connection.execute(query, part)}
    return found


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def _column(connection: sqlite3.Connection, query: str) -> Numbers:
    return np.fromiter((row[0] for row in connection.execute(query)), np.int64)


def _three(rows: Any) -> tuple[Numbers, Numbers, Numbers]:
    array = np.array([row for row in rows if row[1] is not None], np.int64).reshape(-1, 3)
    return array[:, 0], array[:, 1], array[:, 2]
