"""Haystack's own mixins for document stores pass over a store and over a client; pipelines follow every move.

Covers integrations.haystack.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from haystack import Document as Page
from haystack import Pipeline
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as awaited_suites
from haystack.utils import Secret
from haystack.utils.filters import document_matches_filter

from tests.support.docstrings import run_examples
from tests.support.http_server import QUERIES
from vecrollback import Client, Document, Store, connect
from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.integrations import haystack
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.haystack import (
    PairDocumentEmbedder,
    PairTextEmbedder,
    VecrollbackDocumentStore,
    VecrollbackRetriever,
)
from vecrollback.integrations.haystack.filters import to_store_filter, with_plain_values
from vecrollback.integrations.haystack.matching import where_to_delete


@pytest.fixture
def document_store(backend: Backend) -> VecrollbackDocumentStore:
    return VecrollbackDocumentStore(backend)


class OverBothBackends:
    """What is read comes in the order of the ids, not of the writes, and embeddings that are nobody's are not kept."""

    @pytest.fixture
    def document_store(self, backend: Backend) -> VecrollbackDocumentStore:
        return VecrollbackDocumentStore(backend)

    @staticmethod
    def assert_documents_are_equal(received: Sequence[Page], expected: Sequence[Page]) -> None:
        def plain(pages: Sequence[Page]) -> list[Page]:
            pages = sorted(pages, key=lambda page: page.id)
            return [Page(id=page.id, content=page.content, meta=page.meta, blob=page.blob) for page in pages]

        assert plain(received) == plain(expected)
        assert [page.id for page in received] == sorted(page.id for page in received)


class TestDocumentStore(
    OverBothBackends,
    suites.DocumentStoreBaseExtendedTests,
    suites.CountDocumentsByFilterTest,
    suites.CountUniqueMetadataByFilterTest,
    suites.GetMetadataFieldsInfoTest,
    suites.GetMetadataFieldMinMaxTest,
    suites.GetMetadataFieldUniqueValuesTest,
):
    # Nothing is created anew when everything is deleted: the pairs stay. The suite skips these for such stores.
    test_delete_all_documents_with_recreate_index = None
    test_delete_all_documents_without_recreate_index = None

    def test_write_documents(self, document_store: VecrollbackDocumentStore) -> None:
        """The suite leaves what no policy means to each store: here, as in Haystack's own, that nothing is replaced."""
        page = Page(id="1", content="first")
        assert document_store.write_documents([page]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([Page(id="2", content="second"), page])
        assert document_store.filter_documents() == [page]  # none of the two was written


@pytest.mark.slow  # the same methods, on another thread
class TestAwaitedDocumentStore(
    OverBothBackends,
    awaited_suites.CountDocumentsAsyncTest,
    awaited_suites.CountDocumentsByFilterAsyncTest,
    awaited_suites.CountUniqueMetadataByFilterAsyncTest,
    awaited_suites.DeleteAllAsyncTest,
    awaited_suites.DeleteByFilterAsyncTest,
    awaited_suites.DeleteDocumentsAsyncTest,
    awaited_suites.FilterDocumentsAsyncTest,
    awaited_suites.GetMetadataFieldMinMaxAsyncTest,
    awaited_suites.GetMetadataFieldsInfoAsyncTest,
    awaited_suites.GetMetadataFieldUniqueValuesAsyncTest,
    awaited_suites.UpdateByFilterAsyncTest,
    awaited_suites.WriteDocumentsAsyncTest,
):
    test_delete_all_documents_with_recreate_index_async = None
    test_delete_all_documents_without_recreate_index_async = None

    async def test_write_documents_async(self, document_store: VecrollbackDocumentStore) -> None:
        """See `TestDocumentStore.test_write_documents`."""
        page = Page(id="1", content="first")
        assert await document_store.write_documents_async([page]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([Page(id="2", content="second"), page])
        assert await document_store.filter_documents_async() == [page]


def test_the_same_decision_for_all_documents_of_a_write(document_store: VecrollbackDocumentStore) -> None:
    old, new, skip = Page(id="1", content="old"), Page(id="2", content="new"), DuplicatePolicy.SKIP
    document_store.write_documents([old])
    assert document_store.write_documents([new, Page(id="1", content="other")], skip) == 1
    assert document_store.write_documents([Page(id="3", content="a"), Page(id="3", content="b")], skip) == 1
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents([Page(id="4", content="a"), old], DuplicatePolicy.FAIL)
    assert [page.content for page in document_store.filter_documents()] == ["old", "new", "a"]
    overwritten = [Page(id="1", content="x"), Page(id="1", content="y")]
    assert document_store.write_documents(overwritten, DuplicatePolicy.OVERWRITE) == 2
    assert document_store.search("y", top_k=1)[0].content == "y"


VALUES: list[Any] = [0, 1, -2.5, 7, True, False, "", "x", "1", "2024-01-02", "2024-01-02T00:00:00", None]
OTHER_VALUES: list[Any] = [["x"], [], {"deep": "x"}, {"deep": {"deeper": 7}}, "2024-01-01T23:00:00-01:00", "2024-13-45"]
PLAIN_FIELDS = ["meta.a", "a", "id", "meta.unknown", "unknown", "meta.id"]
OTHER_FIELDS = ["meta.a.deep", "meta.a.deep.deeper", "content", "score", "meta", "a.deep", "meta.$x", "meta._haystack"]


def values_pages() -> list[Page]:
    held = [*VALUES, *OTHER_VALUES]
    return [Page(id=f"p{n}", content=f"text {n}", meta={"a": value, "n": n}) for n, value in enumerate(held)]


def every_filter() -> list[dict[str, Any]]:
    """Each field, operator and value, alone and turned round; and all kinds of logic around nothing."""
    ordered = [7, 0, 0.5, True, None, "2024-01-02", dt.datetime(2024, 1, 2), "x"]
    equal = [*VALUES, *OTHER_VALUES, dt.datetime(2024, 1, 2), "p3", "text 3"]
    comparisons: list[tuple[str, Any]] = [(sign, value) for sign in ("==", "!=") for value in equal]
    comparisons += [(sign, [*some]) for sign in ("in", "not in") for some in ((), (1, None), ("x", "p3"), (["x"], 0))]
    comparisons += [(sign, value) for sign in (">", ">=", "<", "<=") for value in ordered]
    filters: list[dict[str, Any]] = []
    for field in [*PLAIN_FIELDS, *OTHER_FIELDS]:
        for sign, value in comparisons:
            one = {"field": field, "operator": sign, "value": value}
            filters += [one, {"operator": "NOT", "conditions": [one, {"field": "meta.n", "operator": ">", "value": 1}]}]
    empty = [{"operator": sign, "conditions": []} for sign in ("AND", "OR", "NOT")]
    for sign in ("AND", "OR", "NOT"):
        filters += [{"operator": sign, "conditions": [one, filters[0]]} for one in empty]
    return [*filters, *empty]


def expected_ids(pages: Sequence[Page], filters: dict[str, Any]) -> tuple[list[str], bool]:
    """What Haystack itself says of each page, and whether it says of one that it cannot be compared."""
    ids, incomparable = [], False
    for page in pages:
        try:
            if document_matches_filter(with_plain_values(filters), page):
                ids.append(page.id)
        except (FilterError, TypeError):
            incomparable = True
    return sorted(ids), incomparable


@pytest.mark.parametrize("held", [slice(None), slice(0, 4), slice(3, 6), slice(6, 9), slice(9, 10)])
def test_a_filter_means_what_haystack_says_of_each_document(empty_store: Store, held: slice) -> None:
    """Whatever is compared with whatever; a filter that a search or a delete takes means the same there."""
    documents = VecrollbackDocumentStore(empty_store)
    documents.delete_all_documents()
    pages = [*values_pages()[held], Page(id="empty", content=None)]
    documents.write_documents(pages)
    deletable = 0
    for filters in random.Random(str(held)).sample(every_filter(), 200):
        expected, incomparable = expected_ids(pages, filters)
        try:
            assert [page.id for page in documents.filter_documents(filters)] == expected, filters
        except FilterError:
            assert incomparable, filters
        with suppress(FilterError):
            where = where_to_delete(empty_store, filters, None)
            assert [one.id for one in empty_store.documents(where)] == expected, filters
            deletable += 1
    assert deletable > 20
    documents.delete_all_documents()


def test_what_cannot_be_answered_exactly_is_an_error_and_deletes_nothing(
    document_store: VecrollbackDocumentStore,
) -> None:
    pages = [Page(id=f"p{n}", content=f"text {n}", meta={"author": {"name": "anna" if n else "bob"}}) for n in range(3)]
    pages[0].meta["sent"], pages[1].meta["sent"] = "2024-01-01", "2024-01-02T00:00:00"
    document_store.write_documents(pages)
    author = {"field": "meta.author.name", "operator": "!=", "value": "anna"}
    text = {"field": "content", "operator": "!=", "value": "text 1"}
    misspelt = {"field": "author.name", "operator": "!=", "value": "anna"}
    sent = {"field": "meta.sent", "operator": ">", "value": dt.date(2024, 1, 1)}
    nothing: dict[str, Any] = {"operator": "AND", "conditions": []}
    for filters, fact in (
        (author, "'meta.author.name' is a key inside another.*delete_documents"),
        (text, "'content' is a field of the document"),
        (misspelt, "'author.name' is neither a field of a document nor under `meta.`"),
        (sent, "of some documents \\(1\\) the answer is not certain: documents hold 'meta.sent' in another form"),
        (nothing, "restricts nothing.*delete_all_documents"),
        ({}, "restricts nothing"),
    ):
        with pytest.raises(FilterError, match=fact):
            document_store.delete_by_filter(filters)
    for filters in (author, text, misspelt, sent):
        with pytest.raises(FilterError, match="a key of its own"):
            document_store.search("text", filters)
    assert document_store.count_documents() == 3
    assert [page.id for page in document_store.filter_documents(author)] == ["p0"]
    assert document_store.count_documents_by_filter(text) == 2
    assert document_store.update_by_filter(author, {"seen": True}) == 1
    assert [page.id for page in document_store.filter_documents(sent)] == ["p1"]
    document_store.delete_documents(["p1"])
    assert document_store.delete_by_filter(sent | {"operator": ">="}) == 1


def test_a_document_comes_back_with_everything_but_its_vector(document_store: VecrollbackDocumentStore) -> None:
    blob = ByteStream(b"\x00\xff", meta={"name": "photo"}, mime_type="image/png")
    picture = Page(id="1", blob=blob, meta={"a.b": 1, "tags": ["x", "y"]})
    sparse = Page(id="2", content="words", sparse_embedding=SparseEmbedding([1, 5], [0.5, 0.25]), embedding=[0.1, 0.2])
    document_store.write_documents([picture, sparse])
    read_picture, read_sparse = document_store.filter_documents()
    assert read_picture == picture
    assert read_sparse.embedding is None
    assert read_sparse.sparse_embedding == sparse.sparse_embedding


def test_a_pipeline_is_saved_loaded_and_follows_every_move(store_path: Path) -> None:
    pipeline = Pipeline()
    filters = {"field": "meta.year", "operator": ">=", "value": 2010}
    documents = VecrollbackDocumentStore(str(store_path))
    retriever = VecrollbackRetriever(documents, filters=filters, top_k=3, filter_policy=FilterPolicy.MERGE)
    pipeline.add_component("retriever", retriever)
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["vecrollback.*"])
    with connect(store_path) as store:
        for pair, epoch in (("v2", 2), ("v1", 3)):
            answers = [one.run({"retriever": {"query": QUERIES[0]}})["retriever"] for one in (pipeline, loaded)]
            assert answers[0] == answers[1]
            expected = store.search(QUERIES[0], 3, {"year": {"$gte": 2010}})
            found = answers[0]["documents"]
            assert [(page.id, page.score) for page in found] == [(hit.id, hit.score) for hit in expected.hits]
            assert {(page.meta["vecrollback"]["pair"], page.meta["vecrollback"]["epoch"]) for page in found} == {
                (pair, epoch)
            }
            if pair == "v2":
                store.rollback(reason="worse", catch_up=False)
    only = {"field": "meta.year", "operator": "==", "value": 2012}
    [page] = loaded.run({"retriever": {"query": QUERIES[0], "filters": only}})["retriever"]["documents"]
    assert page.meta["year"] == 2012


def test_a_saved_pipeline_names_the_server_and_no_secret(empty_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "vr_secret")
    documents = VecrollbackDocumentStore(empty_client.uri, token=Secret.from_env_var("NOTES_TOKEN"))
    saved = documents.to_dict()
    assert saved["init_parameters"]["store_or_client"] == empty_client.uri
    assert "vr_secret" not in json.dumps(saved)
    assert VecrollbackDocumentStore.from_dict(saved).to_dict() == saved
    assert VecrollbackDocumentStore(empty_client).to_dict()["init_parameters"]["store_or_client"] == empty_client.uri


async def test_a_retriever_can_be_awaited(document_store: VecrollbackDocumentStore) -> None:
    await document_store.write_documents_async([Page(id="1", content="sloes"), Page(id="2", content="medlars")])
    [page] = (await VecrollbackRetriever(document_store, top_k=1, scale_score=True).run_async("sloes"))["documents"]
    assert (page.id, round(page.score or 0, 3)) == ("1", 1.0)


def test_a_pipeline_with_vectors_embeds_each_document_once_and_refuses_those_of_a_model_that_was_left(
    store_path: Path,
) -> None:
    with connect(store_path) as store:
        documents = VecrollbackDocumentStore(store)
        writing = Pipeline()
        writing.add_component("embedder", PairDocumentEmbedder(documents))
        writing.add_component("writer", DocumentWriter(documents, DuplicatePolicy.SKIP))
        writing.connect("embedder", "writer")
        pages = [Page(id=f"p{n}", content=f"medlars of tree {n}") for n in range(3)]
        assert writing.run({"embedder": {"documents": pages}})["writer"] == {"documents_written": 3}
        asking = Pipeline()
        asking.add_component("embedder", PairTextEmbedder(documents))
        asking.add_component("retriever", VecrollbackRetriever(documents, top_k=1))
        asking.connect("embedder.embedding", "retriever.query_embedding")
        asking.connect("embedder.meta", "retriever.query_meta")
        asking = Pipeline.loads(asking.dumps(), allowed_modules=["vecrollback.*"])
        question = {"embedder": {"text": "medlars of tree 2"}}
        [page] = asking.run(question)["retriever"]["documents"]
        assert (page.id, page.meta["vecrollback"]["pair"]) == ("p2", "v2")
        vector = PairTextEmbedder(documents).run("medlars of tree 2")["embedding"]
        [embedded] = PairDocumentEmbedder(documents).run([Page(id="q", content="sloes of tree 9")])["documents"]
        store.rollback(reason="worse")
        with pytest.raises(FingerprintMismatchError):
            documents.search(vector)
        assert documents.write_documents([embedded]) == 1  # embedded anew, by the pair that serves now
        [page] = asking.run({"embedder": {"text": "sloes of tree 9"}})["retriever"]["documents"]
        assert (page.id, page.meta["vecrollback"]["pair"]) == ("q", "v1")
        assert store.check(sample=64).verdict == "pass"
        with pytest.raises(FingerprintMismatchError, match="does not say which model"):
            VecrollbackRetriever(documents).run(query_embedding=list(vector))
        with pytest.raises(UsageError, match="either words or a vector"):
            VecrollbackRetriever(documents).run()
        asking.get_component("embedder").document_store.backend.close()
        asking.get_component("retriever").document_store.backend.close()


def test_words_answer_alone_and_beside_vectors(document_store: VecrollbackDocumentStore) -> None:
    document_store.write_documents([Page(id="1", content="a lake at dawn"), Page(id="2", content="Martinmas")])
    retriever = VecrollbackRetriever(document_store, mode="keyword")
    assert [page.id for page in retriever.run("Martinmas")["documents"]] == ["2"]
    [page, _] = VecrollbackRetriever(document_store, mode="hybrid", scale_score=True).run("Martinmas")["documents"]
    assert (page.id, round(page.score or 0, 4)) == ("2", 1.0)


def test_a_scaled_score_is_by_what_answered_not_by_what_was_asked_for(speechless_store: Store) -> None:
    documents = VecrollbackDocumentStore(speechless_store)
    [page] = documents.search("green tea", scale_score=True)
    assert [page.score] == [page.score for page in documents.search("green tea", mode="keyword", scale_score=True)]
    assert 0 < (page.score or 0) < 1


def test_no_document_is_asked_for(document_store: VecrollbackDocumentStore) -> None:
    document_store.write_documents([Page(id="1", content="a lake at dawn")])
    with pytest.raises(UsageError, match="k"):
        VecrollbackRetriever(document_store).run("lake", top_k=0)
    document_store.delete_documents([])
    assert document_store.count_documents() == 1


def test_a_namespace_keeps_to_itself(backend: Backend) -> None:
    ours, theirs = (VecrollbackDocumentStore(backend, namespace=name) for name in ("ours", "theirs"))
    for documents, text in ((ours, "our geese"), (theirs, "their geese")):
        assert documents.write_documents([Page(id="1", content=text, meta={"kind": "bird"})]) == 1
    kind = {"field": "meta.kind", "operator": "==", "value": "bird"}
    for documents, text in ((ours, "our geese"), (theirs, "their geese")):
        assert documents.count_documents() == documents.count_documents_by_filter(kind) == 1
        assert [page.content for page in documents.search("our geese")] == [text]
        assert [page.content for page in documents.filter_documents(kind)] == [text]
    assert ours.update_by_filter(kind, {"seen": True}) == 1
    assert "seen" not in theirs.filter_documents()[0].meta
    assert ours.delete_by_filter(kind) == 1
    assert (ours.count_documents(), theirs.count_documents()) == (0, 1)
    theirs.delete_all_documents()


def test_the_examples_in_the_docstrings_run(store_path: Path) -> None:
    with connect(store_path) as store:
        store.upsert([Document("tea", "Steep green tea.")], visible=True)
        for documented in (VecrollbackDocumentStore, VecrollbackRetriever, PairTextEmbedder, PairDocumentEmbedder):
            run_examples(documented, {**vars(haystack), "store": store})
        run_examples(to_store_filter, {"to_store_filter": to_store_filter})
