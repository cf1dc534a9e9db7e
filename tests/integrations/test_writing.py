"""What adapters write and embed goes in parts that a server takes, and a wait lasts as long as there is progress.

Covers integrations.batches, integrations.writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document as Page
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from llama_index.core.schema import TextNode

from tests.support.http_server import V1, serving
from vecrollback import Client, Document, Store, connect
from vecrollback.client import calls
from vecrollback.errors import NoPairServesError, NotVisibleError, RefusedError, UsageError
from vecrollback.integrations import batches, langchain, llama_index
from vecrollback.integrations.backend import BATCH, Backend
from vecrollback.integrations.batches import document_batches, text_batches, wait_until_found
from vecrollback.integrations.haystack import PairDocumentEmbedder, VecrollbackDocumentStore
from vecrollback.integrations.vectors import embed_documents
from vecrollback.integrations.writing import write, write_embedded
from vecrollback.server.settings import ServerSettings

SLOW = "tests.support.models:slow"


def test_a_part_is_within_what_a_server_takes_by_default() -> None:
    limits = ServerSettings()
    assert limits.max_documents >= BATCH
    assert limits.max_batch >= batches.TEXTS
    texts = ["harbour " * 2500, "é" * 9000, "\n\0" * 3000, "🦢" * 5000, ""]
    documents = [
        Document(f"id {n}", texts[n % 5], {"nested": {"key": [texts[n % 5]], "n": n}}, embedded_text=texts[n % 3])
        for n in range(1200)
    ]
    parts = list(document_batches(documents))
    assert [one for part in parts for one in part] == documents
    for part in parts:
        body = calls.upsert(part, True, "skip", "a namespace", None).body
        assert len(json.dumps(body)) <= limits.max_body
    assert len(parts) < 40
    assert [len(part) for part in document_batches(documents[4::5])] == [240]
    assert [len(part) for part in document_batches([Document(str(n), "") for n in range(1200)])] == [500, 500, 200]
    assert max(len(part) for part in document_batches(documents[4::5], 1536)) * 1536 * 22 <= limits.max_body
    assert [len(part) for part in text_batches(["x"] * 200)] == [128, 72]
    assert all(len(json.dumps(part)) <= limits.max_body for part in text_batches(texts * 60))


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of a server that takes 64 KiB and three texts, and adapters that know it."""
    monkeypatch.setattr(batches, "BYTES", 60 << 10)
    monkeypatch.setattr(batches, "TEXTS", 3)
    connect(tmp_path / "store", create=True, embedder=V1).close()
    limits = ("--max-body", str(64 << 10), "--max-batch", "3")
    with serving(tmp_path / "store", *limits) as server, Client(server.url, timeout=60) as client:
        yield client


def test_every_adapter_writes_and_embeds_more_than_one_request_takes(narrow: Client) -> None:
    texts = [f"page {n} " + "of the harbour " * 700 for n in range(12)]
    assert len(langchain.PairEmbeddings(narrow).embed_documents(texts)) == 12
    assert len(langchain.VecrollbackVectorStore(narrow).add_texts(texts)) == 12
    documents = VecrollbackDocumentStore(narrow)
    pages = [Page(id=f"h{n}", content=text) for n, text in enumerate(texts)]
    assert documents.write_documents(pages) == 12
    assert documents.write_documents(pages, DuplicatePolicy.SKIP) == 0
    embedded = PairDocumentEmbedder(documents).run([Page(id=f"e{n}", content=text) for n, text in enumerate(texts)])
    assert documents.write_documents(embedded["documents"], DuplicatePolicy.SKIP) == 12
    nodes = llama_index.PairEmbedding(narrow)([TextNode(id_=f"n{n}", text=text) for n, text in enumerate(texts)])
    assert len(llama_index.VecrollbackVectorStore(narrow).add(nodes)) == 12
    assert narrow.count() == 48
    [new, _] = late = [Page(id="new", content=texts[0]), Page(id="h11", content=texts[11])]
    with pytest.raises(DuplicateDocumentError):
        documents.write_documents([new, *pages[:11], late[1]])
    assert narrow.count() == 48
    with pytest.raises(RefusedError) as refused:
        narrow.upsert([Document("large", "x" * (70 << 10))])
    assert "--max-body" in refused.value.hint
    with pytest.raises(UsageError) as refused_texts:
        narrow.embed_documents(texts[:4])
    assert "--max-batch" in refused_texts.value.hint


def test_texts_of_one_call_are_embedded_by_one_model(narrow: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(narrow_store(narrow)) as store:
        store.reembed("hash:64?seed=9", name="v9").wait()
        embed, moved = narrow.embed_documents, []

        def embed_and_move(texts: list[str]) -> object:
            vectors = embed(texts)
            if not moved:
                moved.append(store.promote("v9", reason="in between"))
            return vectors

        monkeypatch.setattr(narrow, "embed_documents", embed_and_move)
        vectors = embed_documents(narrow, [f"text {n}" for n in range(7)])
        assert (vectors.pair, vectors.vectors.shape) == ("v9", (7, 64))
        assert vectors.vectors.tolist() == store.embed_documents([f"text {n}" for n in range(7)]).vectors.tolist()


def narrow_store(client: Client) -> str:
    """Where the store of a server on this machine is."""
    return str(client.status()["store"])


@pytest.mark.parametrize("over", ["store", "server"])
def test_a_load_takes_as_long_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: str) -> None:
    monkeypatch.setattr(batches, "SECONDS_WITHOUT_PROGRESS", 0.5)
    monkeypatch.setenv("MODELS_SECONDS", "0.02")
    texts = [f"note {n} of the almanac" for n in range(150)]
    with connect(tmp_path / "store", create=True, embedder=SLOW) as store:
        if over == "store":
            load(store, texts)
        else:
            with serving(tmp_path / "store") as server, Client(server.url, timeout=60) as client:
                load(client, texts)
        assert store.lag(store.live().name) == 0
        assert store.count() == 150


def load(backend: Backend, texts: list[str]) -> None:
    half = len(texts) // 2
    assert len(langchain.VecrollbackVectorStore(backend).add_texts(texts[:half])) == half
    pages = [Page(content=text) for text in texts[half:]]
    assert VecrollbackDocumentStore(backend).write_documents(pages) == len(texts) - half


def test_without_progress_a_wait_ends_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SECONDS_WITHOUT_PROGRESS", 0.2)
    with connect(tmp_path / "store", create=True, embedder=V1) as store:
        lock = store.resources.catalog.lock("pair-" + store.live().name)
        with lock, pytest.raises(NotVisibleError, match="not yet 1"):
            write(store, [Document("late", "medlars")])
        assert store.count() == 1
        wait_until_found(store, 1)
        assert store.search("medlars", 1).hits[0].id == "late"


def test_a_decision_without_a_pair_writes_nothing(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        with pytest.raises(NoPairServesError):
            write_embedded(store, [Document("a", "sloes")], None, if_absent="fail")
        assert store.count() == 0


def test_vectors_of_a_model_that_is_left_between_two_parts_are_dropped(
    narrow: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = VecrollbackDocumentStore(narrow)
    pages = [Page(id=f"p{n}", content=f"page {n} " + "of the harbour " * 700) for n in range(12)]
    embedded = PairDocumentEmbedder(documents).run(pages)["documents"]
    with connect(narrow_store(narrow)) as store:
        store.reembed("hash:64?seed=9", name="v9").wait()
        upsert, moved = narrow.upsert, []

        def upsert_and_move(*given: Any, **options: Any) -> object:
            result = upsert(*given, **options)
            if not moved:
                moved.append(store.promote("v9", reason="in between", override=True))
            return result

        monkeypatch.setattr(narrow, "upsert", upsert_and_move)
        assert documents.write_documents(embedded) == 12
        assert moved
        assert store.live().name == "v9"
        assert store.check(sample=12).verdict == "pass"


def test_a_vector_stays_with_the_text_that_it_was_made_of(empty_store: Store) -> None:
    documents = VecrollbackDocumentStore(empty_store)
    [page] = PairDocumentEmbedder(documents).run([Page(id="p", content="apples of the harvest")])["documents"]
    documents.write_documents([replace(page, content="a train at noon")], DuplicatePolicy.OVERWRITE)
    nodes = llama_index.PairEmbedding(empty_store)([TextNode(id_=id_, text="apples") for id_ in ("n", "same")])
    nodes[0].set_content("a ship at dawn")
    llama_index.VecrollbackVectorStore(empty_store).add(nodes)
    for id_, text in (("p", "a train at noon"), ("n", "a ship at dawn"), ("same", "apples")):
        [hit] = empty_store.search(text, 1).hits
        assert (hit.id, round(hit.score, 4)) == (id_, 1.0)
    assert empty_store.check(sample=3).verdict == "pass"
    documents.delete_all_documents()
