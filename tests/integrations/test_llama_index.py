"""LlamaIndex over a store and over a client: its own expectations of a vector store, indexes, pipelines, filters, MMR.

LlamaIndex ships no suite for vector stores. Here is, in words of its own, what `tests/vector_stores/test_simple.py` of
its core asks of one, with words in place of vectors: queries without and with filters and top k (all 14 operators,
AND, OR, NOT), node ids, deletion by document, by node and by filter, and clearing. Left out: persisting to a directory
and reading stores of old versions, which are about that class's own files.

Covers integrations.llama_index.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document as Page
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import (
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from tests.support.docstrings import run_examples
from vecrollback import Document, Store, connect
from vecrollback.errors import BadFilterError, FingerprintMismatchError, UsageError
from vecrollback.integrations import llama_index
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.llama_index import PairEmbedding, VecrollbackIndex, VecrollbackVectorStore
from vecrollback.integrations.llama_index.filters import to_where

GEESE, SWANS, DUCKS = "geese", "swans", "ducks"


def birds() -> list[TextNode]:
    facts: dict[str, dict[str, Any]] = {
        GEESE: {"weight": 1.5, "rank": "a", "quality": ["loud", "brave"], "ring": "6FTR78Yun"},
        SWANS: {"weight": 2.0, "rank": "c", "quality": ["brave"], "ring": "6FTR78Ygl"},
        DUCKS: {"weight": 3.0, "rank": "c", "quality": ["small", "brave", "loud"], "ring": "6ftr78Ztl", "note": ""},
    }
    return [
        TextNode(
            id_=name,
            text=f"{name} on the lake",
            metadata=metadata,
            excluded_embed_metadata_keys=list(metadata),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"page of {name}")},
        )
        for name, metadata in facts.items()
    ]


@pytest.fixture
def nodes(backend: Backend) -> VecrollbackVectorStore:
    store = VecrollbackVectorStore(backend)
    assert store.add(birds()) == [GEESE, SWANS, DUCKS]
    return store


def found(store: VecrollbackVectorStore, words: str = "geese on the lake", k: int = 3, **query: Any) -> list[str]:
    return store.query(VectorStoreQuery(query_str=words, similarity_top_k=k, **query)).ids or []


def by(key: str, value: Any = None, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def test_nearest_first_and_no_more_than_asked_for(nodes: VecrollbackVectorStore) -> None:
    result = nodes.query(VectorStoreQuery(query_str="swans on the lake", similarity_top_k=3))
    assert result.ids is not None
    assert result.similarities is not None
    assert result.ids[0] == SWANS
    assert set(result.ids) == {GEESE, SWANS, DUCKS}
    assert result.similarities == sorted(result.similarities, reverse=True)
    assert found(nodes, "ducks on the lake", 1) == [DUCKS]
    assert found(nodes, "ducks on the lake", 1, filters=by("rank", "c")) == [DUCKS]


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("rank", FilterOperator.EQ, "c", {SWANS, DUCKS}),
        ("weight", FilterOperator.EQ, 2, {SWANS}),
        ("unknown", FilterOperator.EQ, "c", set()),
        ("weight", FilterOperator.NE, 2.0, {GEESE, DUCKS}),
        ("note", FilterOperator.NE, "", {GEESE, SWANS}),
        ("weight", FilterOperator.GT, 2.0, {DUCKS}),
        ("weight", FilterOperator.GTE, 2.0, {SWANS, DUCKS}),
        ("weight", FilterOperator.LT, 2.0, {GEESE}),
        ("weight", FilterOperator.LTE, 2.0, {GEESE, SWANS}),
        ("rank", FilterOperator.IN, ["a", "b"], {GEESE}),
        ("rank", FilterOperator.NIN, ["a", "b"], {SWANS, DUCKS}),
        ("quality", FilterOperator.CONTAINS, "loud", {GEESE, DUCKS}),
        ("quality", FilterOperator.ANY, ["small", "loud"], {GEESE, DUCKS}),
        ("quality", FilterOperator.ALL, ["brave", "loud"], {GEESE, DUCKS}),
        ("ring", FilterOperator.TEXT_MATCH, "FTR78Y", {GEESE, SWANS}),
        ("ring", FilterOperator.TEXT_MATCH, "6_TR", set()),
        ("ring", FilterOperator.TEXT_MATCH_INSENSITIVE, "FTR78", {GEESE, SWANS, DUCKS}),
        ("note", FilterOperator.IS_EMPTY, None, {GEESE, SWANS, DUCKS}),
        ("rank", FilterOperator.IS_EMPTY, None, set()),
    ],
)
def test_every_operator(
    nodes: VecrollbackVectorStore, key: str, operator: FilterOperator, value: Any, expected: set[str]
) -> None:
    assert set(found(nodes, filters=by(key, value, operator))) == expected
    assert {node.node_id for node in nodes.get_nodes(filters=by(key, value, operator))} == expected


def test_filters_together(nodes: VecrollbackVectorStore) -> None:
    two = [MetadataFilter(key="rank", value="c"), MetadataFilter(key="weight", value=1.5)]
    expected: dict[FilterCondition, set[str]] = {
        FilterCondition.AND: set(),
        FilterCondition.OR: {GEESE, SWANS, DUCKS},
        FilterCondition.NOT: set(),
    }
    for condition, ids in expected.items():
        assert set(found(nodes, filters=MetadataFilters(filters=two, condition=condition))) == ids
    assert set(found(nodes, filters=MetadataFilters(filters=two[1:], condition=FilterCondition.NOT))) == {SWANS, DUCKS}
    nested = MetadataFilters(filters=[MetadataFilters(filters=two, condition=FilterCondition.OR), two[0]])
    assert set(found(nodes, filters=nested)) == {SWANS, DUCKS}


def test_among_these_nodes_and_pages(nodes: VecrollbackVectorStore) -> None:
    assert found(nodes, node_ids=[SWANS]) == [SWANS]
    assert found(nodes, node_ids=[SWANS, GEESE], filters=by("rank", "a")) == [GEESE]
    assert found(nodes, doc_ids=["page of ducks"]) == [DUCKS]
    for key in ("doc_id", "document_id", "ref_doc_id"):  # LlamaIndex's own names of one thing
        assert set(found(nodes, filters=by(key, "page of ducks", FilterOperator.NE))) == {GEESE, SWANS}


def test_no_node_is_not_every_node(nodes: VecrollbackVectorStore) -> None:
    assert nodes.get_nodes([], by("rank", "c")) == nodes.get_nodes([]) == []
    nodes.delete_nodes([], by("rank", "c"))
    nodes.delete_nodes([])
    nodes.delete_nodes()
    assert set(found(nodes)) == {GEESE, SWANS, DUCKS}
    assert found(nodes, doc_ids=[]) == []
    assert set(found(nodes, node_ids=[])) == {GEESE, SWANS, DUCKS}  # as each retriever of LlamaIndex says: no choice


def test_nothing_equals_none(nodes: VecrollbackVectorStore) -> None:
    for operator in (FilterOperator.EQ, FilterOperator.NE):
        with pytest.raises(BadFilterError, match="None"):
            nodes.delete_nodes(filters=by("note", None, operator))
    assert set(found(nodes)) == {GEESE, SWANS, DUCKS}


def test_an_empty_list_is_empty(nodes: VecrollbackVectorStore) -> None:
    lists = {"none": [], "one": ["x"], "null": None, "words": "", "nested": [[]], "other": {}}
    nodes.add([TextNode(id_=name, text=name, metadata={"tags": tags}) for name, tags in lists.items()])
    nodes.delete_nodes([GEESE, SWANS, DUCKS])
    assert set(found(nodes, filters=by("tags", None, FilterOperator.IS_EMPTY))) == {"none", "null", "words"}


def test_deleting_by_page_by_node_by_filter_and_all(nodes: VecrollbackVectorStore) -> None:
    nodes.delete("page of swans")
    assert set(found(nodes)) == {GEESE, DUCKS}
    nodes.delete_nodes([GEESE, DUCKS], by("rank", "c"))
    assert found(nodes) == [GEESE]
    nodes.add(birds())
    nodes.delete_nodes([SWANS])
    nodes.delete_nodes(filters=by("weight", 3.0))
    assert found(nodes) == [GEESE]
    nodes.clear()
    assert found(nodes) == []
    assert nodes.get_nodes() == []


async def test_awaited(nodes: VecrollbackVectorStore) -> None:
    await nodes.async_add([TextNode(id_="grebes", text="grebes on the lake")])
    query = VectorStoreQuery(query_str="grebes on the lake", similarity_top_k=1)
    assert (await nodes.aquery(query)).ids == ["grebes"]
    assert [node.node_id for node in await nodes.aget_nodes(["grebes"])] == ["grebes"]
    await nodes.adelete_nodes(["grebes"])
    await nodes.adelete("page of geese")
    assert set(found(nodes)) == {SWANS, DUCKS}
    await nodes.aclear()
    assert found(nodes) == []


def test_nodes_come_back_whole(backend: Backend) -> None:
    store = VecrollbackVectorStore(backend)
    node = TextNode(
        id_="n",
        text="the text",
        metadata={"title": "Birds", "secret": 7, "nested": {"a": [1]}},
        excluded_embed_metadata_keys=["secret"],
        excluded_llm_metadata_keys=["title"],
        start_char_idx=3,
        end_char_idx=11,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="page", metadata={"x": 1})},
    )
    reference = IndexNode(id_="i", text="see there", index_id="elsewhere")
    store.add([node, reference])
    assert store.get_nodes(["n", "i"]) == [node, reference]
    result = store.query(VectorStoreQuery(query_str="the text", similarity_top_k=1))
    [hit] = result.nodes or []
    assert hit.get_content(MetadataMode.EMBED) == node.get_content(MetadataMode.EMBED)
    assert hit.get_content(MetadataMode.LLM) == node.get_content(MetadataMode.LLM)
    facts = hit.metadata.pop("vecrollback")
    assert facts["stale"] is False
    assert hit.metadata == node.metadata


def test_pictures_come_back_with_their_nodes(backend: Backend) -> None:
    store = VecrollbackVectorStore(backend)
    picture = MediaResource(data=b"\x89PNG\r\n\x1a\n\x00", mimetype="image/png")
    nodes = [
        ImageDocument(id_="a", text="a heron", image="aGVsbG8=", metadata={"n": 1}),
        ImageNode(id_="b", text="a grebe", image="aGVsbG8="),
        Node(id_="c", text_resource=MediaResource(text="a coot"), image_resource=picture),
        Page(id_="d", text="a stork", image_resource=picture),
    ]
    store.add(nodes)
    assert store.get_nodes(["a", "b", "c", "d"]) == nodes
    assert [node.image_resource.data for node in store.get_nodes(["c", "d"]) if isinstance(node, Node)] == [
        picture.data,
        picture.data,
    ]
    [hit] = store.query(VectorStoreQuery(query_str="a heron", similarity_top_k=1)).nodes or []
    assert isinstance(hit, ImageDocument)
    assert (hit.image, hit.hash) == ("aGVsbG8=", nodes[0].hash)


def test_a_node_that_two_retrievers_find_is_one_node(backend: Backend) -> None:
    index = VecrollbackIndex([], store_or_client=backend)
    nodes = [TextNode(id_=word, text=f"{word} of the lake", metadata={"n": 1}) for word in ("geese", "swans", "ducks")]
    index.insert_nodes([*nodes, IndexNode(id_="i", text="see there", index_id="elsewhere")])
    by_vector, by_words = (
        index.as_retriever(similarity_top_k=4, vector_store_query_mode=mode) for mode in ("default", "text_search")
    )
    for node in (*nodes, *index.vector_store.get_nodes(["i"])):
        query = VectorStoreQuery(query_str=node.get_content(), similarity_top_k=1)
        [hit] = index.vector_store.query(query).nodes or []
        assert "vecrollback" in hit.metadata
        assert hit.hash == node.hash
        assert isinstance(hit, type(node))
        assert pickle.loads(pickle.dumps(hit)).hash == node.hash
        assert TextNode.from_json(hit.to_json()).metadata == hit.metadata
    fused = QueryFusionRetriever(
        [by_vector, by_words], llm=MockLLM(), num_queries=1, mode=FUSION_MODES.RECIPROCAL_RANK, use_async=False
    )
    best = fused.retrieve("geese of the lake")[0]
    assert (best.node_id, round(best.score or 0, 4)) == ("geese", round(2 / 60, 4))
    only = index.as_retriever(node_ids=["swans"], similarity_top_k=4)
    assert [one.node_id for one in only.retrieve("geese of the lake")] == ["swans"]


def test_what_is_embedded_is_what_llama_index_gives_a_model_and_can_be_embedded_again(tmp_path: Path) -> None:
    """Law 11, with metadata in the text: a check embeds a sample again and finds every vector its own."""
    with connect(tmp_path / "store", create=True, embedder="hash:128") as store:
        nodes = [
            TextNode(id_=f"n{n}", text=f"passage {n}", metadata={"title": f"chapter {n % 5} of the almanac", "page": n})
            for n in range(30)
        ]
        VecrollbackVectorStore(store).add(nodes)
        document = store.get(["n7"])["n7"]
        assert document.text == "passage 7"
        assert document.embedded_text == nodes[7].get_content(MetadataMode.EMBED)
        [hit] = store.search(nodes[7].get_content(MetadataMode.EMBED), 1).hits
        assert (hit.id, hit.text, round(hit.score, 5)) == ("n7", "passage 7", 1.0)
        assert store.check(sample=30).verdict == "pass"
        store.promote(store.reembed("hash:96?seed=3", name="v2").wait(), reason="another model")
        assert store.search(nodes[7].get_content(MetadataMode.EMBED), 1).hits[0].id == "n7"
        assert store.check("v2", sample=30).verdict == "pass"


def counting(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of these tests that is embedded as a document from now on."""
    texts: list[str] = []
    pair = store.live()
    kind = type(store.resources.embedders.of(pair))
    original = kind.embed_documents

    def embed(self: Any, batch: Any) -> Any:
        texts.extend(text for text in batch if "harvest" in text or "Note" in text)  # and none that proves the model
        return original(self, batch)

    monkeypatch.setattr(kind, "embed_documents", embed)
    return texts


def test_an_index_embeds_each_node_once_and_follows_every_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(tmp_path / "store", create=True, embedder="hash:128?seed=1") as store:
        embedded = counting(store, monkeypatch)
        pages = [Page(id_=f"p{n}", text=f"{word} of the harvest") for n, word in enumerate(("apples", "pears", "figs"))]
        index = VecrollbackIndex.from_documents(pages, store_or_client=store)
        assert sorted(embedded) == ["apples of the harvest", "figs of the harvest", "pears of the harvest"]
        retriever = index.as_retriever(similarity_top_k=2)
        first = store.live().name
        assert retriever.retrieve("pears of the harvest")[0].metadata["vecrollback"]["pair"] == first
        store.promote(store.reembed("hash:128?seed=2", name="v2").wait(), reason="another model")
        [best, _] = retriever.retrieve("pears of the harvest")
        assert (best.text, best.metadata["vecrollback"]["pair"]) == ("pears of the harvest", "v2")
        store.rollback(reason="worse")
        [best, _] = retriever.retrieve("pears of the harvest")
        assert (best.text, best.metadata["vecrollback"]["pair"]) == ("pears of the harvest", first)
        index.insert(Page(id_="p9", text="medlars of the harvest"))
        assert retriever.retrieve("medlars of the harvest")[0].text == "medlars of the harvest"
        index.delete_ref_doc("p9")
        assert retriever.retrieve("medlars of the harvest")[0].text != "medlars of the harvest"


def test_a_pipeline_with_vectors_embeds_each_node_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(tmp_path / "store", create=True, embedder="hash:128") as store:
        embedded = counting(store, monkeypatch)
        vectors = VecrollbackVectorStore(store)
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), PairEmbedding(store)],
            vector_store=vectors,
            docstore=SimpleDocumentStore(),
            docstore_strategy=DocstoreStrategy.UPSERTS,
        )
        pages = [Page(id_=f"p{n}", text=f"Note {n} is about sloes.", metadata={"n": n}) for n in range(5)]
        nodes = pipeline.run(documents=pages)
        assert len(nodes) == 5
        assert len(embedded) == 5
        text = nodes[3].get_content(MetadataMode.EMBED)
        result = vectors.query(VectorStoreQuery(query_str=text, similarity_top_k=1))
        assert result.ids == [nodes[3].node_id]
        assert pipeline.run(documents=pages) == []
        pages[3].set_content("Note 3 is about medlars.")
        assert len(pipeline.run(documents=pages)) == 1
        assert len(embedded) == 6
        assert store.count() == 5
        assert store.check(sample=5).verdict == "pass"


def test_vectors_of_a_model_that_was_left_are_not_taken_over(store_path: Path) -> None:
    with connect(store_path) as store:
        [node] = PairEmbedding(store)([TextNode(id_="n", text="medlars at dawn")])
        assert store.rollback(reason="worse", catch_up=False).target == "v1@1"
        VecrollbackVectorStore(store).add([node])
        assert store.search("medlars at dawn", 1).hits[0].id == "n"
        assert store.check(sample=62).verdict == "pass"


def test_a_plain_index_of_llama_index_works_too(backend: Backend) -> None:
    context = StorageContext.from_defaults(vector_store=VecrollbackVectorStore(backend))
    index = VectorStoreIndex(birds(), storage_context=context, embed_model=PairEmbedding(backend))
    assert index.as_retriever(similarity_top_k=1).retrieve("ducks on the lake")[0].node_id == DUCKS


def test_mmr_prefers_what_is_unlike_the_chosen_ones(backend: Backend) -> None:
    store = VecrollbackVectorStore(backend)
    store.add([TextNode(id_=f"same{n}", text="geese on the lake") for n in range(3)])
    store.add([TextNode(id_="other", text="geese in the barn")])
    assert "other" not in found(store, "geese on the lake", 2)
    mmr = {"mode": VectorStoreQueryMode.MMR, "mmr_threshold": 0.3}
    assert found(store, "geese on the lake", 2, **mmr)[1] == "other"
    only = {**mmr, "mmr_threshold": 1.0}
    assert "other" not in found(store, "geese on the lake", 2, **only)
    index = VecrollbackIndex([], store_or_client=backend)
    retriever = index.as_retriever(
        vector_store_query_mode="mmr", similarity_top_k=2, vector_store_kwargs={"mmr_threshold": 0.3}
    )
    assert [one.node_id for one in retriever.retrieve("geese on the lake")][1] == "other"


def test_words_answer_alone_and_beside_vectors(nodes: VecrollbackVectorStore) -> None:
    nodes.add([TextNode(id_="grebes", text="Martinmas")])
    for mode in (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE):
        assert found(nodes, "Martinmas", mode=mode) == ["grebes"]
    assert found(nodes, "Martinmas", 1, mode=VectorStoreQueryMode.HYBRID) == ["grebes"]
    assert found(nodes, "lake", mode=VectorStoreQueryMode.TEXT_SEARCH, filters=by("rank", "a")) == [GEESE]


def test_a_vector_says_whose_it_is_or_is_refused(store_path: Path) -> None:
    with connect(store_path) as store:
        vectors, embedding = VecrollbackVectorStore(store), PairEmbedding(store)
        vector = embedding.get_query_embedding("pears of crate 1")
        by_vector = VectorStoreQuery(query_embedding=vector, similarity_top_k=3)
        assert vectors.query(by_vector).ids == found(vectors, "pears of crate 1")
        with pytest.raises(FingerprintMismatchError, match="does not say which model"):
            vectors.query(VectorStoreQuery(query_embedding=np.array(vector).tolist()))
        store.rollback(reason="worse", catch_up=False)
        with pytest.raises(FingerprintMismatchError):
            vectors.query(by_vector)
        with pytest.raises(UsageError, match="svm"):
            found(vectors, mode=VectorStoreQueryMode.SVM)


def test_a_namespace_keeps_to_itself(backend: Backend) -> None:
    ours, theirs = (
        VecrollbackVectorStore(backend, namespace="ours"),
        VecrollbackVectorStore(backend, namespace="theirs"),
    )
    ours.add([TextNode(id_="1", text="our geese")])
    theirs.add([TextNode(id_="1", text="their geese")])
    assert [node.get_content() for node in ours.get_nodes()] == ["our geese"]
    result = theirs.query(VectorStoreQuery(query_str="our geese", similarity_top_k=9))
    assert [node.get_content() for node in result.nodes or []] == ["their geese"]
    ours.clear()
    assert len(theirs.get_nodes()) == 1
    theirs.clear()


def test_the_examples_in_the_docstrings_run(store_path: Path) -> None:
    with connect(store_path) as store:
        store.upsert([Document("tea", "Steep green tea.")], visible=True)
        for documented in (VecrollbackVectorStore, PairEmbedding, VecrollbackIndex):
            run_examples(documented, {**vars(llama_index), "store": store})
        names = {"MetadataFilters": MetadataFilters, "MetadataFilter": MetadataFilter, "FilterOperator": FilterOperator}
        run_examples(to_where, {**names, "to_where": to_where})
