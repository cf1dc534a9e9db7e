"""A searcher: what it refuses, what it holds open, what it tells the catalog, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE, QUERIES, TWO, assert_answers, embedder
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Store
from vecrollback.embedders import Embedder
from vecrollback.embedders.hashing import HashingEmbedder
from vecrollback.errors import BadFilterError, FingerprintMismatchError, UnknownNameError, UsageError
from vecrollback.records import LIVE, PairVectors, SearchMode
from vecrollback.serving import open_pairs


def wait_until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("k", [0, -1, 10_001, "3", 2.0, None])
def test_k_is_a_whole_number_in_bounds(store: Store, k: Any) -> None:
    with store.searcher(follow=False) as searcher, pytest.raises(UsageError, match="from 1 to 10000"):
        searcher.search(QUERIES[0], k)


@pytest.mark.parametrize("query", ["", "  \n", [""], ["boats", " "], [None]])
def test_a_blank_query_is_refused(store: Store, query: Any) -> None:
    with store.searcher(follow=False) as searcher, pytest.raises(UsageError):
        searcher.search(query)


def test_several_queries_are_answered_in_order_from_one_moment(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        assert searcher.search([]) == []
        results = searcher.search(list(QUERIES), EVERYTHING)
        assert len({(result.pair, result.snapshot, result.epoch, result.watermark) for result in results}) == 1
        for query, result in zip(QUERIES, results, strict=True):
            assert_answers(result, ONE, TEXTS, query)
            assert result == searcher.search(query, EVERYTHING)


def test_a_filter_that_cannot_be_read_is_refused_and_leaves_the_searcher_as_it_was(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        with pytest.raises(BadFilterError):
            searcher.search(QUERIES[0], where="nonsense ===")
        assert searcher.search(QUERIES[0]).hits


def test_an_alias_that_points_nowhere_is_an_error_until_it_points_somewhere(store: Store) -> None:
    with store.searcher(alias="candidate", follow=False) as searcher:
        assert (searcher.pointer, searcher.current) == (None, True)
        store.promote(store.reembed("hash:32?seed=3", name="three", index="Flat").wait())
        assert searcher.search(QUERIES[0]).pair == "three", "a promote sets the candidate first"
    with store.searcher(alias="nobody", follow=False) as lost, pytest.raises(UnknownNameError, match="nobody"):
        lost.search(QUERIES[0])


def test_vectors_of_a_model_that_was_declared_equal_are_taken(store: Store) -> None:
    other = f"{ONE}&chunk=tokens:4:1"  # its vectors are the same, its fingerprint is not
    vectors, fingerprint = embedder(other).embed_queries(list(QUERIES)), embedder(other).fingerprint
    with store.searcher(follow=False) as searcher:
        with pytest.raises(FingerprintMismatchError):
            searcher.search(PairVectors(vectors, fingerprint))
        store.equate("one", other)
        results = searcher.search(PairVectors(vectors, fingerprint), EVERYTHING)
        for query, result in zip(QUERIES, results, strict=True):
            assert_answers(result, ONE, TEXTS, query)


def test_one_that_follows_registers_holds_the_way_back_open_and_leaves(store: Store) -> None:
    before = set(threading.enumerate())
    with store.searcher() as searcher:
        wait_until(lambda: searcher.open_pairs.refs == ("one@1", "two@1"))
        wait_until(lambda: [one.warm for one in store.resources.catalog.searchers.alive(LIVE)] == [("one@1", "two@1")])
        assert searcher.search(QUERIES[0]).pair == "one"
        store.rollback(reason="a test", catch_up=False)
        wait_until(lambda: searcher.pointer and searcher.pointer.pair == "two")  # without any query
        wait_until(lambda: searcher.open_pairs.refs == ("two@1",))  # `one` is quarantined: its model may be broken
    assert store.resources.catalog.searchers.registered(LIVE) == []
    assert searcher.open_pairs.refs == ()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_one_that_does_not_follow_registers_nowhere_and_still_answers_from_where_the_alias_points(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        for name, spec in (("one", ONE), ("two", TWO), ("one", ONE)):
            if store.live().name != name:
                store.promote(name, override=True, reason="a test")
            assert_answers(searcher.search(QUERIES[0], EVERYTHING), spec, TEXTS, QUERIES[0])
        assert store.resources.catalog.searchers.registered(LIVE) == []


def test_what_was_written_counts_from_the_next_query_on(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        searcher.search(QUERIES[0])
        store.upsert([Document("new", words(90))])
        store.delete(["d1"])
        store.catch_up("one")
        texts = {id_: text for id_, text in TEXTS.items() if id_ != "d1"} | {"new": words(90)}
        assert_answers(searcher.search(QUERIES[0], EVERYTHING), ONE, texts, QUERIES[0])


@pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
def test_a_filter_judges_a_document_as_it_is_shown_whatever_is_written_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch, mode: SearchMode
) -> None:
    store.upsert([Document("moved", "secret plan", {"tenant": "a"}), Document("stays", "open plan", {"tenant": "b"})])
    store.catch_up("one")
    advance, writes = open_pairs.advance_text_cache, iter([Document("moved", "secret plan", {"tenant": "b"})])

    def written_in_between(*args: Any) -> Any:  # after the head was read, and before the texts are
        store.upsert(list(writes))
        return advance(*args)

    with store.searcher(follow=False) as searcher:

        def shown(tenant: str) -> set[tuple[str, Any]]:
            hits = searcher.search("secret plan", EVERYTHING, f"tenant = '{tenant}'", mode=mode).hits
            return {(hit.id, hit.metadata["tenant"]) for hit in hits}

        assert shown("a") == {("moved", "a")}
        store.upsert([Document("other", words(83))])
        monkeypatch.setattr(open_pairs, "advance_text_cache", written_in_between)
        assert shown("a") <= {("moved", "a")}, "of the texts before or of those after, not of both"
        for _ in range(2):
            assert (shown("a"), shown("b")) == (set(), {("moved", "b"), ("stays", "b")})


def test_a_filter_is_answered_after_the_version_that_the_texts_were_read_at_is_gone(store: Store) -> None:
    store.upsert([Document("kept", "a plan", {"tenant": "a"})])
    store.catch_up("one")
    with store.searcher(follow=False) as searcher:
        searcher.search(QUERIES[0])
        store.compact(purge=True)
        assert [hit.id for hit in searcher.search(QUERIES[0], where="tenant = 'a'").hits] == ["kept"]


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("follow", [False, True])
def test_over_many_moves_the_models_of_two_pairs_are_held_and_the_others_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch, follow: bool, fallback: bool
) -> None:
    if fallback:
        (root / "vecrollback.toml").write_text('[serving]\nfallback = ["standby", "keyword"]\n')
    closed: list[str] = []
    monkeypatch.setattr(HashingEmbedder, "close", lambda self: closed.append(self.spec))
    models: dict[str, weakref.ref[Embedder]] = {}
    with vecrollback.connect(root) as here, vecrollback.connect(root) as elsewhere, here.searcher(follow=follow) as it:

        def held() -> set[str]:
            gc.collect()
            return {name for name, model in models.items() if model() is not None}

        for name in ("one", *(f"pair-{n}" for n in range(6))):
            if name != "one":
                elsewhere.reembed(f"hash:32?seed={len(models)}", name=name, index="Flat").wait()
                elsewhere.promote(name, override=True, reason="a test")
            assert it.search(QUERIES[0]).pair == name
            models[name] = weakref.ref(here.resources.embedders._loadable(here.pair(name)))
        wait_until(lambda: held() == {"pair-4", "pair-5"})
        assert set(closed) >= {f"hash:32?seed={n}" for n in range(1, 5)}
        assert not {"hash:32?seed=5", "hash:32?seed=6"}.intersection(closed)
        standby = models["pair-4"]()
        elsewhere.rollback(reason="a test", catch_up=False)
        assert it.search(QUERIES[0]).pair == "pair-4"
        assert here.resources.embedders._loadable(here.pair("pair-4")) is standby, "nothing was loaded for it"


def test_a_model_is_not_closed_under_a_query_in_flight(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(HashingEmbedder, "close", lambda self: closed.append(self.spec))
    with store.searcher(follow=False) as searcher:
        searcher.search(QUERIES[0])
        serving = searcher._serving
    assert serving is not None
    in_flight = serving.open_pair
    embedders = store.resources.embedders
    model = embedders._loadable(store.pair("one"))
    embedders.let_go_unused()
    known = embedders._loadable(store.pair("one")) is model
    assert (known, closed) == (True, [])
    assert len(in_flight.queries.embed([QUERIES[0]])) == 1
    del serving, in_flight, model
    gc.collect()
    embedders.let_go_unused()
    assert closed == [ONE]
    with store.searcher(follow=False) as searcher:
        assert searcher.search(QUERIES[0]).pair == "one", "the next use opens it again"
