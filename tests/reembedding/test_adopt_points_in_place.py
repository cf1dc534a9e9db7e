"""A collection that an application made becomes a pair without a vector of it being copied or changed.

In each database of points, by the database's own client. Covers pairs.backends.borrowed_points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE, TWO, assert_passes, assert_serves, embedder
from vecrollback import Document, Store
from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.pairs.backend import open_backend

TEXTS = {str(uuid5(NAMESPACE_OID, str(n))): words(n) for n in range(60)}
IDS = list(TEXTS)


@dataclass(frozen=True)
class Application:
    """Somebody else's collection. Vectors are twice as long as the model's where the database takes them so."""

    place: str
    read: Callable[[], dict[str, list[float]]]
    change: Callable[[str, list[float]], None]
    remove: Callable[[str], Any]
    sizes: Callable[[], tuple[int, int]]
    """Rows with a vector of the pair's own, and rows in all."""


def vectors() -> list[list[float]]:
    return [[float(x) for x in 2 * embedder(ONE).embed_documents([text])[0]] for text in TEXTS.values()]


def counted(place: str, kind: str) -> Callable[[], tuple[int, int]]:
    def count() -> tuple[int, int]:
        fields = {"chroma": "id,", "qdrant": "id,", "milvus": "id,embedding", "lancedb": "id,embedding"}[kind]
        pair: Any = open_backend(f"{place.rpartition('#')[0]}#vecrollback_v1<docs({fields})")
        return pair._own.size(), pair.size()

    return count


def in_chroma(folder: Path) -> Application:
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    client = chromadb.PersistentClient(str(folder / "chroma"))
    docs = client.create_collection("docs", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    docs.add(ids=IDS, embeddings=vectors(), documents=list(TEXTS.values()))

    def read() -> dict[str, list[float]]:
        there = docs.get(include=["embeddings", "documents"])
        assert dict(zip(there["ids"], there["documents"], strict=True)) == TEXTS
        return {id_: row.tolist() for id_, row in zip(there["ids"], there["embeddings"], strict=True)}

    place = f"chroma:{folder / 'chroma'}#docs"

    def change(id_: str, vector: list[float]) -> None:
        docs.update(ids=[id_], embeddings=[vector])

    return Application(place, read, change, lambda id_: docs.delete(ids=[id_]), counted(place, "chroma"))


def in_qdrant(folder: Path) -> Application:
    pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    from qdrant_client import models

    place = f"qdrant:{folder / 'qdrant'}#docs"
    client: Any = open_backend(f"qdrant:{folder / 'qdrant'}#any")._client  # type: ignore[attr-defined]  # the one client
    client.create_collection("docs", vectors_config=models.VectorParams(size=32, distance=models.Distance.DOT))
    rows = zip(TEXTS.items(), vectors(), strict=True)
    client.upsert("docs", [models.PointStruct(id=id_, vector=v, payload={"text": text}) for (id_, text), v in rows])

    def read() -> dict[str, list[float]]:
        points = client.retrieve("docs", IDS, with_vectors=True)
        assert {one.id: one.payload["text"] for one in points} == TEXTS
        return {one.id: one.vector for one in points}

    def change(id_: str, vector: list[float]) -> None:
        client.update_vectors("docs", [models.PointVectors(id=id_, vector=vector)])

    return Application(place, read, change, lambda id_: client.delete("docs", [id_]), counted(place, "qdrant"))


def in_milvus(folder: Path) -> Application:
    pytest.importorskip("milvus_lite", reason="pip install milvus-lite")
    from pymilvus import DataType, MilvusClient

    place = f"milvus:{folder / 'milvus.db'}#docs"
    client: Any = open_backend(f"milvus:{folder / 'milvus.db'}#any")._client  # type: ignore[attr-defined]
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=1000)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=32)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="COSINE")
    client.create_collection("docs", schema=schema, index_params=index)
    rows = zip(TEXTS.items(), vectors(), strict=True)
    client.insert("docs", [{"id": id_, "text": text, "embedding": v} for (id_, text), v in rows])
    client.flush("docs")

    def read() -> dict[str, list[float]]:
        there = client.get("docs", IDS, output_fields=["id", "text", "embedding"])
        assert {one["id"]: one["text"] for one in there} == TEXTS
        return {one["id"]: list(one["embedding"]) for one in there}

    def change(id_: str, vector: list[float]) -> None:
        client.upsert("docs", [{"id": id_, "text": TEXTS[id_], "embedding": vector}])

    return Application(place, read, change, lambda id_: client.delete("docs", ids=[id_]), counted(place, "milvus"))


def in_lancedb(folder: Path) -> Application:
    lancedb = pytest.importorskip("lancedb", reason="pip install lancedb")
    place = f"lancedb:{folder / 'lance'}#docs"
    rows = zip(TEXTS.items(), vectors(), strict=True)
    data = [{"id": id_, "text": text, "embedding": np.array(v, np.float32)} for (id_, text), v in rows]
    table = lancedb.connect(folder / "lance").create_table("docs", data)

    def read() -> dict[str, list[float]]:
        rows = table.to_arrow().to_pylist()
        assert {one["id"]: one["text"] for one in rows} == TEXTS
        return {one["id"]: one["embedding"] for one in rows}

    def change(id_: str, vector: list[float]) -> None:
        table.update(where=f"id = '{id_}'", values={"embedding": vector})

    return Application(place, read, change, lambda id_: table.delete(f"id = '{id_}'"), counted(place, "lancedb"))


@pytest.fixture(
    params=[in_chroma, *(pytest.param(one, marks=pytest.mark.slow) for one in (in_qdrant, in_milvus, in_lancedb))],
    ids=lambda make: make.__name__,
)
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Application:
    made: Application = request.param(tmp_path)
    return made


def adopted(store: Store, application: Application) -> None:
    done = store.adopt(application.place, model=ONE, name="v1", in_place=True)
    assert (done.documents, done.reused, done.embedded, done.foreign) == (len(TEXTS), len(TEXTS), 0, 0)
    assert application.sizes() == (0, len(TEXTS)), "no vector was copied"
    store.promote("v1")


def test_upgrade_and_roll_back_over_the_collections_own_vectors(application: Application, tmp_path: Path) -> None:
    before, texts = application.read(), dict(TEXTS)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted(store, application)
        assert_serves(store, texts)
        store.reembed(TWO, name="v2", backend=f"{application.place.rpartition('#')[0]}#pair_v2").wait()
        store.promote("v2")
        texts |= {IDS[3]: "bread from the harbour", "new": "a boat that is new"}
        store.upsert([Document(id_, texts[id_]) for id_ in (IDS[3], "new")])
        store.delete([IDS[4]])
        del texts[IDS[4]]
        store.catch_up("v2")
        assert_serves(store, texts)
        moved = store.rollback(reason="worse")
        assert moved.report is not None
        assert_passes(moved.report)
        assert moved.target == "v1@1"
        assert_serves(store, texts)
        store.snapshot("v1", rebuild=True)
        assert_serves(store, texts)
        assert_passes(store.check("v1"))
        assert application.sizes() == (2, len(TEXTS) + 2)
    assert application.read() == before, "nothing of the application was touched"


def test_what_the_application_changes_or_removes_is_found_by_the_check(
    application: Application, tmp_path: Path
) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted(store, application)
        assert_passes(store.check("v1"))
        application.change(IDS[0], vectors()[1])
        report = store.check("v1")
        assert report.verdict == "fail"
        assert "file_corrupt" in {finding.kind for finding in report.findings}
        assert store.search("boats", k=EVERYTHING).hits, "and it goes on answering"
        application.remove(IDS[2])
        assert store.check("v1").verdict == "fail"
        assert IDS[2] not in {hit.id for hit in store.search(TEXTS[IDS[2]], k=EVERYTHING).hits}


def test_another_models_vectors_and_ids_that_find_nothing_are_refused(application: Application, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        with pytest.raises(FingerprintMismatchError):
            store.adopt(application.place, model=TWO, name="v1", in_place=True)
        if not application.place.startswith("lancedb:"):
            field = "document" if application.place.startswith("chroma:") else "text"
            with pytest.raises(UsageError, match="rows are found by 'id'"):
                store.adopt(application.place, model=ONE, name="v1", in_place=True, fields=fields(field))
        assert store.pairs() == []


def test_a_folder_of_qdrant_whose_vectors_change_as_they_are_searched_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    from qdrant_client import models

    in_qdrant(tmp_path)
    client: Any = open_backend(f"qdrant:{tmp_path / 'qdrant'}#any")._client  # type: ignore[attr-defined]
    client.create_collection("cosine", vectors_config=models.VectorParams(size=32, distance=models.Distance.COSINE))
    rows = zip(TEXTS.items(), vectors(), strict=True)
    client.upsert("cosine", [models.PointStruct(id=id_, vector=v, payload={"text": text}) for (id_, text), v in rows])
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        with pytest.raises(UsageError, match="local mode changes"):
            store.adopt(f"qdrant:{tmp_path / 'qdrant'}#cosine", model=ONE, name="v1", in_place=True)
        assert store.pairs() == []


def fields(id_: str) -> Any:
    from vecrollback.connectors import ColumnNames

    return ColumnNames(id=id_)
