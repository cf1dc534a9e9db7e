"""SQLite as a source: sqlite-vec's tables as the extension writes them, plain tables, views, queries.

Covers connectors.sqlite_file, connectors.sqlite_rows.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.support import sqlite_vec
from vecrollback.connectors import open_connector
from vecrollback.errors import UsageError
from vecrollback.quality.doctor import ForeignIndex
from vecrollback.testing import ConnectorConformance
from vecrollback.testing.connector_suite import DIMENSION, digests, rows, vectors

_FIELDS = ("id", "text", "model", "batch")


class TestSqliteVec(ConnectorConformance):
    metric = "cosine"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        with sqlite_vec.connected(folder / "app.db") as connection:
            columns = f"id text primary key, batch text partition key, embedding float[{DIMENSION}] "
            columns += "distance_metric=cosine, model text, +text text, chunk_size=64"
            connection.execute(f"create virtual table docs using vec0({columns})")
            connection.execute(
                "insert into docs(id, batch, embedding, model, text) values ('gone', 'b0', ?, 'm', 'x')",
                (vectors()[0].tobytes(),),
            )
            for row, vector in zip(rows(), vectors(), strict=True):
                values = (row["id"], row["batch"], vector.tobytes(), row["model"], row.get("text"))
                connection.execute("insert into docs(id, batch, embedding, model, text) values (?, ?, ?, ?, ?)", values)
            connection.execute("delete from docs where id = 'gone'")
        return f"sqlite:{folder / 'app.db'}#docs", None


class TestSqliteVecBesideItsTexts(ConnectorConformance):
    """How most programs do it: texts in a plain table, vectors in another under the same rowid."""

    metric = "l2"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        with sqlite_vec.connected(folder / "app.db") as connection:
            connection.execute("create table docs (n integer primary key, id text, text text, model text, batch text)")
            connection.execute(f"create virtual table vec_docs using vec0(embedding float[{DIMENSION}])")
            for n, (row, vector) in enumerate(zip(rows(), vectors(), strict=True), start=10):
                connection.execute("insert into docs values (?, ?, ?, ?, ?)", (n, *map(row.get, _FIELDS)))
                connection.execute("insert into vec_docs(rowid, embedding) values (?, ?)", (n, vector.tobytes()))
        return f"sqlite:{folder / 'app.db'}#vec_docs", None


class TestSqliteBlobs(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        connection = sqlite3.connect(folder / "app.sqlite3")
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table docs (id text, text text, model text, batch text, embedding blob)")
        values = [(*map(row.get, _FIELDS), vector.tobytes()) for row, vector in zip(rows(), vectors(), strict=True)]
        connection.executemany("insert into docs values (?, ?, ?, ?, ?)", values)
        connection.execute("create view shown as select * from docs")
        connection.commit()
        connection.close()
        return f"sqlite:///{folder / 'app.sqlite3'}#docs", None


class TestSqliteView(TestSqliteBlobs):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        place, _ = super().make(folder)
        return place.replace("#docs", "#shown"), None


class TestSqliteQuery(TestSqliteBlobs):
    stored = "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        connection = sqlite3.connect(folder / "app.db")
        connection.execute("create table texts (id text primary key, text text, model text, batch text) without rowid")
        connection.execute("create table numbers (id text, vector text)")
        connection.executemany("insert into texts values (?, ?, ?, ?)", [tuple(map(r.get, _FIELDS)) for r in rows()])
        lists = [(row["id"], json.dumps(vector.tolist())) for row, vector in zip(rows(), vectors(), strict=True)]
        connection.executemany("insert into numbers values (?, ?)", lists)
        connection.commit()
        connection.close()
        query = "SELECT t.*, n.vector FROM numbers n JOIN texts t USING (id) ORDER BY n.rowid"
        return f"sqlite:{folder / 'app.db'}#{query}", None


def test_every_kind_of_column_of_sqlite_vec_is_read(tmp_path: Path) -> None:
    with sqlite_vec.connected(tmp_path / "app.db") as connection:
        columns = "key integer primary key, small int8[4], year integer, score float, shown boolean, name text, "
        columns += "+note text"
        connection.execute(f"create virtual table t using vec0({columns}, embedding float[4])")
        for n in range(3):
            vector = np.full(4, n, np.float32).tobytes()
            connection.execute(
                "insert into t(key, small, year, score, shown, name, note, embedding) "
                "values (?, vec_int8(?), ?, ?, ?, ?, ?, ?)",
                (n + 7, bytes([n] * 4), -n, n / 4, n % 2, "é" * n * 9, f"note {n}", vector),
            )
    connector = open_connector(f"sqlite:{tmp_path / 'app.db'}#t", vector="embedding")
    [part] = connector.scan(None)
    assert part.vectors.tolist() == [[float(n)] * 4 for n in range(3)]
    assert part.records == [
        {"key": n + 7, "year": -n, "score": n / 4, "shown": bool(n % 2), "name": "é" * n * 9, "note": f"note {n}"}
        for n in range(3)
    ]
    connector.close()
    small = open_connector(f"sqlite:{tmp_path / 'app.db'}#t", vector="small")
    assert (small.stored, small.take(np.array([2]), ()).vectors.tolist()) == ("int8", [[2.0] * 4])
    small.close()


def test_without_a_table_it_lists_those_that_are_there(tmp_path: Path) -> None:
    place, _ = TestSqliteVecBesideItsTexts.make(tmp_path)
    for wrong in (place.partition("#")[0], place.replace("#vec_docs", "#nobody"), f"{place}_rowids"):
        with pytest.raises(UsageError) as refused:
            ForeignIndex(wrong)
        assert "docs, vec_docs" in refused.value.hint
        assert "rowids" not in refused.value.hint
    (tmp_path / "other.db").write_text("not a database")
    for wrong in ("sqlite:nobody.db#t", f"sqlite:{tmp_path / 'other.db'}#t"):
        with pytest.raises(UsageError):
            ForeignIndex(wrong)


def test_a_database_that_somebody_writes_to_is_read_with_its_journal(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "app.db")
    writer.execute("pragma journal_mode = wal")
    writer.execute("create table docs (id text, text text, embedding blob)")
    writer.execute("insert into docs values ('a', 'one', ?)", (np.ones(4, np.float32).tobytes(),))
    writer.commit()
    with ForeignIndex(f"sqlite:{tmp_path / 'app.db'}#docs") as source:
        assert source.count == 1
    writer.close()
    assert set(digests(tmp_path)) == {"app.db"}
