"""The doctor in the user's terms: which rows are meant, what of a row was embedded, what differs from before.

Covers quality.doctor.reading, quality.doctor.layouts, quality.doctor.other_text, quality.doctor.against,
quality.doctor.by_field.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vecrollback import connect
from vecrollback.connectors import ColumnNames
from vecrollback.embedders import open_embedder
from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.quality.doctor import (
    ExaminationRequest,
    ForeignIndex,
    SourceReading,
    compare_sources,
    examine,
    examine_by,
)
from vecrollback.quality.doctor.layouts import NAMES, fill, recognise
from vecrollback.records.arrays import FloatArray

OWN, OTHER = "hash:96?seed=1", "hash:96?seed=2"
WORDS = ("apples", "pears", "plums", "ships", "trains", "lamps")
TEXTS = [f"crate {n} holds {word} from the harbour by the old mill" for n in range(40) for word in WORDS]


def embed(spec: str, texts: list[str]) -> FloatArray:
    return open_embedder(spec).embed_documents(texts)


def write(path: Path, vectors: FloatArray, **columns: list[Any]) -> str:
    made = {"id": [f"r{n}" for n in range(len(vectors))], **columns}
    pq.write_table(pa.table(made | {"vector": pa.array(list(vectors), pa.list_(pa.float32()))}), path)
    return f"parquet:{path}"


# -- which rows -------------------------------------------------------------------------------------------------------


def test_only_rows_that_match_are_examined(tmp_path: Path) -> None:
    vectors = embed(OWN, TEXTS)
    vectors[1::2] = embed(OTHER, TEXTS[1::2])
    metadata = [json.dumps({"lang": "de" if n % 2 else "en", "page": n}) for n in range(len(TEXTS))]
    place = write(tmp_path / "docs.parquet", vectors, text=TEXTS, metadata=metadata)
    assert examine(place, model=OWN, seed=1).verdict == "fail"
    own = examine(place, model=OWN, seed=1, reading=SourceReading(where="lang = 'en'"))
    assert (own.verdict, own.vectors) == ("pass", len(TEXTS) // 2)
    other = examine(place, model=OTHER, seed=1, reading=SourceReading(where="lang != 'en' AND page >= 100"))
    assert (other.verdict, other.vectors) == ("pass", len([n for n in range(100, len(TEXTS)) if n % 2]))
    for where, rows in (("id IN ('r0', 'r2')", 2), ('"metadata.page" < 3', 3), ("lang LIKE 'd%' OR page = 0", 121)):
        with ForeignIndex(place, reading=SourceReading(where=where)) as source:
            assert source.count == rows
    with pytest.raises(UsageError, match="no row matches"):
        examine(place, reading=SourceReading(where="lang = 'fr'"))
    with pytest.raises(VecrollbackError):
        examine(place, reading=SourceReading(where="lang ="))


def test_chosen_rows_are_a_source_of_their_own(tmp_path: Path) -> None:
    place = write(tmp_path / "docs.parquet", embed(OWN, TEXTS), text=TEXTS, n=[n % 7 for n in range(len(TEXTS))])
    with ForeignIndex(place) as whole, ForeignIndex(place, reading=SourceReading(where="n = 3")) as some:
        rows = np.array([n for n in range(len(TEXTS)) if n % 7 == 3])
        np.testing.assert_array_equal(np.concatenate([part for _, part in some.blocks()]), whole.vectors(rows))
        asked = np.array([5, 0, 5])
        assert some.texts(asked) == whole.texts(rows[asked])
        assert [len(part.vectors) for _, part in some.parts()] == [len(rows)]


def test_each_value_of_a_field_gets_a_verdict(tmp_path: Path) -> None:
    models = [OWN if n % 3 else OTHER for n in range(len(TEXTS))]
    vectors = np.stack([embed(spec, [text])[0] for spec, text in zip(models, TEXTS, strict=True)])
    tenants: list[Any] = ["acme" if spec == OWN else "zoo" for spec in models]
    tenants[1] = None
    place = write(tmp_path / "docs.parquet", vectors, text=TEXTS, tenant=tenants)
    with ForeignIndex(place) as source:
        found = examine_by(source, "tenant", ExaminationRequest(OWN, seed=1))
        assert {value: one.verdict for value, one in found.examinations.items()} == {
            "acme": "pass",
            "zoo": "fail",
            "": "pass",
        }
        assert found.verdict == "fail"
        assert [group["value"] for group in found.as_json()["groups"]] == ["acme", "zoo", ""]  # type: ignore[union-attr, index]
        with pytest.raises(UsageError, match="no row has a field"):
            examine_by(source, "nobody", ExaminationRequest())


def test_two_collections_of_langchain_in_one_table_are_told_apart(postgres: Any) -> None:
    module = pytest.importorskip("langchain_postgres", reason="needs langchain-postgres")
    from langchain_core.embeddings import Embeddings

    class Own(Embeddings):
        def __init__(self, spec: str) -> None:
            self.spec = spec

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embed(self.spec, texts).tolist()  # type: ignore[no-any-return]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
        name = f"lc_{uuid4().hex[:8]}"
        connection.execute(f"create database {name}")
    url = postgres.url().partition("&schema")[0].replace("/postgres?", f"/{name}?")
    for collection, spec in (("letters", OWN), ("cards", OTHER)):
        module.PGVector(Own(spec), collection_name=collection, connection=url).add_texts(TEXTS)
    place = f"{url}#langchain_pg_embedding"
    assert examine(place, model=OWN, seed=1).verdict == "fail"
    with ForeignIndex(place) as source:
        assert source.layout is not None and source.layout.name == "langchain"
        found = examine_by(source, "collection_id", ExaminationRequest(OWN, seed=1))
    assert sorted(one.verdict for one in found.examinations.values()) == ["fail", "pass"]
    passed = next(value for value, one in found.examinations.items() if one.verdict == "pass")
    alone = examine(place, model=OWN, seed=1, reading=SourceReading(where=f"collection_id = '{passed}'"))
    assert (alone.verdict, alone.vectors) == ("pass", len(TEXTS))


# -- what was embedded ------------------------------------------------------------------------------------------------


def nodes() -> list[Any]:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core.schema import MetadataMode, TextNode

    made = []
    for n, text in enumerate(TEXTS):
        node = TextNode(text=text, metadata={"file_name": f"letter-{n % 5}.txt", "page": n, "hidden": "x"})
        node.excluded_embed_metadata_keys = ["hidden"]
        node.embedding = embed(OWN, [node.get_content(MetadataMode.EMBED)])[0].tolist()
        made.append(node)
    return made


def _in_chroma(folder: Path) -> str:
    """As LlamaIndex's store for Chroma writes: metadata flat, the text as the document."""
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")
    from llama_index.core.vector_stores.utils import node_to_metadata_dict

    collection = chromadb.PersistentClient(str(folder)).create_collection("docs", embedding_function=None)
    for node in nodes():
        metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=True)
        collection.add(ids=[node.node_id], embeddings=[node.embedding], documents=[node.text], metadatas=[metadata])
    return f"chroma:{folder}#docs"


def _in_qdrant(folder: Path) -> str:
    """As LlamaIndex's store for Qdrant writes: the payload has the node with its text, and no text of its own."""
    qdrant = pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    from llama_index.core.vector_stores.utils import node_to_metadata_dict

    client = qdrant.QdrantClient(path=str(folder))
    client.create_collection("docs", vectors_config=qdrant.models.VectorParams(size=96, distance="Cosine"))
    points = [
        qdrant.models.PointStruct(
            id=node.node_id, vector=node.embedding, payload=node_to_metadata_dict(node, remove_text=False)
        )
        for node in nodes()
    ]
    client.upsert("docs", points, wait=True)
    client.close()
    return f"qdrant:{folder}#docs"


def _in_a_folder(folder: Path) -> str:
    from llama_index.core import StorageContext

    made, storage = nodes(), StorageContext.from_defaults()
    storage.vector_store.add(made)
    storage.docstore.add_documents(made)
    storage.persist(str(folder))
    return f"llama-index:{folder}"


@pytest.mark.parametrize("make", [_in_chroma, _in_qdrant, _in_a_folder])
def test_what_llama_index_embeds_of_a_node_is_known_without_a_word(make: Any, tmp_path: Path) -> None:
    place = make(tmp_path)
    found = examine(place, model=OWN, seed=1)
    assert (found.verdict, found.facts["layout"]) == ("pass", "llama-index")
    assert examine(place, model=OTHER, seed=1).verdict == "fail"


@pytest.mark.parametrize("make", [_in_chroma, _in_qdrant, _in_a_folder])
def test_a_llama_index_collection_is_adopted_with_what_was_embedded(make: Any, tmp_path: Path) -> None:
    place = make(tmp_path / "source")
    with connect(str(tmp_path / "store"), create=True) as store:
        done = store.adopt(place, model=OWN, name="v1")
        assert (done.documents, done.reused, done.embedded) == (len(TEXTS), len(TEXTS), 0)
        store.promote("v1")
        embedded = f"file_name: letter-3.txt\npage: 3\n\n{TEXTS[3]}"
        hit = store.search(embedded, k=1).hits[0]
        assert hit.text == TEXTS[3]
        document = store.get([hit.id])[hit.id]
        assert (document.embedded_text, document.metadata["page"]) == (embedded, 3)
        assert store.check("v1").verdict == "pass"


def test_metadata_of_a_node_that_is_called_like_a_text_stays_metadata(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core.schema import MetadataMode, TextNode
    from llama_index.core.vector_stores.utils import node_to_metadata_dict

    lines = []
    for n, text in enumerate(TEXTS):
        node = TextNode(id_=f"n{n}", text=text, metadata={"content": f"table of contents {n}"})
        payload = node_to_metadata_dict(node, remove_text=False)
        lines.append({"id": node.node_id, "vector": embed(OWN, [node.get_content(MetadataMode.EMBED)])[0].tolist()})
        lines[-1] |= payload
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with ForeignIndex(str(tmp_path / "rows.jsonl")) as source:
        record = source.connector.take(np.array([0]), None, vectors=False).records[0]
        document = source.document_of(record, 0)
    assert document.text == TEXTS[0]
    assert document.metadata["content"] == "table of contents 0"
    with ForeignIndex(str(tmp_path / "rows.jsonl"), fields=ColumnNames(text="content")) as source:
        assert source.document_of(record, 0).text == "table of contents 0"


def test_the_documents_of_haystack_in_qdrant_keep_their_own_ids(tmp_path: Path) -> None:
    """As Haystack's store for Qdrant writes: an id of a point made of the document's, which is in the payload."""
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    qdrant = pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    from vecrollback.integrations.haystack import VecrollbackDocumentStore

    client = qdrant.QdrantClient(path=str(tmp_path / "qdrant"))
    client.create_collection("docs", vectors_config=qdrant.models.VectorParams(size=96, distance="Cosine"))
    documents = [haystack.Document(content=text, meta={"page": n}) for n, text in enumerate(TEXTS)]
    points = []
    for document, vector in zip(documents, embed(OWN, TEXTS).tolist(), strict=True):
        payload = document.to_dict(flatten=False)
        payload.pop("embedding")
        points.append(
            qdrant.models.PointStruct(id=uuid5(NAMESPACE_URL, document.id).hex, vector=vector, payload=payload)
        )
    client.upsert("docs", points, wait=True)
    client.close()
    with connect(str(tmp_path / "store"), create=True) as store:
        assert store.adopt(f"qdrant:{tmp_path / 'qdrant'}#docs", model=OWN, name="v1").reused == len(TEXTS)
        store.promote("v1")
        pages = VecrollbackDocumentStore(store)
        assert [(one.id, one.meta) for one in pages.filter_documents()] == [
            (one.id, one.meta) for one in sorted(documents, key=lambda one: one.id)
        ]
        head = store.status()["corpus"]["head"]
        pages.write_documents(documents, haystack.document_stores.types.DuplicatePolicy.OVERWRITE)
        assert store.status()["corpus"]["head"] == head  # they are the same
        pages.delete_documents([documents[0].id])
        assert pages.search(TEXTS[0], top_k=1)[0].content != TEXTS[0]
        assert store.check("v1").verdict == "pass"


def test_a_template_says_what_was_embedded(tmp_path: Path) -> None:
    titles = [f"Letter {n % 9}" for n in range(len(TEXTS))]
    vectors = embed(OWN, [f"{title}\n\n{text}" for title, text in zip(titles, TEXTS, strict=True)])
    metadata = [{"head": {"title": title}} for title in titles]
    place = write(tmp_path / "docs.parquet", vectors, body=TEXTS, metadata=metadata)
    template = "{metadata.head.title}\n\n{body}"
    assert examine(place, model=OWN, seed=1).verdict == "fail"
    assert examine(place, model=OWN, seed=1, reading=SourceReading(template=template)).verdict == "pass"
    for wrong in ("{", "none", "{}", "{nobody}"):
        with pytest.raises(UsageError):
            examine(place, model=OWN, reading=SourceReading(template=wrong))
    assert fill("{a.__class__} {a}", {"a": "x"}) is None


@pytest.mark.parametrize(
    ("template", "columns"),
    [("passage: {text}", {}), ("{title}\n\n{text}", {"title": [f"Letter {n % 9}" for n in range(len(TEXTS))]})],
)
def test_rows_that_are_all_alike_away_are_said_to_be_of_another_text(
    template: str, columns: dict[str, list[Any]], tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{name: column[n] for name, column in columns.items()} for n in range(len(TEXTS))]
    embedded = [str(fill(template, row | {"text": text})) for row, text in zip(rows, TEXTS, strict=True)]
    place = write(tmp_path / "docs.parquet", embed(OWN, embedded), text=TEXTS, **columns)
    found = examine(place, model=OWN, seed=1)
    finding = found.finding("other_text")
    assert found.verdict == "fail" and finding is not None
    assert finding.message.startswith("all rows are alike away from the model")
    assert f"--template {template!r}" in finding.message
    assert found.finding("foreign_vector") is None
    assert examine(place, model=OWN, seed=1, reading=SourceReading(template=template)).verdict == "pass"


def test_what_no_template_explains_is_still_said_to_be_alike_away(tmp_path: Path) -> None:
    vectors = embed(OWN, [f"{text} (confidential, do not copy)" for text in TEXTS])
    found = examine(write(tmp_path / "docs.parquet", vectors, text=TEXTS), model=OWN, seed=1)
    finding = found.finding("foreign_vector")
    assert finding is not None
    assert finding.message.startswith("all rows are alike away from the model")
    unrelated = examine(write(tmp_path / "other.parquet", embed(OTHER, TEXTS), text=TEXTS), model=OWN, seed=1)
    finding = unrelated.finding("foreign_vector")
    assert finding is not None and "alike" not in finding.message


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("open-webui", {"id": "a", "collection_name": "c", "text": "T", "vmetadata": {"name": "n"}}, "text"),
        ("langchain", {"id": "a", "collection_id": "c", "document": "T", "cmetadata": {}}, "document"),
        ("langchain", {"langchain_id": "a", "content": "T", "langchain_metadata": {}}, "content"),
        ("flowise", {"id": "a", "pageContent": "T", "metadata": {}}, "pageContent"),
        ("dify", {"id": "a", "page_content": "T", "metadata": {"doc_hash": "h", "dataset_id": "d"}}, "page_content"),
        ("haystack", {"id": "a", "content": "T", "meta": {}}, "content"),
        ("txtai", {"indexid": 0, "id": "a", "text": "T", "tags": None, "entry": "2026-01-01"}, "text"),
    ],
)
def test_the_rows_of_applications_are_recognised(name: str, row: dict[str, Any], text: str, tmp_path: Path) -> None:
    layout = recognise([row])
    assert layout is not None and layout.name == name
    rows = [row | {text: one} for one in TEXTS]
    lines = [json.dumps(one | {"vector": vector.tolist()}) for one, vector in zip(rows, embed(OWN, TEXTS), strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    place = str(tmp_path / "rows.jsonl")
    found = examine(place, model=OWN, seed=1, reading=SourceReading(layout=name))
    assert (found.verdict, found.facts["layout"], found.facts["text_field"]) == ("pass", name, text)
    assert name in NAMES


@pytest.mark.parametrize(
    ("name", "row", "field"),
    [
        # llama-index-vector-stores-postgres numbers its rows; langchain-community's PGVector deletes by `custom_id`;
        # Haystack's store for Elasticsearch writes the id twice
        ("llama-index", {"id": 7, "text": "T", "metadata_": {"_node_content": "{}", "page": 3}}, "node_id"),
        ("langchain", {"uuid": "u", "collection_id": "c", "document": "T", "cmetadata": {"page": 3}}, "custom_id"),
        ("haystack", {"id": "u", "content": "T", "meta": {"page": 3}}, "_source.id"),
        ("haystack", {"id": "u", "content": "T", "meta": {"page": 3}}, "payload.id"),
    ],
)
def test_ids_are_those_by_which_the_application_knows_its_rows(
    name: str, row: dict[str, Any], field: str, tmp_path: Path
) -> None:
    vectors = embed(OWN, TEXTS).tolist()
    lines = [json.dumps(row | {field: f"own-{n}", "vector": vector}) for n, vector in enumerate(vectors)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    with ForeignIndex(str(tmp_path / "rows.jsonl")) as source:
        assert source.layout is not None and (source.layout.name, source.id_field) == (name, field)
        record = source.connector.take(np.array([3]), None, vectors=False).records[0]
        document = source.document_of(record, 3)
        assert source.ids(np.array([3, 4])) == ["own-3", "own-4"]
    assert (document.id, document.text) == ("own-3", "T")
    assert set(document.metadata) <= {"page", "_node_content", "collection_id"}


def test_a_layout_that_nobody_has_is_refused(tmp_path: Path) -> None:
    place = write(tmp_path / "docs.parquet", embed(OWN, TEXTS[:3]), text=TEXTS[:3])
    with pytest.raises(UsageError, match="not a layout"):
        examine(place, reading=SourceReading(layout="wordpress"))


# -- what differs -----------------------------------------------------------------------------------------------------


def test_what_an_index_has_become_is_told_row_by_row_and_embeds_nothing(tmp_path: Path) -> None:
    older = write(tmp_path / "older.parquet", embed(OWN, TEXTS), text=TEXTS)
    texts, vectors = list(TEXTS), embed(OWN, TEXTS)
    for row in (3, 4):
        texts[row] += ", and more"
        vectors[row] = embed(OWN, [texts[row]])[0]
    texts[10] += ", not embedded again"
    vectors[20:25] = embed(OTHER, TEXTS[20:25])
    connection = sqlite3.connect(tmp_path / "now.db")
    connection.execute("create table docs (id text, text text, vector blob)")
    kept = [(f"r{n}", texts[n], vectors[n].tobytes()) for n in range(5, len(TEXTS))][::-1]
    kept += [(f"r{n}", texts[n], vectors[n].tobytes()) for n in (3, 4)]
    kept += [("late", "a new one", vectors[0].tobytes())]
    connection.executemany("insert into docs values (?, ?, ?)", kept)
    connection.commit()
    connection.close()
    with ForeignIndex(f"sqlite:{tmp_path / 'now.db'}#docs") as now, ForeignIndex(older) as before:
        found = compare_sources(now, before)
    assert found.new.ids == ("late",)
    assert sorted(found.gone.ids) == ["r0", "r1", "r2"]
    assert sorted(found.changed.ids) == ["r3", "r4"]
    assert found.stale.ids == ("r10",)
    assert sorted(found.embedded_anew.ids) == [f"r{n}" for n in range(20, 25)]
    assert found.unchanged == len(TEXTS) - 3 - 2 - 1 - 5
    assert found.as_json()["stale"] == {"count": 1, "ids": ("r10",)}


def test_states_of_different_indexes_are_not_compared(tmp_path: Path) -> None:
    place = write(tmp_path / "docs.parquet", embed(OWN, TEXTS), text=TEXTS)
    other = write(tmp_path / "other.parquet", embed("hash:32", TEXTS), text=TEXTS)
    np.save(tmp_path / "v.npy", embed(OWN, TEXTS))
    with ForeignIndex(place) as source:
        for wrong, told in ((other, "numbers"), (str(tmp_path / "v.npy"), "no ids")):
            with ForeignIndex(wrong) as older, pytest.raises(UsageError, match=told):
                compare_sources(source, older)
