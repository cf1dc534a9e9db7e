"""A view: the index, the rows after it, the newest text; never changed, and the next one costs only what changed.

Covers corpus.text_cache, serving.open_snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE, QUERIES, embedder, score
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Hit, Store
from vecrollback.pairs.vectors import KEY_COLUMNS, Vectors
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.masks import KEPT_FILTERS, Filter
from vecrollback.serving.open_pairs import OpenPairs, Position
from vecrollback.serving.view import PairView, without


@pytest.fixture
def opened(store: Store) -> Iterator[OpenPairs]:
    pairs = OpenPairs(store.resources)
    yield pairs
    pairs.keep_only(())


def view_of(store: Store, opened: OpenPairs, name: str = "one") -> PairView:
    pair = store.pair(name)
    return opened.at(Position(pair.ref, pair.vectors_version, pair.watermark)).view


def found(view: PairView, query: str = QUERIES[0], k: int = EVERYTHING, only: Filter | None = None) -> list[Hit]:
    [hits] = view.search(embedder(ONE).embed_queries([query]), k, only)
    return hits


def test_a_query_ends_with_the_view_it_began_with(store: Store, opened: OpenPairs) -> None:
    view = view_of(store, opened)
    before = found(view)
    store.upsert([Document("d1", words(80)), Document("new", words(81))])
    store.delete(["d2"])
    store.catch_up("one")
    after = view_of(store, opened)
    assert after is not view
    assert after.snapshot is view.snapshot, "the files are opened once"
    assert found(view) == before
    assert {hit.id for hit in found(after)} == (set(TEXTS) | {"new"}) - {"d2"}


def test_rows_after_the_index_are_searched_exactly_and_hide_the_older_ones(store: Store, opened: OpenPairs) -> None:
    store.upsert([Document("d1", words(80)), Document("new", words(81))])
    store.catch_up("one")
    view = view_of(store, opened)
    assert sorted(view.delta.ids) == ["d1", "new"]
    texts = TEXTS | {"d1": words(80), "new": words(81)}
    for query in QUERIES:
        hits = found(view, query)
        assert len(hits) == len(texts)
        assert {hit.id: hit.text for hit in hits} == texts
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(abs(hit.score - score(ONE, texts[hit.id], query)) < 1e-5 for hit in hits)
        assert not any(hit.stale for hit in hits)


def test_a_changed_document_answers_stale_with_today_s_text_until_it_is_caught_up(
    store: Store, opened: OpenPairs
) -> None:
    view_of(store, opened)
    store.upsert([Document("d1", "short", {"of": "today"})])
    [hit] = [hit for hit in found(view_of(store, opened)) if hit.id == "d1"]
    assert (hit.stale, hit.text, hit.metadata) == (True, "short", {"of": "today"})
    assert abs(hit.score - score(ONE, TEXTS["d1"], QUERIES[0])) < 1e-5, "by the vector of the text before"


def test_rows_after_the_index_are_read_once(store: Store, opened: OpenPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    keys = Vectors.keys

    def noted(self: Vectors, version: int, *, after: int = 0, columns: Sequence[str] = KEY_COLUMNS) -> pa.Table:
        table = keys(self, version, after=after, columns=columns)
        rows.append(table.num_rows)
        return table

    texts = dict(TEXTS)
    for number in range(6):
        texts |= {"d1": words(80 + number), f"new {number}": words(90 + number)}
        store.upsert([Document("d1", texts["d1"]), Document(f"new {number}", texts[f"new {number}"])])
        if number == 4:
            store.delete(["new 2"])
            del texts["new 2"]
        store.catch_up("one")
        with monkeypatch.context() as patch:
            patch.setattr(Vectors, "keys", noted)
            view = view_of(store, opened)
        if number == 3:
            store.compact()
    assert rows == [2] * 6
    assert sorted(view.delta.ids) == sorted({"d1", *(id_ for id_ in texts if id_ not in TEXTS)})
    for query in QUERIES:
        hits = found(view, query)
        assert {hit.id for hit in hits} == set(texts)
        assert all(hit.score == pytest.approx(score(ONE, texts[hit.id], query), abs=1e-5) for hit in hits)


def test_going_back_to_older_vectors_shows_what_the_newer_ones_hid(store: Store, opened: OpenPairs) -> None:
    old = store.pair("one")
    before = found(view_of(store, opened))
    store.upsert([Document("d1", words(80))])
    store.catch_up("one")
    found(view_of(store, opened))
    back = opened.at(Position(old.ref, old.vectors_version, old.watermark)).view
    assert [(hit.id, round(hit.score, 5)) for hit in found(back)] == [(hit.id, round(hit.score, 5)) for hit in before]
    assert [hit.id for hit in found(back) if hit.stale] == ["d1"]


@pytest.mark.parametrize("k", [1, 3, 6])
def test_k_documents_come_however_many_chunks_one_has(store: Store, k: int) -> None:
    store.reembed(f"{ONE}&chunk=tokens:2:1", name="chunked", index="Flat").wait()
    long = " ".join(["boats in the harbour"] * 40)
    store.upsert([Document("long", long)])
    store.catch_up("chunked")
    for rebuild in (False, True):
        if rebuild:
            store.snapshot("chunked", rebuild=True)
        opened = OpenPairs(store.resources)
        hits = found(view_of(store, opened, "chunked"), k=k)
        assert len({hit.id for hit in hits}) == len(hits) == k
        assert hits[0].id == "long"
        opened.keep_only(())


def test_no_more_rows_are_asked_for_than_a_filter_allows(
    store: Store, opened: OpenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert([Document(f"long {n}", " ".join(["boats in the harbour"] * 40)) for n in range(20)])
    store.upsert([Document("few", "boats in a harbour", namespace="few")])
    store.reembed(f"{ONE}&chunk=tokens:2:1", name="chunked", index="Flat").wait()
    store.upsert([Document("later", "boats in another harbour", namespace="few"), Document("d1", words(80))])
    store.catch_up("chunked")
    view = view_of(store, opened, "chunked")
    asked: list[int] = []
    search = type(view.snapshot.index).search

    def noted(self: object, queries: FloatArray, k: int, *rest: object) -> object:
        asked.append(k)
        return search(self, queries, k, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(view.snapshot.index), "search", noted)
    assert len(view.snapshot.ids) > 1_000
    assert {hit.id for hit in found(view, k=10, only=Filter("few"))} == {"few", "later"}
    some = Filter("", "some", lambda _texts: pa.array(["d2", "d3", "long 1"]))
    assert {hit.id for hit in found(view, k=10, only=some)} == {"d2", "d3", "long 1"}
    allowed = sum(id_ in {"d2", "d3", "long 1"} for id_ in view.snapshot.ids.to_pylist())
    assert asked[:2] == [40, 40]
    assert max(asked) == asked[-1] == allowed


def test_a_filter_asks_the_corpus_once_for_each_view(store: Store, opened: OpenPairs) -> None:
    asked = []

    def only(where: str, *ids: str) -> Filter:
        return Filter("", where, lambda _texts: asked.append(where) or pa.array(ids, pa.string()))

    view = view_of(store, opened)
    for _ in range(3):
        assert {hit.id for hit in found(view, only=only("a", "d1", "d2", "gone"))} == {"d1", "d2"}
    assert asked == ["a"]
    for number in range(KEPT_FILTERS + 1):
        assert [hit.id for hit in found(view, only=only(str(number), f"d{number}"))] == [f"d{number}"]
    store.delete(["d1"])
    later = view_of(store, opened)
    assert [hit.id for hit in found(later, only=only("a", "d1", "d2"))] == ["d2"]
    assert asked.count("a") == 2


def test_without_storage_the_deleted_are_left_out_of_index_and_later_rows(store: Store, opened: OpenPairs) -> None:
    store.upsert([Document("new", words(81)), Document("newer", words(82))])
    store.catch_up("one")
    view = view_of(store, opened)
    left = without(view, {"d1": 10**6, "new": 10**6})
    assert {hit.id for hit in found(left)} == (set(TEXTS) | {"newer"}) - {"d1"}
    assert {"d1", "new"} <= {hit.id for hit in found(view)}, "the view itself is what it was"
    assert without(view, {}) is view


def test_no_document_means_no_hit(store: Store, opened: OpenPairs) -> None:
    store.delete(list(TEXTS))
    assert found(view_of(store, opened)) == []
    assert view_of(store, opened).search(embedder(ONE).embed_queries(list(QUERIES)), 5) == [[], [], []]
