"""The databases that hold pairs pass the suite that is shipped for authors of others.

What clients of other programs see is asked for by the databases' own clients. Covers pairs.backends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from tests.support.postgres import PostgresServer
from vecrollback import Document, connect
from vecrollback.pairs.backend import Place, VectorBackend, open_backend
from vecrollback.testing import BackendConformance


class TestPgvector(BackendConformance):
    specs = ("hnsw", "ivfflat:lists=10,probes=9", "hnsw:m=8,halfvec")

    @pytest.fixture(autouse=True)
    def server(self, postgres: PostgresServer) -> None:
        type(self)._server = postgres

    @pytest.fixture
    def place(self, postgres: PostgresServer) -> str:
        return f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#p_{uuid4().hex[:8]}"

    def visible(self, place: str) -> list[str]:
        with type(self)._server.connect() as connection:  # type: ignore[attr-defined]
            if open_backend(place).owner() is None:
                return []
            rows = connection.execute(f"SELECT doc_id FROM {Place.parse(place).name} WHERE current").fetchall()
        return [id_ for (id_,) in rows]


@pytest.mark.parametrize("kind", ["pgvector", "lancedb"])
def test_a_catch_up_reads_no_rows_but_those_of_what_changed(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    address = f"postgresql://postgres@/postgres?host={postgres.folder}" if kind == "pgvector" else f"{tmp_path}/lance"
    place = f"{kind}:{address}#p_{uuid4().hex[:8]}"
    backend, scanned = type(open_backend(place)), []
    scan = backend.scan

    def watched(self: VectorBackend, columns: Sequence[str], first: int, end: int) -> Iterator[pa.RecordBatch]:
        for part in scan(self, columns, first, end):
            scanned.extend([", ".join(columns)] * part.num_rows)
            yield part

    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n}") for n in range(600)])
        store.promote(store.reembed("hash:32", name="v1", backend=place, index="exact").wait(), reason="the first")
        store.upsert([Document("d7", "another note"), *(Document(f"new {n}", f"fresh {n}") for n in range(20))])
        store.delete(["d9"])
        monkeypatch.setattr(backend, "scan", watched)
        caught = store.catch_up("v1")
        assert caught.documents == 22
        assert not scanned, Counter(scanned)
        monkeypatch.undo()
        assert store.search("fresh 3", 1).hits[0].id == "new 3"
        assert store.check("v1").verdict == "pass"


@pytest.mark.slow  # the laws' own story runs on each by default
class TestQdrant(BackendConformance):
    """Its local mode: exact whatever it is asked for."""

    specs = ("hnsw:m=8,ef_search=64",)
    many = 4

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        pytest.importorskip("qdrant_client", reason="pip install 'vecrollback[qdrant]'")
        return f"qdrant:{tmp_path}/qdrant#pair"

    def visible(self, place: str) -> list[str]:
        from qdrant_client import models

        from vecrollback.pairs.backends.qdrant import QdrantBackend

        opened = open_backend(place)
        assert isinstance(opened, QdrantBackend)
        client = opened._client  # one client may have a folder open
        if not client.collection_exists("pair"):
            return []
        shown = models.FieldCondition(key="current", match=models.MatchValue(value=True))
        points, _ = client.scroll("pair", scroll_filter=models.Filter(must=[shown]), limit=1000)
        return [point.payload["doc_id"] for point in points]


@pytest.mark.slow  # the laws' own story runs on each by default
class TestChroma(BackendConformance):
    specs = ("hnsw",)

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        pytest.importorskip("chromadb", reason="pip install 'vecrollback[chroma]'")
        return f"chroma:{tmp_path}/chroma#pair"

    def visible(self, place: str) -> list[str]:
        import chromadb

        client = chromadb.PersistentClient(Place.parse(place).address)
        if not client.list_collections():
            return []
        rows = client.get_collection("pair").get(where={"current": True}, include=["metadatas"])
        return [str(one["doc_id"]) for one in rows["metadatas"] or ()]


@pytest.mark.slow  # the laws' own story runs on each by default
class TestMilvus(BackendConformance):
    """Milvus Lite, in a file."""

    specs = ("ivf_flat:nlist=8,nprobe=100",)

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        pytest.importorskip("milvus_lite", reason="pip install 'vecrollback[milvus]'")
        return f"milvus:{tmp_path}/milvus.db#pair"

    def visible(self, place: str) -> list[str]:
        from vecrollback.pairs.backends.milvus import MilvusBackend

        opened = open_backend(place)
        assert isinstance(opened, MilvusBackend)
        client = opened._client  # one client may have a file open
        if not client.has_collection("pair"):
            return []
        rows = client.query("pair", filter="current == true", output_fields=["doc_id"], consistency_level="Strong")
        return [one["doc_id"] for one in rows]


@pytest.mark.slow  # the laws' own story runs on each by default
class TestLanceDB(BackendConformance):
    specs = ("ivf_flat:partitions=4,probes=4",)

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return f"lancedb:{tmp_path}/lance#pair"

    def visible(self, place: str) -> list[str]:
        import lancedb

        database = lancedb.connect(Place.parse(place).address)
        if "pair" not in database.table_names():
            return []
        return list(database.open_table("pair").search().where("current").limit(1000).to_arrow()["doc_id"].to_pylist())
