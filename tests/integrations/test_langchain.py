"""LangChain's own suites pass over a store and over a client; chains follow every move.

Covers integrations.langchain, integrations.backend, integrations.vectors.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document as Page
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.indexing.base import DocumentIndex
from langchain_core.retrievers import BaseRetriever
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from tests.support.docstrings import run_examples
from vecrollback import Document, Store, connect
from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.integrations import langchain
from vecrollback.integrations.backend import Backend, relevance
from vecrollback.integrations.langchain import (
    PairEmbeddings,
    VecrollbackDocumentIndex,
    VecrollbackRetriever,
    VecrollbackVectorStore,
)


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, backend: Backend) -> VectorStore:  # type: ignore[override]
        return VecrollbackVectorStore(backend)


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, backend: Backend) -> DocumentIndex:  # type: ignore[override]
        return VecrollbackDocumentIndex(backend=backend)


class TestAwaitedDocumentIndex(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    def index(self, backend: Backend) -> DocumentIndex:  # type: ignore[override]
        return VecrollbackDocumentIndex(backend=backend)


class TestEmbeddings(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def opened(self, backend: Backend) -> None:
        self.backend = backend

    @property
    def embeddings_class(self) -> type[PairEmbeddings]:
        return PairEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"store_or_client": self.backend}


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def filled(self, backend: Backend) -> None:
        self.backend = backend
        VecrollbackVectorStore(backend).add_texts(
            [f"{word} of the harvest" for word in ("apples", "pears", "plums", "figs")]
        )

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return VecrollbackRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"backend": self.backend}

    @property
    def retriever_query_example(self) -> str:
        return "pears and plums"


def pages(*texts: str, **metadata: Any) -> list[Page]:
    return [Page(page_content=text, metadata={"source": "almanac", **metadata}) for text in texts]


def test_a_retriever_says_which_pair_found_what_and_how_near_it_is(store_path: Path) -> None:
    with connect(store_path) as store:
        retriever = VecrollbackRetriever(backend=store, k=3, filter={"year": {"$gte": 2030}})
        expected = store.search("pears of crate 41", 3, {"year": {"$gte": 2030}})
        found = retriever.invoke("pears of crate 41")
        assert [page.id for page in found] == [hit.id for hit in expected.hits]
        for page, hit in zip(found, expected.hits, strict=True):
            facts = page.metadata.pop("vecrollback")
            assert page.metadata == hit.metadata
            assert (facts["pair"], facts["snapshot"], facts["epoch"], facts["score"]) == ("v2", 1, 2, hit.score)
            assert facts["relevance"] == min(1.0, max(0.0, hit.score))
            assert facts["stale"] is False
        store.upsert([Document("d41", "pears of crate 41, weighed again", {"year": 2041})])
        store.rollback(reason="worse", catch_up=False)
        [page] = retriever.invoke("pears of crate 41", k=1)
        assert (page.id, page.metadata["vecrollback"]["pair"], page.metadata["vecrollback"]["epoch"]) == (
            "d41",
            "v1",
            3,
        )
        assert page.metadata["vecrollback"]["stale"] is True
        near = page.metadata["vecrollback"]["relevance"]
        assert not VecrollbackRetriever(backend=store, k=1, score_threshold=near + 0.001).invoke("pears of crate 41")


def test_relevance_is_by_the_metric_of_the_pair_that_answers() -> None:
    assert [relevance(score, "cosine") for score in (1.0, 0.25, -0.5)] == [1.0, 0.25, 0.0]
    assert [relevance(score, "l2") for score in (0.0, -1.0, -9.0)] == [1.0, 0.5, 0.25]
    assert [relevance(score, "keyword") for score in (0.0, 1.0, 9.0)] == [0.0, 0.5, 0.9]
    assert [round(relevance(score, "hybrid"), 4) for score in (0.0, 1 / 61, 2 / 61)] == [0.0, 0.5, 1.0]
    assert [round(relevance(score, "dot"), 4) for score in (-1000.0, 0.0, 2.0, 1000.0)] == [0.0, 0.5, 0.8808, 1.0]


def test_relevance_scores_and_thresholds_work_in_a_vector_store(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_documents(pages("apples of the harvest", "a lake at dawn"))
    [(page, score), (_, other)] = vectors.similarity_search_with_relevance_scores("apples of the harvest", k=2)
    assert page.page_content == "apples of the harvest"
    assert score > 0.99 > other >= 0
    threshold = {"score_threshold": 0.9, "k": 2}
    retriever = vectors.as_retriever(search_type="similarity_score_threshold", search_kwargs=threshold)
    assert [one.page_content for one in retriever.invoke("apples of the harvest")] == ["apples of the harvest"]


def test_relevance_is_by_what_answered_not_by_what_was_asked_for(speechless_store: Store) -> None:
    vectors = VecrollbackVectorStore(speechless_store)
    words = dict(vectors_and_scores(vectors, "green tea", mode="keyword"))
    assert 0 < words["a"] < 1
    assert dict(vectors_and_scores(vectors, "green tea")) == words
    [page] = VecrollbackRetriever(backend=speechless_store, score_threshold=words["a"]).invoke("green tea")
    assert page.metadata["vecrollback"]["relevance"] == words["a"]
    assert not VecrollbackRetriever(backend=speechless_store, score_threshold=words["a"] + 0.01).invoke("green tea")


def vectors_and_scores(vectors: VecrollbackVectorStore, query: str, **options: Any) -> list[tuple[str, float]]:
    return [(page.id or "", score) for page, score in vectors.similarity_search_with_relevance_scores(query, **options)]


async def test_what_is_awaited_answers_the_same(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_documents([*pages("apples of the harvest", year=2024), *pages("pears of the harvest", year=2025)])
    query, options = "apples of the harvest", {"k": 1, "filter": {"year": {"$gte": 2024}}}
    vector = vectors.embeddings.embed_query(query)
    for name, asked in (
        ("similarity_search", query),
        ("similarity_search_with_score", query),
        ("similarity_search_with_relevance_scores", query),
        ("max_marginal_relevance_search", query),
        ("similarity_search_by_vector", vector),
        ("max_marginal_relevance_search_by_vector", vector),
    ):
        assert await getattr(vectors, f"a{name}")(asked, **options) == getattr(vectors, name)(asked, **options), name
    threshold = {"score_threshold": 0.9, **options}
    for kind in ("similarity", "similarity_score_threshold", "mmr"):
        search = threshold if "threshold" in kind else options
        retriever = vectors.as_retriever(search_type=kind, search_kwargs=search)
        assert await retriever.ainvoke(query) == retriever.invoke(query)
    for own in (VecrollbackRetriever(backend=backend), VecrollbackDocumentIndex(backend=backend)):
        assert await own.ainvoke(query, k=1) == own.invoke(query, k=1)
    assert await vectors.aadd_documents([Page(page_content="figs", id="f")]) == ["f"]
    assert await vectors.adelete(filter={"year": {"$exists": True}})
    assert [page.id for page in await vectors.asimilarity_search("figs")] == ["f"]
    made = await VecrollbackVectorStore.afrom_texts(["sloes"], store_or_client=backend, ids=["s"])
    made = await made.afrom_documents([Page(page_content="plums", id="p")], store_or_client=backend)
    assert {page.id for page in await made.aget_by_ids(["s", "p"])} == {"s", "p"}


def test_no_document_is_asked_for(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_texts(["apples"])
    for search in (vectors.similarity_search, vectors.max_marginal_relevance_search):
        for k in (0, -1):
            with pytest.raises(UsageError, match="k"):
                search("apples", k=k)
    for own in (VecrollbackRetriever(backend=backend), VecrollbackDocumentIndex(backend=backend)):
        with pytest.raises(UsageError, match="k"):
            own.invoke("apples", k=0)
    vectors.delete([])
    assert len(vectors.similarity_search("apples")) == 1


def test_a_filter_and_a_misspelt_option_are_not_passed_over(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_documents([*pages("apples", year=2024), *pages("apples too", year=2025)])
    assert [one.page_content for one in vectors.similarity_search("apples", filter={"year": 2025})] == ["apples too"]
    assert [one.page_content for one in vectors.similarity_search("apples", filter="year < 2025")] == ["apples"]
    with pytest.raises(TypeError, match="filters"):
        vectors.similarity_search("apples", filters={"year": 2025})
    vectors.delete(filter={"year": 2025})
    assert [one.page_content for one in vectors.similarity_search("apples")] == ["apples"]


def test_index_leaves_no_old_chunk_whatever_model_serves(store_path: Path) -> None:
    """LangChain's record manager skips what it has seen; each pair has its own vectors of it all the same."""
    with connect(store_path) as store:
        vectors = VecrollbackVectorStore(store)
        records = InMemoryRecordManager("almanac")
        records.create_schema()

        def write(*texts: str) -> dict[str, int]:
            result = index(
                pages(*texts), records, vectors, cleanup="full", source_id_key="source", key_encoder="blake2b"
            )
            return {key: number for key, number in result.items() if number}

        def contents() -> set[str]:
            found = vectors.similarity_search("notes on medlars", k=100, filter={"source": "almanac"})
            return {page.page_content for page in found}

        assert write("notes on medlars", "notes on sloes") == {"num_added": 2}
        assert write("notes on medlars", "notes on sloes") == {"num_skipped": 2}
        store.promote(store.reembed("hash:96?seed=5", name="v3").wait(), reason="another model")
        assert contents() == {"notes on medlars", "notes on sloes"}
        assert write("notes on medlars, ripe", "notes on sloes") == {"num_added": 1, "num_skipped": 1, "num_deleted": 1}
        assert contents() == {"notes on medlars, ripe", "notes on sloes"}
        store.rollback(reason="worse")
        assert store.live().name == "v2"
        assert contents() == {"notes on medlars, ripe", "notes on sloes"}


def test_a_vector_of_a_model_that_was_left_finds_nothing_but_is_refused(store_path: Path) -> None:
    with connect(store_path) as store:
        vectors = VecrollbackVectorStore(store)
        vector = vectors.embeddings.embed_query("pears of crate 1")
        assert (vector.pair, vector.epoch) == ("v2", 2)
        by_words = vectors.similarity_search("pears of crate 1", k=3)
        assert vectors.similarity_search_by_vector(vector, k=3) == by_words
        assert vectors.similarity_search_by_vector(pickle.loads(pickle.dumps(vector)), k=3) == by_words
        with pytest.raises(FingerprintMismatchError, match="does not say which model"):
            vectors.similarity_search_by_vector(list(vector), k=3)
        store.rollback(reason="worse", catch_up=False)
        with pytest.raises(FingerprintMismatchError):
            vectors.similarity_search_by_vector(vector, k=3)
        with pytest.raises(FingerprintMismatchError):
            vectors.max_marginal_relevance_search_by_vector(vector, k=3)
        assert vectors.embeddings.embed_query("pears of crate 1").pair == "v1"


def test_a_cache_never_answers_with_the_vectors_of_another_model(store_path: Path) -> None:
    with connect(store_path) as store:
        kept = InMemoryByteStore()
        cached, plain = PairEmbeddings(store, cache=kept), PairEmbeddings(store)
        texts = ["sloes", "medlars", "sloes"]
        assert cached.embed_documents(texts) == plain.embed_documents(texts)
        keys = set(kept.yield_keys())
        assert len(keys) == 2
        kept.mset([(key, np.full(64, 0.5, "<f4").tobytes()) for key in keys])  # seen to be read
        assert cached.embed_documents(["sloes"])[0][0] == 0.5
        store.rollback(reason="worse", catch_up=False)
        moved = cached.embed_documents(texts)
        assert moved == plain.embed_documents(texts)
        assert {vector.pair for vector in moved} == {"v1"}
        assert len(set(kept.yield_keys())) == 4
        assert cached.embed_documents([]) == []


def test_mmr_prefers_what_is_unlike_the_chosen_ones(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_texts(["geese on the lake"] * 3 + ["geese in the barn"], [{"n": n} for n in range(4)])
    query = "geese on the lake"
    assert {page.page_content for page in vectors.similarity_search(query, k=2)} == {query}
    found = vectors.max_marginal_relevance_search(query, k=2, lambda_mult=0.3)
    assert [page.page_content for page in found] == [query, "geese in the barn"]
    by_vector = vectors.max_marginal_relevance_search_by_vector(
        vectors.embeddings.embed_query(query), k=2, lambda_mult=0.3, filter={"n": {"$lt": 3}}
    )
    assert {page.page_content for page in by_vector} == {query}
    retriever = vectors.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.3})
    assert [page.page_content for page in retriever.invoke(query)] == [query, "geese in the barn"]


def test_words_answer_alone_and_beside_vectors(backend: Backend) -> None:
    vectors = VecrollbackVectorStore(backend)
    vectors.add_texts(
        ["a lake at dawn", "medlars for Martinmas", "geese in the barn"], ids=["lake", "medlars", "geese"]
    )
    assert [page.id for page in vectors.similarity_search("Martinmas", mode="keyword")] == ["medlars"]
    assert vectors.similarity_search("Martinmas", k=1, mode="hybrid")[0].id == "medlars"
    scored = vectors.similarity_search_with_relevance_scores("medlars for Martinmas", mode="hybrid")
    assert (scored[0][0].id, round(scored[0][1], 4)) == ("medlars", 1.0)
    [page] = VecrollbackRetriever(backend=backend, mode="keyword").invoke("Martinmas")
    assert page.metadata["vecrollback"]["answered_by"] == "keyword"


def test_a_namespace_keeps_to_itself(backend: Backend) -> None:
    ours, theirs = (VecrollbackVectorStore(backend, namespace=name) for name in ("ours", "theirs"))
    ours.add_texts(["our geese"], ids=["1"])
    theirs.add_texts(["their geese"], ids=["1"])
    for vectors, text in ((ours, "our geese"), (theirs, "their geese")):
        assert [page.page_content for page in vectors.get_by_ids(["1"])] == [text]
        assert [page.page_content for page in vectors.similarity_search("our geese", k=9)] == [text]
        mmr = vectors.max_marginal_relevance_search("our geese", k=9)
        assert [page.page_content for page in mmr] == [text]
    assert VecrollbackVectorStore(backend).similarity_search("our geese") == []
    found = VecrollbackRetriever(backend=backend, namespace="theirs").invoke("our geese")
    assert [page.page_content for page in found] == ["their geese"]
    ours.delete(["1"])
    index = VecrollbackDocumentIndex(backend=backend, namespace="theirs")
    assert [page.page_content for page in index.get(["1"])] == ["their geese"]
    assert index.delete(["1"]) == {"num_deleted": 1, "num_failed": 0, "failed": []}


def test_from_texts_takes_the_live_pairs_embedding_and_no_other(backend: Backend) -> None:
    vectors = VecrollbackVectorStore.from_texts(["sloes"], PairEmbeddings(backend), ids=["s"])
    assert [page.id for page in vectors.similarity_search("sloes")] == ["s"]
    vectors = VecrollbackVectorStore.from_documents(
        [Page(page_content="medlars", id="m", metadata={"n": 1}), Page(page_content="figs")], store_or_client=backend
    )
    assert [(page.id, page.metadata) for page in vectors.similarity_search("medlars", k=1)] == [("m", {"n": 1})]
    with pytest.raises(UsageError, match="DeterministicFakeEmbedding would embed beside the store"):
        VecrollbackVectorStore.from_texts(["x"], DeterministicFakeEmbedding(size=6), store_or_client=backend)
    with pytest.raises(UsageError, match="no store"):
        VecrollbackVectorStore.from_texts(["x"])


def test_the_examples_in_the_docstrings_run(store_path: Path) -> None:
    with connect(store_path) as store:
        store.upsert([Document("tea", "Steep green tea.")], visible=True)
        for documented in (PairEmbeddings, VecrollbackVectorStore, VecrollbackDocumentIndex, VecrollbackRetriever):
            run_examples(documented, {**vars(langchain), "store": store})
        run_examples(relevance, {"relevance": relevance})
