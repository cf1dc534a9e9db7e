"""The guard beside collections of each system, made by its own library.

Covers guard.places, guard.proof, guard.chroma, guard.qdrant, guard.pgvector, guard.lancedb, guard.sqlite, guard.folder,
embedders.stamp, quality.doctor.stamped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pytest

from tests.support import sqlite_vec
from vecrollback.connectors import ColumnNames
from vecrollback.embedders import open_embedder
from vecrollback.embedders.stamp import STAMP_FILE, STAMPS
from vecrollback.errors import CorruptArtifactError, EmbedderChangedError, FingerprintMismatchError, UsageError
from vecrollback.guard import DriftWarning, guard, stamp_of, unstamp
from vecrollback.quality.doctor import examine
from vecrollback.records.arrays import FloatArray

OWN, OTHER = "hash:48?seed=1", "hash:48?seed=2"
TEXTS = [f"{word} number {n} lies in the harbour" for n in range(20) for word in ("ship", "crate")]
Write = Callable[[list[str], list[str], FloatArray], None]


class Collection(NamedTuple):
    """`given`: what `guard` takes. `write`: put rows there, over those of the same ids. `kept`: what the place has."""

    given: Any
    write: Write
    kept: Callable[[], object]


def _chroma(folder: Path) -> Iterator[Collection]:
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    one = chromadb.PersistentClient(str(folder)).create_collection("docs", embedding_function=None)

    def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
        one.upsert(ids=ids, documents=texts, embeddings=vectors.tolist())

    yield Collection(one, write, lambda: one.get(include=["documents", "metadatas"]))


def _qdrant(folder: Path) -> Iterator[Collection]:
    client = pytest.importorskip("qdrant_client", reason="pip install qdrant-client").QdrantClient(path=str(folder))
    from qdrant_client import models

    client.create_collection("docs", vectors_config=models.VectorParams(size=48, distance=models.Distance.COSINE))

    def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
        rows = zip(ids, texts, vectors.tolist(), strict=True)
        points = [
            models.PointStruct(id=int(id_[1:]), vector=vector, payload={"page_content": text, "metadata": {}})
            for id_, text, vector in rows
        ]
        client.upsert("docs", points, wait=True)

    yield Collection((client, "docs"), write, lambda: client.scroll("docs", limit=100, with_vectors=True)[0])
    client.close()


def _lancedb(folder: Path) -> Iterator[Collection]:
    import lancedb
    import pyarrow as pa

    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), 48))])
    table = lancedb.connect(folder).create_table("docs", schema=schema)

    def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
        rows = [dict(zip(schema.names, row, strict=True)) for row in zip(ids, texts, vectors.tolist(), strict=True)]
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(pa.Table.from_pylist(rows, schema))

    yield Collection(table, write, lambda: table.to_arrow().to_pylist())


def _sqlite(folder: Path) -> Iterator[Collection]:
    with sqlite_vec.connected(folder / "app.db") as connection:
        connection.execute("create virtual table docs using vec0(id text primary key, embedding float[48], +text text)")

        def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
            for id_, text, vector in zip(ids, texts, vectors, strict=True):
                connection.execute("delete from docs where id = ?", (id_,))
                connection.execute("insert into docs values (?, ?, ?)", (id_, vector.tobytes(), text))
            connection.commit()

        def kept() -> object:
            return connection.execute("select id, text, embedding from docs order by id").fetchall()

        yield Collection((connection, "docs"), write, kept)


def _folder(folder: Path) -> Iterator[Collection]:
    pytest.importorskip("langchain_community", reason="needs langchain-community")
    import faiss
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS

    def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
        store = FAISS(lambda text: [0.0] * 48, faiss.IndexFlatL2(48), InMemoryDocstore({}), {})
        store.add_embeddings(list(zip(texts, vectors.tolist(), strict=True)), ids=ids)
        store.save_local(str(folder))

    def kept() -> object:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != STAMP_FILE}

    yield Collection(str(folder), write, kept)


_SYSTEMS = {"chroma": _chroma, "qdrant": _qdrant, "lancedb": _lancedb, "sqlite-vec": _sqlite, "faiss": _folder}


@pytest.fixture(params=[*_SYSTEMS, "pgvector"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collection]:
    if request.param == "pgvector":
        yield from _pgvector(request.getfixturevalue("postgres"))
    else:
        yield from _SYSTEMS[request.param](tmp_path)


def _pgvector(postgres: Any) -> Iterator[Collection]:
    schema = f"g_{uuid4().hex[:10]}"
    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
        connection.execute(f"create schema {schema}")
        connection.execute(f"create table {schema}.docs (id text primary key, content text, embedding vector(48))")

        def write(ids: list[str], texts: list[str], vectors: FloatArray) -> None:
            statement = f"insert into {schema}.docs values (%s, %s, %s::vector) on conflict (id) do update set "
            statement += "content = excluded.content, embedding = excluded.embedding"
            rows = [(id_, text, str(vector.tolist())) for id_, text, vector in zip(ids, texts, vectors, strict=True)]
            connection.cursor().executemany(statement, rows)

        def kept() -> object:
            return connection.execute(f"select id, content, embedding::text from {schema}.docs order by id").fetchall()

        yield Collection((connection, f"{schema}.docs"), write, kept)


def write(collection: Collection, spec: str, texts: list[str] = TEXTS) -> None:
    collection.write([f"r{n}" for n in range(len(texts))], texts, open_embedder(spec).embed_documents(texts))


def test_the_model_that_made_the_rows_is_stamped_and_no_other_opens_them_again(collection: Collection) -> None:
    write(collection, OWN)
    before = str(collection.kept())
    assert stamp_of(collection.given) is None
    assert guard(collection.given, OWN) is collection.given
    stamp = stamp_of(collection.given)
    assert stamp is not None
    assert (stamp.spec, stamp.fingerprint, stamp.dimension) == (OWN, open_embedder(OWN).fingerprint, 48)
    guard(collection.given, open_embedder(OWN))
    with pytest.raises(EmbedderChangedError) as refused:
        guard(collection.given, OTHER)
    assert OWN in refused.value.message and OTHER in refused.value.message
    with pytest.raises(EmbedderChangedError):
        guard(collection.given, "hash:64?seed=1")
    assert str(collection.kept()) == before


def test_a_model_that_did_not_make_the_rows_is_never_stamped(collection: Collection) -> None:
    write(collection, OTHER)
    with pytest.raises(FingerprintMismatchError, match="32 of 32 rows"):
        guard(collection.given, OWN)
    with pytest.warns(DriftWarning):
        guard(collection.given, OWN, drift="warn")
    assert stamp_of(collection.given) is None


def test_rows_of_another_model_that_came_later_are_met_by_the_sample(collection: Collection) -> None:
    write(collection, OWN)
    guard(collection.given, OWN)
    write(collection, OTHER)
    with pytest.raises(FingerprintMismatchError):
        guard(collection.given, OWN, sample=8)
    with pytest.warns(DriftWarning, match="doctor"):
        assert guard(collection.given, OWN, drift="warn", sample=8) is collection.given


def test_an_empty_collection_is_stamped_with_its_first_model_and_anew_after_a_change(collection: Collection) -> None:
    guard(collection.given, OWN)
    with pytest.raises(EmbedderChangedError):
        guard(collection.given, OTHER)
    write(collection, OTHER)
    unstamp(collection.given)
    unstamp(collection.given)
    guard(collection.given, OTHER)
    stamp = stamp_of(collection.given)
    assert stamp is not None and stamp.spec == OTHER


def test_two_collections_in_one_database_have_a_stamp_each(tmp_path: Path) -> None:
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    client = chromadb.PersistentClient(str(tmp_path))
    one, two = (client.create_collection(name, embedding_function=None) for name in ("one", "two"))
    guard(one, OWN)
    guard(two, OTHER)
    guard(f"chroma:{tmp_path}#one", OWN)
    with pytest.raises(EmbedderChangedError):
        guard(f"chroma:{tmp_path}#two", OWN)
    client.delete_collection("two")
    guard(client.create_collection("two", embedding_function=None), OWN)
    assert {one.name for one in client.list_collections()} == {"one", "two", STAMPS}


def test_rows_without_a_text_prove_nothing_and_are_stamped_only_when_told(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("create table docs (id integer primary key, embedding blob)")
        rows = [(n, vector.tobytes()) for n, vector in enumerate(open_embedder(OWN).embed_documents(TEXTS))]
        connection.executemany("insert into docs values (?, ?)", rows)
    with pytest.raises(UsageError, match="none with a text"):
        guard((connection, "docs"), OWN)
    assert stamp_of((connection, "docs")) is None
    guard((connection, "docs"), OWN, unproven=True)
    guard((connection, "docs"), OWN)
    with pytest.raises(EmbedderChangedError):
        guard((connection, "docs"), OTHER)


def test_what_is_embedded_of_a_row_is_said_by_a_template(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("create table docs (id text, title text, text text, embedding text)")
        vectors = open_embedder(OWN).embed_documents([f"Harbour\n\n{text}" for text in TEXTS])
        rows = [(f"r{n}", "Harbour", TEXTS[n], json.dumps(vectors[n].tolist())) for n in range(len(TEXTS))]
        connection.executemany("insert into docs values (?, ?, ?, ?)", rows)
    with pytest.raises(FingerprintMismatchError) as refused:
        guard((connection, "docs"), OWN)
    assert "template=" in refused.value.hint
    guard((connection, "docs"), OWN, template="{title}\n\n{text}")
    assert stamp_of(f"sqlite:{tmp_path / 'app.db'}#docs") is not None


def test_a_stamp_of_a_transaction_that_is_rolled_back_is_not_there(postgres: Any) -> None:
    import psycopg

    with postgres.connect() as outside:
        outside.execute("create extension if not exists vector schema public")
        outside.execute("create table stamped_inside (id text, content text, embedding vector(48))")
    with psycopg.connect(host=str(postgres.folder), user="postgres", dbname="postgres") as connection:
        connection.execute("select 1")
        guard((connection, "stamped_inside"), OWN)
        connection.rollback()
        assert stamp_of((connection, "stamped_inside")) is None
        connection.rollback()
        guard((connection, "stamped_inside"), OWN)
        connection.rollback()
        assert stamp_of((connection, "stamped_inside")) is not None


def test_a_damaged_stamp_is_told_as_that(tmp_path: Path) -> None:
    guard(str(tmp_path), OWN)
    (tmp_path / STAMP_FILE).write_text("{")
    with pytest.raises(CorruptArtifactError, match="stamp"):
        guard(str(tmp_path), OWN)


def test_what_cannot_be_guarded_is_told_with_what_can(tmp_path: Path) -> None:
    for wrong in (object(), ("docs",), 3, (sqlite3.connect(":memory:"),)):
        with pytest.raises(UsageError) as refused:
            guard(wrong, OWN)
        assert "Chroma" in refused.value.hint or "folder" in refused.value.message
    with pytest.raises(UsageError, match="nothing says what embeds"):
        guard(str(tmp_path))
    with pytest.raises(UsageError, match="not a way"):
        guard(str(tmp_path), OWN, drift="ignore")  # type: ignore[arg-type]


def test_the_sample_is_drawn_from_all_rows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("create table docs (text text, embedding blob)")
        vectors = open_embedder(OWN).embed_documents(TEXTS)
        vectors[20:] = open_embedder(OTHER).embed_documents(TEXTS[20:])
        connection.executemany(
            "insert into docs values (?, ?)", [(t, v.tobytes()) for t, v in zip(TEXTS, vectors, strict=True)]
        )
    with pytest.raises(FingerprintMismatchError, match="20 of 40 rows"):
        guard((connection, "docs"), OWN, sample=40)
    assert np.isfinite(vectors).all()


def _named_vectors(folder: Path, **vectors: FloatArray) -> Any:
    """A collection of Qdrant whose points have several vectors, or one with a name."""
    client = pytest.importorskip("qdrant_client", reason="pip install qdrant-client").QdrantClient(path=str(folder))
    from qdrant_client import models

    shape = models.VectorParams(size=48, distance=models.Distance.COSINE)
    sparse = {"words": models.SparseVectorParams()}
    client.create_collection("docs", vectors_config=dict.fromkeys(vectors, shape), sparse_vectors_config=sparse)
    words = models.SparseVector(indices=[1, 2], values=[0.5, 0.5])
    points = [
        models.PointStruct(
            id=n,
            vector={"words": words, **{name: rows[n].tolist() for name, rows in vectors.items()}},
            payload={"page_content": text, "metadata": {}},
        )
        for n, text in enumerate(TEXTS)
    ]
    client.upsert("docs", points, wait=True)
    return client


def test_each_of_several_vectors_of_a_point_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    made = {spec: open_embedder(spec).embed_documents(TEXTS) for spec in (OWN, OTHER)}
    client = _named_vectors(tmp_path, v1=made[OWN], v2=made[OTHER])
    with pytest.raises(UsageError, match="several vectors in a point: v1, v2") as refused:
        guard((client, "docs"), OWN)
    assert "(client, collection, vector)" in refused.value.hint
    with pytest.raises(UsageError, match="no vector 'v3'"):
        guard((client, "docs", "v3"), OWN)
    for name, own, other in (("v1", OWN, OTHER), ("v2", OTHER, OWN)):
        with pytest.raises(FingerprintMismatchError, match="32 of 32 rows"):
            guard((client, "docs", name), other)
        guard((client, "docs", name), own)
        with pytest.raises(EmbedderChangedError, match=f"vector '{name}'"):
            guard((client, "docs", name), other)
    unstamp((client, "docs", "v1"))
    assert stamp_of((client, "docs", "v1")) is None
    client.close()
    place = f"qdrant:{tmp_path}#docs"
    assert "stamp" not in examine(place, model=OWN, fields=ColumnNames(vector="v1"), seed=1).facts
    assert examine(place, model=OTHER, fields=ColumnNames(vector="v2"), seed=1).facts["stamp"]["agrees"] is True


def test_a_stamp_stays_valid_when_points_get_a_second_vector(tmp_path: Path) -> None:
    from qdrant_client import models

    client = _named_vectors(tmp_path, v1=open_embedder(OWN).embed_documents(TEXTS))
    guard((client, "docs"), OWN)
    early = client.scroll(STAMPS, with_payload=True)[0][0]
    guard((client, "docs", "v1"), OWN)
    config = models.VectorParams(size=48, distance=models.Distance.COSINE)
    client.delete_collection("docs")  # a server adds one; the local mode does not
    client.create_collection("docs", vectors_config={"v1": config, "v2": config})
    with pytest.raises(EmbedderChangedError):
        guard((client, "docs", "v1"), OTHER)
    guard((client, "docs", "v2"), OTHER)
    # As stamps were written before they named their vector: of which of two it is nobody knows.
    client.upsert(STAMPS, [models.PointStruct(id=early.id, vector=[1.0], payload={**early.payload, "vector": None})])
    client.delete_payload(STAMPS, keys=["vector"], points=[early.id])
    assert stamp_of((client, "docs", "v1")) is None
    client.delete_collection("docs")
    client.create_collection("docs", vectors_config=config)
    stamp = stamp_of((client, "docs"))
    assert stamp is not None and stamp.spec == OWN
    client.close()


def test_a_column_of_vectors_beside_the_usual_one_has_a_stamp_of_its_own(tmp_path: Path, postgres: Any) -> None:
    import lancedb
    import pyarrow as pa

    titles, texts = (open_embedder(spec).embed_documents(TEXTS) for spec in (OTHER, OWN))
    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
        connection.execute("create table two_vectors (text text, title_vector vector(48), vector vector(48))")
        rows = [
            (text, str(one.tolist()), str(two.tolist())) for text, one, two in zip(TEXTS, titles, texts, strict=True)
        ]
        connection.cursor().executemany("insert into two_vectors values (%s, %s::vector, %s::vector)", rows)
    columns = {"text": TEXTS, "title_vector": list(titles), "vector": list(texts)}
    kind = pa.list_(pa.float32(), 48)
    schema = pa.schema([("text", pa.string()), ("title_vector", kind), ("vector", kind)])
    table = lancedb.connect(tmp_path).create_table("docs", pa.table(columns, schema))
    sqlite = sqlite3.connect(tmp_path / "app.db")
    sqlite.execute("create table docs (text text, title_vector blob, vector blob)")
    blobs = [(text, one.tobytes(), two.tobytes()) for text, one, two in zip(TEXTS, titles, texts, strict=True)]
    sqlite.executemany("insert into docs values (?, ?, ?)", blobs)
    sqlite.commit()
    with postgres.connect() as connection:
        for given in ((table,), (sqlite, "docs"), (connection, "two_vectors", "", "")):
            usual = given if len(given) < 4 else given[:2]
            guard(usual if len(usual) > 1 else usual[0], OWN)
            guard((*given, "title_vector"), OTHER)
            with pytest.raises(EmbedderChangedError):
                guard((*given, "title_vector"), OWN)
            with pytest.raises(EmbedderChangedError):
                guard((*given, "vector"), OTHER)
            with pytest.raises(UsageError, match="does not exist"):
                guard((*given, "other"), OWN)
    places = [f"lancedb:{tmp_path}#docs", f"sqlite:{tmp_path / 'app.db'}#docs"]
    for place in (*places, f"{postgres.url().partition('&schema')[0]}#two_vectors"):
        for name, spec in (("title_vector", OTHER), ("vector", OWN), (None, OWN)):
            told = examine(place, model=spec, fields=ColumnNames(vector=name), seed=1).facts["stamp"]
            assert (told["spec"], told["agrees"]) == (spec, True)


def test_rows_of_another_size_are_foreign(tmp_path: Path) -> None:
    for share, sizes in (("12 of 40", (48, 32)), ("28 of 40", (32, 48))):
        made = [open_embedder(f"hash:{size}?seed=1").embed_documents(TEXTS) for size in sizes]
        with sqlite3.connect(tmp_path / f"app{sizes[0]}.db") as connection:
            connection.execute("create table docs (text text, embedding blob)")
            rows = [(text, made[n % 10 >= 7][n].tobytes()) for n, text in enumerate(TEXTS)]
            connection.executemany("insert into docs values (?, ?)", rows)
        with pytest.raises(FingerprintMismatchError, match=f"{share} rows") as refused:
            guard((connection, "docs"), OWN, sample=40)
        assert "they have 32 numbers and not 48" in refused.value.message
        assert stamp_of((connection, "docs")) is None
        connection.execute("update docs set text = null where length(embedding) = 128")
        with pytest.raises(FingerprintMismatchError):
            guard((connection, "docs"), OWN, sample=40, unproven=True)
        connection.execute("delete from docs where length(embedding) = 128")
        guard((connection, "docs"), OWN)


_PLACES = {
    "chroma": "chroma:{0}#docs",
    "qdrant": "qdrant:{0}#docs",
    "lancedb": "lancedb:{0}#docs",
    "sqlite-vec": "sqlite:{0}/app.db#docs",
    "faiss": "faiss:{0}",
}


@pytest.mark.parametrize("system", _PLACES)
def test_the_doctor_reads_the_stamp(system: str, tmp_path: Path) -> None:
    made = _SYSTEMS[system](tmp_path)
    collection = next(made)
    write(collection, OWN)
    guard(collection.given, OWN)
    list(made)  # closes it
    place = _PLACES[system].format(tmp_path)
    alone = examine(place)
    assert alone.facts["stamp"]["spec"] == OWN
    assert examine(place, model=OWN, seed=1).facts["stamp"]["agrees"] is True
    other = examine(place, model=OTHER, seed=1)
    finding = other.finding("stamp_differs")
    assert finding is not None and finding.severity == "fail" and OWN in finding.message


def test_the_doctor_reads_the_stamp_of_a_table_in_postgresql(postgres: Any) -> None:
    made = _pgvector(postgres)
    collection = next(made)
    write(collection, OWN)
    guard(collection.given, OWN)
    place = f"{postgres.url().partition('&schema')[0]}#{collection.given[1]}"
    assert examine(place, model=OTHER, seed=1).finding("stamp_differs")
    list(made)
