"""Sources that applications and other libraries leave behind, written here by those libraries, against the suite.

Elasticsearch is a server of its requests on this machine, not Elasticsearch itself: it is in no package index.

Covers connectors.csv_file, connectors.listed, connectors.tensor_file, connectors.application_json,
connectors.hnswlib_file, connectors.usearch_file, connectors.milvus, connectors.elasticsearch, connectors.parquet,
connectors.json_lines, connectors.llama_index, connectors.faiss_documents, connectors.annoy_file.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.connectors.test_conformance import table, write_texts
from tests.support import search_engine_server
from vecrollback.connectors import chroma, open_connector
from vecrollback.errors import UnreachableError, UsageError
from vecrollback.quality.doctor import ForeignIndex
from vecrollback.records import Metric
from vecrollback.testing import ConnectorConformance
from vecrollback.testing.connector_suite import COUNT, DIMENSION, rows, vectors


class TestCsvLists(ConnectorConformance):
    stored = "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        pandas = pytest.importorskip("pandas", reason="pip install pandas")
        frame = pandas.DataFrame([row | {"embedding": v.tolist()} for row, v in zip(rows(), vectors(), strict=True)])
        frame.to_csv(folder / "docs.csv", index=False)
        return str(folder / "docs.csv"), None


class TestCsvColumns(ConnectorConformance):
    """A column for each number, separated by tabs, packed."""

    stored = "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        names = ["id", "text", "model", "batch", *(f"dim_{n}" for n in range(DIMENSION))]
        with gzip.open(folder / "docs.tsv.gz", "wt", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="\t")
            writer.writeheader()
            for row, vector in zip(rows(), vectors(), strict=True):
                writer.writerow(row | {f"dim_{n}": float(one) for n, one in enumerate(vector)})
        return f"csv:{folder / 'docs.tsv.gz'}", None


class TestNpzBesideItsTexts(ConnectorConformance):
    stored, decoded_cosine = "float16", 0.99999

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        np.savez_compressed(folder / "v.npz", embeddings=vectors().astype(np.float16), mean=vectors().mean(0))
        return str(folder / "v.npz"), write_texts(folder)


def columns() -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows()] for name in ("id", "text", "model", "batch")}


class TestSafetensors(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        numpy = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
        numpy.save_file({"embeddings": vectors().copy()}, folder / "v.safetensors")
        return str(folder / "v.safetensors"), write_texts(folder)


class TestTorch(ConnectorConformance):
    stored, decoded_cosine = "bfloat16", 0.9999

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        torch = pytest.importorskip("torch", reason="pip install torch")
        names = {"ids": "id", "texts": "text", "model": "model", "batch": "batch"}
        lists = {name: columns()[field] for name, field in names.items()}
        torch.save({"embeddings": torch.tensor(vectors()).bfloat16(), **lists}, folder / "v.pt")
        return str(folder / "v.pt"), None


class TestHnswlib(ConnectorConformance):
    """Labels not in order, and one deleted."""

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        index = pytest.importorskip("hnswlib", reason="pip install hnswlib").Index("cosine", DIMENSION)
        index.init_index(400)
        backwards = np.arange(COUNT)[::-1]
        index.add_items(vectors()[backwards], backwards * 3 + 1)
        index.add_items(vectors()[:1], [2])
        index.mark_deleted(2)
        index.save_index(str(folder / "h.bin"))
        return f"hnswlib:{folder / 'h.bin'}", write_texts(folder)


class TestUsearch(ConnectorConformance):
    metric, stored, decoded_cosine = "cosine", "float16", 0.99999

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        index = pytest.importorskip("usearch.index", reason="pip install usearch").Index(
            ndim=DIMENSION, metric="cos", dtype="f16"
        )
        backwards = np.arange(COUNT)[::-1]
        index.add(backwards * 2 + 5, vectors()[backwards])
        index.add(np.array([4]), vectors()[:1])
        index.remove(4)
        index.save(str(folder / "v.usearch"))
        return str(folder / "v.usearch"), write_texts(folder)


class TestMilvusLite(ConnectorConformance):
    metric, ordered = "dot", False

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        pymilvus = pytest.importorskip("pymilvus", reason="pip install pymilvus")
        pytest.importorskip("milvus_lite", reason="pip install milvus-lite")
        client = pymilvus.MilvusClient(str(folder / "m.db"))
        options = {"id_type": "string", "max_length": 64, "metric_type": "IP"}
        client.create_collection("docs", dimension=DIMENSION, **options)
        entities = [row | {"vector": vector.tolist()} for row, vector in zip(rows(), vectors(), strict=True)]
        client.insert("docs", entities)
        client.flush("docs")
        client.close()
        return f"milvus:{folder / 'm.db'}#docs", None


def llama_index_nodes() -> list[Any]:
    from llama_index.core.schema import TextNode

    return [
        TextNode(
            id_=row["id"],
            text=row.get("text", ""),
            metadata={"model": row["model"], "batch": row["batch"]},
            excluded_embed_metadata_keys=["model", "batch"],
            embedding=vector.tolist(),
        )
        for row, vector in zip(rows(), vectors(), strict=True)
    ]


class TestLlamaIndexFolder(ConnectorConformance):
    metric, stored = "cosine", "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
        from llama_index.core import StorageContext

        nodes = llama_index_nodes()
        storage = StorageContext.from_defaults()
        # Not through an index, which leaves out a node without a text.
        storage.vector_store.add(nodes)
        storage.docstore.add_documents(nodes)
        storage.persist(str(folder))
        return f"llama-index:{folder}", None


class TestLlamaIndexFaiss(ConnectorConformance):
    """`FaissVectorStore` in a `VectorStoreIndex`, persisted as LlamaIndex's own guide does it."""

    metric = "dot"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        store_of = pytest.importorskip(
            "llama_index.vector_stores.faiss", reason="pip install llama-index-vector-stores-faiss"
        ).FaissVectorStore
        import faiss
        from llama_index.core import StorageContext
        from llama_index.core.data_structs import IndexDict

        storage = StorageContext.from_defaults(vector_store=store_of(faiss.IndexFlatIP(DIMENSION)))
        nodes, struct = llama_index_nodes(), IndexDict()
        # What VectorStoreIndex does, which leaves out a node without a text.
        for node, number in zip(nodes, storage.vector_store.add(nodes), strict=True):
            struct.add_node(node, text_id=number)
        storage.docstore.add_documents(nodes)
        storage.index_store.add_index_struct(struct)
        storage.persist(str(folder))
        return f"llama-index:{folder}", None


class TestLlamaIndexFaissMap(ConnectorConformance):
    """`FaissMapVectorStore`, whose numbers are its own, with a node that was deleted."""

    metric = "dot"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        store_of = pytest.importorskip(
            "llama_index.vector_stores.faiss", reason="pip install llama-index-vector-stores-faiss"
        ).FaissMapVectorStore
        import faiss
        from llama_index.core import StorageContext
        from llama_index.core.schema import TextNode

        store = store_of(faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSION)))
        storage, nodes = StorageContext.from_defaults(vector_store=store), llama_index_nodes()
        store.add([TextNode(id_="gone", text="gone", embedding=vectors()[0].tolist()), *nodes])
        store.delete_nodes(["gone"])
        storage.docstore.add_documents(nodes)
        storage.persist(str(folder))
        return f"llama-index:{folder}", None


class TestAnnoy(ConnectorConformance):
    metric = "cosine"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        annoy = pytest.importorskip("annoy", reason="pip install 'vecrollback[annoy]'")
        index = annoy.AnnoyIndex(DIMENSION, "angular")
        for row, vector in enumerate(vectors()):
            index.add_item(row, vector.tolist())
        index.build(3)
        index.save(str(folder / "docs.ann"))
        return f"annoy:{folder / 'docs.ann'}#{DIMENSION}", write_texts(folder)


def test_a_file_of_annoy_wants_its_dimension_and_tells_a_wrong_one(tmp_path: Path) -> None:
    place, texts = TestAnnoy.make(tmp_path)
    for wrong in (place.partition("#")[0], place.replace(f"#{DIMENSION}", "#x"), f"{place}:hamming"):
        with pytest.raises(UsageError, match="how long the vectors are"):
            open_connector(wrong, texts=texts)
    with pytest.raises(UsageError, match="Annoy cannot read it"):
        open_connector(place.replace(f"#{DIMENSION}", f"#{DIMENSION + 7}"), texts=texts)


class TestHaystackJson(ConnectorConformance):
    metric, stored, text_field = "dot", "float64", "content"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore()
        store.write_documents(
            [
                haystack.Document(
                    id=row["id"],
                    content=row.get("text"),
                    meta={"model": row["model"], "batch": row["batch"]},
                    embedding=vector.tolist(),
                )
                for row, vector in zip(rows(), vectors(), strict=True)
            ]
        )
        store.save_to_disk(str(folder / "store.json"))
        return f"haystack:{folder / 'store.json'}", None


class TestPineconeExport(ConnectorConformance):
    """Parquet as Pinecone imports and exports it: `metadata` is JSON in a string."""

    text_field = "metadata.text"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        metadata = [json.dumps({k: v for k, v in row.items() if k != "id"}) for row in rows()]
        values = pa.array(list(vectors()), pa.list_(pa.float32()))
        made = pa.table({"id": [row["id"] for row in rows()], "values": values, "metadata": metadata})
        (folder / "namespace").mkdir()
        pq.write_table(made.slice(0, 100), folder / "namespace" / "0.parquet")
        pq.write_table(made.slice(100), folder / "namespace" / "1.parquet")
        return f"parquet:{folder}", None


class TestPineconeFetch(ConnectorConformance):
    """What `index.fetch(ids).to_dict()` gives, as JSON."""

    stored, text_field = "float64", "metadata.text"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        found = {
            row["id"]: {
                "id": row["id"],
                "values": vector.tolist(),
                "metadata": {name: row[name] for name in row if name != "id"},
            }
            for row, vector in zip(rows(), vectors(), strict=True)
        }
        (folder / "export.json").write_text(json.dumps({"namespace": "", "vectors": found}))
        return str(folder / "export.json"), None


class TestWeaviateExport(ConnectorConformance):
    """What the REST interface's `/v1/objects?include=vector` gives, with the named vectors of later versions."""

    stored, text_field = "float64", "properties.text"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        objects = [
            {
                "class": "Docs",
                "id": row["id"],
                "properties": {name: row[name] for name in row if name != "id"},
                "vectors": {"default": vector.tolist()},
            }
            for row, vector in zip(rows(), vectors(), strict=True)
        ]
        (folder / "objects.ndjson").write_text("\n".join(map(json.dumps, objects)))
        return str(folder / "objects.ndjson"), None


class TestBulkRequests(ConnectorConformance):
    """A bulk request of Elasticsearch: index, update, delete."""

    stored, id_field = "float64", None

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        lines: list[dict[str, Any]] = [{"index": {"_id": "gone"}}, {"text": "x", "vector": [1.0] * DIMENSION}]
        for row, vector in zip(rows(), vectors(), strict=True):
            lines += [{"index": {"_index": "docs", "_id": row["id"]}}, row | {"vector": vector.tolist()}]
        lines += [{"update": {"_id": "r5"}}, {"doc": {"seen": True}}, {"delete": {"_id": "gone"}}]
        (folder / "bulk.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(folder / "bulk.ndjson"), None


class TestParquetFolder(ConnectorConformance):
    pattern: ClassVar[str] = ""

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        made = table(pa.list_(pa.float32()))
        for n, first in enumerate((0, 90, 180)):
            pq.write_table(made.slice(first, 90), folder / f"part-{n}.parquet", row_group_size=40)
        return f"parquet:{folder}{cls.pattern}", None


class TestParquetPattern(TestParquetFolder):
    pattern = "/part-*.parquet"


class TestParquetInObjectStorage(ConnectorConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def made(
        cls, object_server: Any, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[str, Path | None, Path]]:
        import boto3

        folder = tmp_path_factory.mktemp("source")
        TestParquetFolder.make(folder)
        place = object_server.uri()
        bucket, _, prefix = place.removeprefix("s3://").partition("?")[0].partition("/")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in object_server.environment.items():
                patch.setenv(name, value)
            client = boto3.client("s3", endpoint_url=object_server.environment["AWS_ENDPOINT_URL"])
            for path in folder.glob("*.parquet"):
                client.upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{path.name}")
            yield f"parquet:s3://{bucket}/{prefix.rstrip('/')}/part-*.parquet", None, folder


def engine(key: str = "", dims: str = "dims", kind: str = "dense_vector") -> search_engine_server.SearchEngine:
    texts = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    mapping = {name: dict(texts) for name in ("text", "model", "batch")}
    mapping["embedding"] = {"type": kind, dims: DIMENSION}
    mapping["embedding"] |= {"similarity": "cosine"} if kind == "dense_vector" else {"space_type": "l2"}
    documents = {
        row["id"]: {name: row[name] for name in row if name != "id"} | {"embedding": vector.tolist()}
        for row, vector in zip(rows(), vectors(), strict=True)
    }
    return search_engine_server.SearchEngine({"docs": (mapping, documents), "other": ({}, {})}, key)


class TestElasticsearch(ConnectorConformance):
    metric: ClassVar[Metric | None] = "cosine"
    ordered = False
    scheme: ClassVar[tuple[str, str, str]] = ("elasticsearch", "dims", "dense_vector")

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path | None, Path]]:
        name, dims, kind = cls.scheme
        with search_engine_server.running(engine(dims=dims, kind=kind)) as server:
            yield f"{name}:{server.url}#docs", None, tmp_path_factory.mktemp("nothing")


def test_a_field_that_is_called_id_stands_beside_the_id_of_a_document_in_elasticsearch() -> None:
    mapping = {"id": {"type": "keyword"}, "embedding": {"type": "dense_vector", "dims": 2}}
    documents = {f"_{n}": {"id": f"own-{n}", "embedding": [1.0, n]} for n in range(3)}
    with search_engine_server.running(search_engine_server.SearchEngine({"docs": (mapping, documents)}, "")) as server:
        connector = open_connector(f"elasticsearch:{server.url}#docs")
        assert connector.fields == ("id", "_source.id")
        for names in (None, connector.fields):
            records = connector.take(np.arange(2), names, vectors=False).records
            assert records == [{"id": f"_{n}", "_source.id": f"own-{n}"} for n in range(2)]
        connector.close()


class TestOpensearch(TestElasticsearch):
    metric, scheme = "l2", ("opensearch", "dimension", "knn_vector")


def test_a_search_engine_wants_its_key_and_lists_its_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    with search_engine_server.running(engine(key="secret")) as server:
        place = f"elasticsearch:{server.url}"
        with pytest.raises(UsageError, match="refuses"):
            open_connector(f"{place}#docs")
        monkeypatch.setenv("ELASTIC_API_KEY", "secret")
        open_connector(f"{place}#docs").close()
        for wrong in (place, f"{place}#nobody"):
            with pytest.raises(UsageError) as refused:
                open_connector(wrong)
            assert "docs, other" in refused.value.hint
        with pytest.raises(UsageError, match="no field holds vectors"):
            open_connector(f"{place}#other")
    with pytest.raises(UsageError, match="nothing answers"):
        open_connector(f"{place}#docs")


def test_without_a_collection_each_place_lists_what_is_there(tmp_path: Path) -> None:
    import lancedb

    lancedb.connect(tmp_path / "lance").create_table("notes", [{"vector": [1.0, 2.0]}])
    places = {f"lancedb:{tmp_path / 'lance'}": "notes"}
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    chromadb.PersistentClient(str(tmp_path / "chroma")).create_collection("letters")
    places[f"chroma:{tmp_path / 'chroma'}"] = "letters"
    qdrant = pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    client = qdrant.QdrantClient(path=str(tmp_path / "qdrant"))
    client.create_collection("cards", vectors_config=qdrant.models.VectorParams(size=2, distance="Dot"))
    client.close()
    places[f"qdrant:{tmp_path / 'qdrant'}"] = "cards"
    duckdb = pytest.importorskip("duckdb", reason="pip install duckdb")
    duckdb.connect(str(tmp_path / "d.duckdb")).execute("create table pages (v float[2])").close()
    places[f"duckdb:{tmp_path / 'd.duckdb'}"] = "pages"
    place, _ = TestMilvusLite.make(tmp_path)
    places[place.partition("#")[0]] = "docs"
    for bare, name in places.items():
        with pytest.raises(UsageError) as refused:
            open_connector(bare)
        assert name in refused.value.hint, bare


def test_tables_of_a_database_are_listed_and_its_address_is_taken_as_applications_spell_it(postgres: Any) -> None:
    address = postgres.url().partition("&schema")[0].partition("://")[2]
    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
        connection.execute("create table if not exists aa_spelled (id text, text text, embedding vector(3))")
        connection.execute("insert into aa_spelled values ('a', 'one', '[1,2,3]')")
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "jdbc:postgresql"):
        with ForeignIndex(f"{scheme}://{address}#aa_spelled") as source:
            assert source.count >= 1
    with pytest.raises(UsageError) as refused:
        ForeignIndex(f"postgresql://{address}")
    assert "aa_spelled" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,text\n1,x\n"),
        ("a.npy", b"\x93NUMPY\x01\x00\x40\x00" + b"{'descr': '<f4', 'fortran_order': Fal[shape': (8, 6), }".ljust(64)),
        ("a.faiss", b"IxF2\x08\x00\x00\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00"),  # cut short
        ("a.json", b'{"rows": []}'),
        ("a.json", b"{"),
        ("a.npz", b"garbage"),
        ("a.safetensors", b"garbage"),
        ("a.pt", b"garbage"),
        ("a.usearch", b"garbage"),
        ("a.ndjson", b'{"index": {"_id": 1}}\n{"text": "x"}\n'),
    ],
)
def test_a_file_without_vectors_is_refused_in_words(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        open_connector(str(tmp_path / name))
    assert refused.value.hint
    with pytest.raises(UsageError):
        open_connector(str(tmp_path / f"nobody-{name}"))


def test_a_torch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "ran",)

    torch.save({"embeddings": torch.zeros(3, 4), "bomb": Bomb()}, tmp_path / "v.pt")
    with pytest.raises(UsageError, match="without running"):
        open_connector(str(tmp_path / "v.pt"))
    np.savez(tmp_path / "v.npz", embeddings=np.ones((3, 4)), bomb=np.array([Bomb()], dtype=object))
    open_connector(str(tmp_path / "v.npz")).close()
    assert not (tmp_path / "ran").exists()


class _Shrinking:
    """A collection of Chroma from which somebody deletes a row between two pages, so many times."""

    def __init__(self, collection: Any, victims: list[str]) -> None:
        self._collection, self._victims = collection, victims

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def get(self, **options: Any) -> Any:
        if options.get("offset") and self._victims:
            self._collection.delete(ids=[self._victims.pop(0)])
        return self._collection.get(**options)


@pytest.mark.parametrize("victim", ["d0", "d4", "d12"])
def test_a_row_of_chroma_that_goes_between_two_pages_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """An id that was missed would be taken for deleted by whoever brings a store up to date with the collection."""
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    ids = [f"d{n}" for n in range(13)]
    collection = chromadb.PersistentClient(str(tmp_path / "db")).create_collection("docs", embedding_function=None)
    collection.add(ids=ids, embeddings=np.eye(13, dtype=np.float32), documents=ids)
    there, victims = chroma._collection, [victim]
    monkeypatch.setattr(chroma, "_PAGE", 5)
    monkeypatch.setattr(chroma, "_collection", lambda *place: _Shrinking(there(*place), victims))
    with contextlib.closing(open_connector(f"chroma:{tmp_path / 'db'}#docs")) as source:
        found = [record["id"] for part in source.scan(("id",)) for record in part.records]
    assert sorted(found) == sorted(set(ids) - {victim})
    victims += ids[:6]
    with pytest.raises(UnreachableError, match="rows were deleted each of the 5 times"):
        open_connector(f"chroma:{tmp_path / 'db'}#docs")
