"""Law 9. Raw vectors are searched with only under the fingerprint of what made them.

Covers pairs.embedders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.laws.support import FRAGILE
from tests.support import counting
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE, QUERIES, TWO, assert_answers, embedder
from tests.support.two_pairs import TEXTS
from vecrollback import Document, PairVectors, Store
from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbedderChangedError, FingerprintMismatchError


def test_no_vector_without_a_fingerprint_is_searched_with(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        own = embedder(ONE).embed_queries(QUERIES)
        for result, query in zip(
            searcher.search(PairVectors(own, embedder(ONE).fingerprint), EVERYTHING), QUERIES, strict=True
        ):
            assert_answers(result, ONE, TEXTS, query)
        with pytest.raises(FingerprintMismatchError):
            searcher.search(PairVectors(embedder(TWO).embed_queries(QUERIES), embedder(TWO).fingerprint))
        with pytest.raises(TypeError):
            PairVectors(own)  # type: ignore[call-arg]
        with pytest.raises(vecrollback.VecrollbackError):
            searcher.search(own)  # type: ignore[call-overload]
        with pytest.raises(vecrollback.VecrollbackError):
            searcher.search(PairVectors(own[:, :16], embedder(ONE).fingerprint))
        with pytest.raises(vecrollback.VecrollbackError):
            searcher.search(PairVectors(own * np.nan, embedder(ONE).fingerprint))


def test_no_vector_without_a_fingerprint_other_models_are_not_declared_equal(store: Store) -> None:
    with pytest.raises(EmbedderChangedError):
        store.equate("one", "two")
    with pytest.raises(EmbedderChangedError):
        store.equate("one", TWO)
    with store.searcher(follow=False) as searcher, pytest.raises(FingerprintMismatchError):
        searcher.search(PairVectors(embedder(TWO).embed_queries(QUERIES), embedder(TWO).fingerprint))


def test_no_vector_without_a_fingerprint_a_changed_model_neither_serves_nor_writes(store: Store) -> None:
    store.upsert([Document("new", words(70))])
    store.resources.catalog.pairs.set_embedder("one", TWO)
    for use in (lambda: store.search("bread"), lambda: store.catch_up("one")):
        with pytest.raises(EmbedderChangedError):
            use()
    report = store.check("one")
    assert report.verdict == "fail"
    assert "embedder_changed" in {finding.kind for finding in report.findings}


def test_no_vector_without_a_fingerprint_a_model_that_behaves_otherwise_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Same fingerprint, other vectors: only the probes can tell."""
    monkeypatch.setenv(counting.BROKEN, str(tmp_path / "never"))
    store.reembed(FRAGILE, name="hidden", index="Flat").wait()
    other = embedder(ONE)
    monkeypatch.setattr(counting, "fragile", other.embed_documents)
    monkeypatch.setattr("vecrollback.embedders.callables._source_digest", lambda _: digest)
    digest = store.pair("hidden").contract["source"]
    with vecrollback.connect(store.root) as later:
        assert open_embedder(FRAGILE).fingerprint == store.pair("hidden").fingerprint
        with pytest.raises(EmbedderChangedError, match="probe"):
            later.promote("hidden", override=True, reason="a test")
        assert later.check("hidden").verdict == "fail"
