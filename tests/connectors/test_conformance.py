"""Each kind of vector source the doctor reads, against the suite.

Covers connectors.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.postgres import PostgresServer
from vecrollback.embedders import open_embedder
from vecrollback.errors import UsageError
from vecrollback.quality.doctor import ForeignIndex, examine
from vecrollback.testing import ConnectorConformance
from vecrollback.testing.connector_suite import COUNT, DIMENSION, WITHOUT_TEXT, rows, vectors


def write_texts(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def table(kind: pa.DataType) -> pa.Table:
    columns = {name: [row.get(name) for row in rows()] for name in ("id", "text", "model", "batch")}
    width = f"float{kind.value_type.bit_width}"
    return pa.table(columns | {"vector": pa.array(list(vectors().astype(width)), kind)})


class TestNumpy(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        np.save(folder / "vectors.npy", vectors())
        return str(folder / "vectors.npy"), write_texts(folder)


class TestNumpyHalves(ConnectorConformance):
    stored, decoded_cosine = "float16", 0.99999

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        np.save(folder / "vectors.npy", np.asfortranarray(vectors().astype(np.float16)))
        return str(folder / "vectors.npy"), write_texts(folder)


class FaissConformance(ConnectorConformance):
    spec: ClassVar[str]
    metric = "dot"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        import faiss

        index: Any = faiss.index_factory(DIMENSION, cls.spec, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors())
        if "IDMap" in cls.spec:
            index.add_with_ids(vectors(), np.arange(COUNT) * 7)
        else:
            index.add(vectors())
        faiss.write_index(index, str(folder / "index.faiss"))
        return f"faiss:{folder / 'index.faiss'}", write_texts(folder)


class TestFaissFlat(FaissConformance):
    spec = "Flat"


class TestFaissGraph(FaissConformance):
    spec, stored, decoded_cosine = "HNSW16,SQ8", "IndexScalarQuantizer", 0.999


class TestFaissLists(FaissConformance):
    spec = "IVF4,Flat"


class TestFaissIds(FaissConformance):
    spec = "IDMap,Flat"


class TestFaissReduced(FaissConformance):
    spec, stored, decoded_cosine = "PCA20,Flat", "IndexPreTransform", 0.7


class TestParquetLists(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        pq.write_table(table(pa.list_(pa.float32())), folder / "t.parquet", row_group_size=60)
        return f"parquet:{folder / 't.parquet'}", None


class TestParquetFixed(ConnectorConformance):
    stored = "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        pq.write_table(table(pa.list_(pa.float64(), DIMENSION)), folder / "t.parquet")
        return str(folder / "t.parquet"), None


class TestArrowFile(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        made = table(pa.list_(pa.float32(), DIMENSION))
        with pa.OSFile(str(folder / "t.arrow"), "wb") as out, pa.ipc.new_file(out, made.schema) as writer:
            writer.write_table(made, max_chunksize=50)
        return f"arrow:{folder / 't.arrow'}", None


class TestArrowStream(ConnectorConformance):
    stored, decoded_cosine = "float16", 0.99999

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        made = table(pa.list_(pa.float16(), DIMENSION))
        with pa.OSFile(str(folder / "t.arrow"), "wb") as out, pa.ipc.new_stream(out, made.schema) as writer:
            writer.write_table(made, max_chunksize=50)
        return str(folder / "t.arrow"), None


class TestJsonLines(ConnectorConformance):
    stored = "float64"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        lines = [json.dumps(row | {"vector": vectors()[n].tolist()}) for n, row in enumerate(rows())]
        (folder / "docs.jsonl").write_text("\n".join(lines) + "\n")
        return str(folder / "docs.jsonl"), None


class TestDuckdb(ConnectorConformance):
    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        duckdb = pytest.importorskip("duckdb", reason="pip install 'vecrollback[duckdb]'")
        with duckdb.connect(str(folder / "docs.db")) as connection:
            connection.execute(
                f"CREATE TABLE docs (id text, text text, model text, batch text, vector FLOAT[{DIMENSION}])"
            )
            values = [
                [*(row.get(c) for c in ("id", "text", "model", "batch")), vectors()[n].tolist()]
                for n, row in enumerate(rows())
            ]
            connection.executemany("INSERT INTO docs VALUES (?, ?, ?, ?, ?)", values)
        return f"duckdb:{folder / 'docs.db'}#docs", None


class TestLanceDB(ConnectorConformance):
    metric = "cosine"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        import lancedb
        from lancedb.index import IvfFlat

        made = lancedb.connect(str(folder)).create_table("docs", table(pa.list_(pa.float32(), DIMENSION)))
        made.add([row | {"id": "gone", "vector": vectors()[0]} for row in rows()[:1]])
        made.delete("id = 'gone'")
        made.create_index("vector", config=IvfFlat(distance_type="cosine", num_partitions=2))
        return f"lancedb:{folder}#docs", None


class TestPostgres(ConnectorConformance):
    metric = "l2"
    column = "vector(24)"

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path | None, Path]:
        with postgres.connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("DROP TABLE IF EXISTS docs")
            connection.execute(f"CREATE TABLE docs (id text, text text, metadata jsonb, embedding {cls.column})")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO docs VALUES (%s, %s, %s, %s)", [_row(n) for n in range(COUNT)])
            if cls.metric:
                operators = f"{cls.column.partition('(')[0]}_l2_ops"
                connection.execute(f"CREATE INDEX ON docs USING hnsw (embedding {operators})")
        place = postgres.url().partition("&schema")[0]
        return f"{place}#docs", None, tmp_path_factory.mktemp("nothing")

    def test_a_table_that_is_not_there_is_refused_with_those_that_are(
        self, made: tuple[str, Path | None, Path]
    ) -> None:
        with pytest.raises(UsageError) as refused:
            ForeignIndex(made[0].replace("#docs", "#public.nobody"))
        assert "docs" in refused.value.hint

    def test_a_view_is_refused_with_what_to_do(
        self, postgres: PostgresServer, made: tuple[str, Path | None, Path]
    ) -> None:
        with postgres.connect() as connection:
            connection.execute("CREATE OR REPLACE VIEW seen AS SELECT id, text FROM docs")
        with pytest.raises(UsageError, match="not a plain table") as refused:
            ForeignIndex(made[0].replace("#docs", "#seen"))
        assert "materialized view" in refused.value.hint
        with postgres.connect() as connection:
            connection.execute("DROP VIEW seen")


@pytest.mark.parametrize("how", ["inherits", "partitions"])
def test_rows_of_children_are_told_apart_though_each_counts_from_the_same_place(
    postgres: PostgresServer, how: str
) -> None:
    texts = [f"the text of row {row}" for row in range(90)]
    own = open_embedder("hash:24?seed=1").embed_documents(texts)
    foreign = open_embedder("hash:24?seed=2").embed_documents(texts)
    columns = "id text, part integer, text text, embedding vector(24)"
    with postgres.connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("DROP TABLE IF EXISTS parent CASCADE")
        kind = " PARTITION BY LIST (part)" if how == "partitions" else ""
        connection.execute(f"CREATE TABLE parent ({columns}){kind}")
        for part in range(3):
            of = f"PARTITION OF parent FOR VALUES IN ({part})" if how == "partitions" else "() INHERITS (parent)"
            connection.execute(f"CREATE TABLE child_{part} {of}")
            with connection.cursor() as cursor:
                rows = [
                    (f"r{n}", part, texts[n], (own if part else foreign)[n].tolist())
                    for n in range(30 * part, 30 * part + 30)
                ]
                cursor.executemany(f"INSERT INTO child_{part} VALUES (%s, %s, %s, %s)", rows)
    place = f"{postgres.url().partition('&schema')[0]}#parent"
    with ForeignIndex(place) as source:
        every = np.arange(90)
        assert source.count == 90
        assert sorted(source.ids(every)) == sorted(f"r{n}" for n in range(90))
        assert source.texts(every) == [texts[int(id_[1:])] for id_ in source.ids(every)]
        streamed = np.concatenate([block for _, block in source.blocks()])
        np.testing.assert_array_equal(source.vectors(every[::-1]), streamed[::-1])
    found = examine(place, model="hash:24?seed=1", seed=1)
    assert found.verdict == "fail"
    assert (named := found.finding("foreign_vector"))
    assert sorted(named.ids) == sorted(f"r{n}" for n in range(30))


class TestPostgresArrays(TestPostgres):
    metric, column = None, "real[]"


class TestPostgresHalves(TestPostgres):
    stored, column, decoded_cosine = "float16", "halfvec(24)", 0.99999


def _row(number: int) -> tuple[Any, ...]:
    fields = rows()[number]
    metadata = json.dumps({"model": fields["model"], "batch": fields["batch"]})
    return fields["id"], fields.get("text"), metadata, vectors()[number].tolist()


class TestChroma(ConnectorConformance):
    metric, text_field = "cosine", "document"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        chromadb = pytest.importorskip("chromadb", reason="pip install 'vecrollback[chroma]'")
        client = chromadb.PersistentClient(str(folder / "db"))
        made = client.create_collection("docs", embedding_function=None, metadata={"hnsw:space": "cosine"})
        for first, stop in ((0, WITHOUT_TEXT), (WITHOUT_TEXT, WITHOUT_TEXT + 1), (WITHOUT_TEXT + 1, COUNT)):
            part = rows()[first:stop]
            documents = {"documents": [row["text"] for row in part]} if "text" in part[0] else {}
            metadatas = [{"model": row["model"], "batch": row["batch"]} for row in part]
            ids = [row["id"] for row in part]
            made.add(ids=ids, embeddings=vectors()[first:stop], metadatas=metadatas, **documents)
        return f"chroma:{folder / 'db'}#docs", None


class TestQdrant(ConnectorConformance):
    metric, ordered, id_field = "cosine", False, "payload.id"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        qdrant = pytest.importorskip("qdrant_client", reason="pip install 'vecrollback[qdrant]'")
        client, models = qdrant.QdrantClient(path=str(folder / "db")), qdrant.models
        shape = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        client.create_collection("docs", vectors_config={"own": shape})
        points = [
            models.PointStruct(id=str(uuid.UUID(int=row)), vector={"own": vectors()[row].tolist()}, payload=fields)
            for row, fields in enumerate(rows())
        ]
        client.upsert("docs", points)
        client.close()
        return f"qdrant:{folder / 'db'}#docs", None
