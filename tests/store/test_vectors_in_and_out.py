"""Vectors leave and enter with what made them, and a text for the model is kept beside the text that is returned.

Covers serving.pair_vectors, serving.questions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.http_server import serving
from vecrollback import Client, Document, PairVectors, Store, connect
from vecrollback.embedders import open_embedder
from vecrollback.errors import FingerprintMismatchError, NoPairServesError, UsageError

MODEL, OTHER = "hash:64?seed=3", "hash:64?seed=4"
TEXTS = {f"d{n}": f"crate {n} of {('apples', 'pears', 'plums')[n % 3]}" for n in range(30)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with connect(root, create=True, embedder=MODEL) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()], visible=True)
        store.snapshot(store.live(), rebuild=True)
        store.upsert([Document("late", "medlars of crate 99")], visible=True)
    return root


@pytest.fixture
def place(root: Path) -> Path:
    return root


def test_hits_carry_the_vectors_of_their_chunks(door: Store | Client) -> None:
    embedder = open_embedder(MODEL)
    result = door.search("medlars and pears", 40, include_vectors=True)
    assert {hit.id for hit in result.hits} == {*TEXTS, "late"}
    for hit in result.hits:
        assert hit.vector is not None
        np.testing.assert_allclose(hit.vector, embedder.embed_documents([hit.text])[0], atol=1e-6)
    assert door.search("pears").hits[0].vector is None


def test_a_vector_says_what_made_it_and_finds_what_its_words_find(door: Store | Client) -> None:
    made = door.embed_queries(["pears", "medlars"])
    assert (made.vectors.dtype, made.vectors.shape, made.pair) == (np.float32, (2, 64), "hash-64")
    assert made.epoch == door.search("pears").epoch
    assert made.fingerprint == open_embedder(MODEL).fingerprint
    by_words, by_vectors = door.search(["pears", "medlars"], 5), door.search(made, 5)
    assert [[hit.id for hit in one.hits] for one in by_vectors] == [[hit.id for hit in one.hits] for one in by_words]
    assert [hit.id for hit in door.search(made[1], 1)[0].hits] == ["late"]
    assert (len(made), len(made[0]), np.asarray(made).shape, len(made.tolist())) == (2, 1, (2, 64), 2)
    assert door.embed_queries([]).vectors.shape[0] == 0
    documents = door.embed_documents(["medlars of crate 99"])
    np.testing.assert_allclose(documents.vectors, open_embedder(MODEL).embed_documents(["medlars of crate 99"]))


def test_another_pair_refuses_a_vector_that_is_not_of_its_model(place: Path) -> None:
    with connect(place) as store:
        made = store.embed_queries(["pears"])
        store.promote(store.reembed(OTHER, name="v2").wait(), reason="newer")
        with pytest.raises(FingerprintMismatchError, match="pair 'hash-64'") as refused:
            store.search(made)
        assert "equate" in refused.value.hint
        with pytest.raises(FingerprintMismatchError):
            store.upsert([Document("new", "pears")], vectors=made)
        assert store.get(["new"]) == {}
        with pytest.raises(UsageError, match="shape"):
            store.search(PairVectors(np.ones((1, 3), np.float32), store.live().fingerprint))
        store.rollback(reason="worse")
        assert len(store.search(made)[0].hits) == 10
    with serving(place) as server, Client(server.url) as client:
        with pytest.raises(FingerprintMismatchError):
            client.search(PairVectors(made.vectors, "0" * 32))
        with pytest.raises(UsageError):
            client.search(PairVectors(np.full((1, 64), 1e39), made.fingerprint))


def test_vectors_that_come_with_documents_are_taken_over_and_not_embedded_again(
    door: Store | Client, place: Path
) -> None:
    texts = ["quinces from the hill", "sloes from the hedge"]
    made = door.embed_documents(texts)
    documents = [Document(f"n{n}", text) for n, text in enumerate(texts)]
    assert door.upsert(documents, visible=True, vectors=made).written == 2
    assert door.search("sloes from the hedge", 1).hits[0].id == "n1"
    with connect(place) as store:
        assert store.catch_up(store.live()).embedded == 0
        assert store.check(store.live()).verdict == "pass"
    with pytest.raises(UsageError, match="1 vectors for 2 documents"):
        door.upsert(documents, vectors=made[0])


def test_only_the_vectors_given_are_written_when_nothing_else_is_asked(place: Path) -> None:
    with connect(place) as store:
        store.upsert([Document("plain", "not embedded yet")])
        made = store.embed_documents(["quinces"])
        store.upsert([Document("given", "quinces")], vectors=made)
        done = store.catch_up(store.live())
        assert (done.embedded, done.lag) == (1, 0)


def test_a_text_that_the_model_splits_is_embedded_as_its_own_chunks(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(4_000))
    with connect(tmp_path / "store", create=True, embedder="hash:64?chunk=tokens:64:8") as store:
        assert len(open_embedder(store.live().embedder).chunk(text)) > 1
        made = store.embed_documents([text])
        store.upsert([Document("long", text)], vectors=made, visible=True)
        assert store.check(store.live()).verdict == "pass"
        assert store.search("word3999 word3998", 1).hits[0].chunk > 0


def test_without_a_pair_there_are_no_vectors(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        with pytest.raises(NoPairServesError):
            store.embed_queries(["a"])
        made = PairVectors(np.ones((1, 64), np.float32), "0" * 32)
        with pytest.raises(NoPairServesError):
            store.upsert([Document("a", "text")], vectors=made)
        assert store.count() == 0
        assert store.search(made)[0].hits == []


def test_the_model_gets_the_embedded_text_and_answers_return_the_other(door: Store | Client, place: Path) -> None:
    titled = Document(
        "t1", "It is steeped for three minutes.", {"title": "Sencha"}, embedded_text="Sencha green tea: steeped"
    )
    door.upsert([titled, Document("t2", "It is whisked.")], visible=True)
    hit = door.search("sencha green tea", 1).hits[0]
    assert (hit.id, hit.text, hit.chunk, hit.stale) == ("t1", titled.text, -1, False)
    assert door.get(["t1"])["t1"] == titled
    assert titled in list(door.documents())
    with connect(place) as store:
        assert store.check(store.live()).verdict == "pass"
        v2 = store.reembed(OTHER, name="v2").wait()
        store.promote(v2, reason="newer")
        assert store.search("sencha green tea", 1).hits[0].id == "t1"
        assert store.upsert([titled]).unchanged == 1
        changed = Document("t1", titled.text, titled.metadata, embedded_text="Matcha")
        store.upsert([changed])
        stale = store.search("sencha green tea", 1).hits[0]
        assert (stale.id, stale.stale) == ("t1", True)
        store.wait(store.status()["corpus"]["head"])
        assert store.search("matcha", 1).hits[0].id == "t1"
        store.compact(purge=True)
        assert store.get(["t1"])["t1"] == changed
        bundle = store.export_snapshot(store.snapshot(store.live()).ref, place.parent / "pair.vrb")
        with connect(place.parent / "other", create=True) as other:
            other.import_snapshot(bundle.path, name="v2")
            assert other.get(["t1"])["t1"] == changed
            assert other.check("v2").verdict == "pass"
