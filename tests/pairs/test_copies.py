"""A pair that is written to another place is the same there, number by number, and a difference is told.

Covers pairs.copies, store.pair_export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.operations import words
from tests.support.oracle import ONE, TWO, assert_serves, embedder
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store, connect
from vecrollback.errors import CorruptArtifactError, PairStateError, UsageError
from vecrollback.pairs.copies import PairRows, parity_with_file, parity_with_pair
from vecrollback.quality.doctor import examine

TEXTS = {f"d{n}": words(n) for n in range(60)}
LONG = " ".join(words(n) for n in range(40))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A pair with a document that changed, one that was deleted and one of another namespace."""
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(id_, text, {"n": n}) for n, (id_, text) in enumerate(TEXTS.items())])
        store.upsert([Document("d1", "of a tenant")], namespace="kb")
        store.reembed(ONE, name="v1").wait()
        store.promote("v1", reason="first")
        store.upsert([Document("d0", "a boat that was painted")])
        store.delete(["d7"])
        yield store


def test_a_file_has_every_vector_with_its_text_and_says_what_made_them(store: Store, tmp_path: Path) -> None:
    done = store.export_pair("v1", str(tmp_path / "v1.parquet"))
    assert (done.pair, done.made, done.embedded) == ("v1", "", 0)
    assert (done.parity.verdict, done.parity.rows, done.parity.identical) == ("pass", 60, 60)
    rows = pq.read_table(tmp_path / "v1.parquet").to_pylist()
    texts = {**TEXTS, "d0": "a boat that was painted"}
    assert {(row["namespace"], row["id"]) for row in rows} == {
        *(("", id_) for id_ in texts if id_ != "d7"),
        ("kb", "d1"),
    }
    for row in rows:
        assert row["text"] == ("of a tenant" if row["namespace"] else texts[row["id"]])
        np.testing.assert_array_equal(np.float32(row["vector"]), embedder(ONE).embed_documents([row["text"]])[0])
    report = examine(str(tmp_path / "v1.parquet"), model=ONE, seed=1)
    assert report.verdict == "pass"
    assert report.facts["stamp"]["agrees"] is True
    assert examine(str(tmp_path / "v1.parquet"), model=TWO, seed=1).verdict == "fail"


def test_chunks_of_one_document_are_rows_of_their_own(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("long", LONG), Document("empty", "")])
        store.reembed(f"{ONE}&chunk=tokens:16:4", name="v1").wait()
        store.export_pair("v1", f"parquet:{tmp_path / 'v1.parquet'}")
    rows = pq.read_table(tmp_path / "v1.parquet").to_pylist()
    assert [row["id"] for row in rows[:3]] == ["long", "long#1", "long#2"]
    assert {row["document"] for row in rows} == {"long"}
    assert all(row["text"] in LONG for row in rows)


def test_in_a_database_it_is_a_pair_that_serves_and_nothing_is_embedded(store: Store, postgres: PostgresServer) -> None:
    place = f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#p_{uuid4().hex[:8]}"
    done = store.export_pair("v1", place)
    assert (done.place, done.made, done.embedded) == (place, "v1-pgvector", 0)
    assert (done.parity.verdict, done.parity.rows, done.parity.identical) == ("pass", 60, 60)
    store.promote(done.made, reason="moved")
    texts = {id_: text for id_, text in TEXTS.items() if id_ != "d7"} | {"d0": "a boat that was painted"}
    store.delete(["d1"], namespace="kb")
    assert_serves(store, texts)
    assert store.check(done.made).verdict == "pass"


def test_what_differs_is_counted(store: Store, tmp_path: Path) -> None:
    store.export_pair("v1", str(tmp_path / "v1.parquet"))
    table = pq.read_table(tmp_path / "v1.parquet")

    def parity_of(changed: pa.Table) -> tuple[str, int, int, int, float]:
        pq.write_table(changed, tmp_path / "changed.parquet")
        told = parity_with_file(rows, tmp_path / "changed.parquet")
        return told.verdict, told.identical, told.missing, told.extra, round(told.least_cosine, 4)

    rows = PairRows.of(store.resources, store.pair("v1"))
    assert parity_of(table) == ("pass", 60, 0, 0, 1.0)
    assert parity_of(table.slice(0, 57)) == ("fail", 57, 3, 0, 1.0)
    assert parity_of(pa.concat_tables([table, table.slice(0, 2)])) == ("fail", 60, 0, 2, 1.0)
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    halves = table.set_column(6, "vector", pa.array(list(vectors.astype(np.float16).astype(np.float32))))
    assert parity_of(halves)[0] == "pass"
    vectors[5] = embedder(TWO).embed_documents(["another model"])[0]
    assert parity_of(table.set_column(6, "vector", pa.array(list(vectors))))[:2] == ("fail", 59)


def test_chunks_that_only_one_of_two_pairs_has_are_counted(store: Store) -> None:
    store.reembed("hash:32?seed=9", name="other").wait()
    rows = PairRows.of(store.resources, store.pair("other"))
    store.upsert([Document("new", "not in it yet")])
    store.catch_up("v1")
    told = parity_with_pair(PairRows.of(store.resources, store.pair("v1")), rows)
    assert (told.verdict, told.missing, told.extra) == ("fail", 1, 0)
    assert told.least_cosine < 0.9


def test_damage_is_copied_nowhere(store: Store, tmp_path: Path) -> None:
    store.catch_up("v1")
    [data, *_] = sorted((tmp_path / "store" / "tables" / "vectors-v1.lance" / "data").iterdir())
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0x10
    data.write_bytes(bytes(content))
    with pytest.raises(CorruptArtifactError):
        store.export_pair("v1", str(tmp_path / "v1.parquet"))
    assert not (tmp_path / "v1.parquet").exists()


@pytest.mark.parametrize(
    ("refuse", "error"),
    [
        (lambda store: store.export_pair("v1", "nowhere"), UsageError),
        (lambda store: store.export_pair("v1", "v1.parquet", name="v2"), UsageError),
        (lambda store: store.export_pair("v0", "v0.parquet"), PairStateError),
    ],
)
def test_what_cannot_be_written_is_refused(store: Store, refuse: Callable[[Store], object], error: type) -> None:
    store.reembed(TWO, name="v0").wait()
    store.retention.retire(store.pair("v0"), "never used")
    with pytest.raises(error):
        refuse(store)
