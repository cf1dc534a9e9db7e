"""Writing says what it changed and can be waited for; documents are listed, counted and deleted by filter.

The same through a store and through a client of a real server without a worker.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vecrollback import Client, Document, Store, WriteResult, connect
from vecrollback.errors import (
    BadDocumentError,
    BadFilterError,
    DocumentExistsError,
    EmbedderSpecError,
    NoPairServesError,
    NotVisibleError,
    UsageError,
)

MODEL = "hash:64?seed=3"
FRUIT = [Document(f"d{n:02}", f"crate number {n} of apples", {"n": n, "even": n % 2 == 0}) for n in range(20)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with connect(root, create=True, embedder=MODEL) as store:
        store.upsert(FRUIT, visible=True)
    return root


@pytest.fixture
def place(root: Path) -> Path:
    return root


def test_what_was_written_visibly_is_found_at_once_and_a_write_says_what_it_changed(door: Store | Client) -> None:
    new = [Document("new", "quinces and medlars"), FRUIT[0], Document("d01", "pears instead", {"n": 1})]
    assert door.upsert(new, visible=True) == WriteResult(22, written=2, unchanged=1)
    assert door.search("quinces and medlars", k=1).hits[0].id == "new"
    assert not any(hit.stale for hit in door.search("pears instead", k=3).hits)
    assert door.upsert(new, visible=True) == WriteResult(22, unchanged=3)
    later = door.upsert([Document("later", "sloes from the hedge")])
    door.wait(later.head)
    assert door.search("sloes from the hedge", k=1).hits[0].id == "later"
    assert door.delete(["later", "never-was"]) == WriteResult(25, unchanged=1, deleted=1)
    with pytest.raises(UsageError, match="there is no 99"):
        door.wait(99)


def test_only_new_documents_are_written_where_that_is_asked_for(door: Store | Client) -> None:
    both = [Document("d00", "changed"), Document("new", "fresh")]
    with pytest.raises(DocumentExistsError, match="d00") as refused:
        door.upsert(both, if_absent="fail")
    assert "skip" in refused.value.hint
    assert door.get(["d00", "new"]) == {"d00": FRUIT[0]}
    assert door.upsert(both, if_absent="skip") == WriteResult(21, written=1, unchanged=1)
    assert door.get(["d00", "new"]) == {"d00": FRUIT[0], "new": both[1]}
    door.delete(["new"])
    assert door.upsert(both, if_absent="skip").written == 1  # a deleted one is absent


def test_documents_are_listed_in_the_order_of_their_ids_and_counted(door: Store | Client) -> None:
    assert list(door.documents()) == FRUIT
    assert [one.id for one in door.documents(after="d16")] == ["d17", "d18", "d19"]
    assert [one.id for one in door.documents({"n": {"$gte": 5}}, after="d07x", limit=2)] == ["d08", "d09"]
    assert list(door.documents(limit=0)) == []
    assert (door.count(), door.count("even"), door.count({"n": {"$gt": 100}})) == (20, 10, 0)
    with pytest.raises(UsageError):
        list(door.documents(limit=-1))
    with pytest.raises(BadFilterError):
        door.count("n >")


def test_a_filter_deletes_what_it_matches_and_nothing_deletes_everything_by_accident(door: Store | Client) -> None:
    assert door.delete(where={"n": {"$lt": 5}}).deleted == 5
    assert door.count() == 15
    assert {hit.id for hit in door.search("crate number 3 of apples", k=20).hits} == {one.id for one in FRUIT[5:]}
    for wrong in ({}, {"where": {}}, {"where": ""}, {"ids": ["d09"], "where": "even"}):
        with pytest.raises(UsageError):
            door.delete(**wrong)
    for method in (door.delete, door.get):
        with pytest.raises(UsageError, match="not one string"):
            method("d09")
    assert door.count() == 15


def test_a_listing_goes_on_while_documents_are_written_and_purged(place: Path) -> None:
    with connect(place) as store:
        listing = store.documents()
        first = [next(listing).id for _ in range(3)]
        store.delete(["d04"])
        store.upsert([Document("d20", "later")])
        store.compact(purge=True)
        ids = first + [one.id for one in listing]
    assert sorted(set(ids)) == ids
    assert {one.id for one in FRUIT} - {"d04"} <= set(ids)


def test_of_two_writers_of_one_new_id_one_writes_it(place: Path) -> None:
    outcomes: list[int] = []

    def write(number: int) -> None:
        with connect(place) as store:
            outcomes.append(store.upsert([Document("new", f"from {number}")], if_absent="skip").written)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0, 0, 0, 1]


def test_a_store_without_a_pair_answers_nothing_and_says_why(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        result = store.search("anything")
        assert (result.pair, result.hits) == ("", [])
        assert "reembed" in result.reason
        with pytest.raises(NoPairServesError):
            store.upsert(FRUIT, visible=True)
        assert store.count() == 0
        with pytest.raises(EmbedderSpecError):
            connect(tmp_path / "store", embedder="nonsense:")
    with connect(tmp_path / "store", embedder=MODEL) as store:
        assert "holds no documents" in store.search("anything").reason
        store.upsert(FRUIT[:1])
        assert "1 changes of the log are not in pair" in store.search("anything").reason
        store.upsert(FRUIT[:1], visible=True)
        result = store.search("anything", where="n = 7")
        assert result.reason == "no document matches `where`"
        assert (result.metric, result.dimension) == ("cosine", 64)
        assert result.fingerprint == store.live().fingerprint
    with connect(tmp_path / "store", embedder="hash:32") as store:
        assert [pair.embedder for pair in store.pairs()] == [MODEL]


def test_whoever_waits_too_long_is_told_how_far_it_is(place: Path) -> None:
    with connect(place) as store:
        late = store.upsert([Document("late", "medlars")])
        with store.resources.catalog.lock("pair-" + store.live().name), pytest.raises(NotVisibleError) as waited:
            store.wait(late.head, timeout=0.3)
        assert (waited.value.watermark, waited.value.seq) == (20, 21)
        assert "worker" in waited.value.hint
        store.wait(late.head)


def test_the_key_of_a_cache_changes_with_what_an_answer_depends_on(place: Path) -> None:
    with connect(place) as store:
        keys = [store.search("apples").cache_key]
        assert store.search("pears").cache_key == keys[0]
        store.upsert([Document("new", "quinces")])
        keys.append(store.search("apples").cache_key)
        store.catch_up(store.live())
        keys.append(store.search("apples").cache_key)
        store.promote(store.reembed("hash:64?seed=4", name="v2").wait(), reason="newer")
        keys.append(store.search("apples").cache_key)
        assert len(set(keys)) == 4
        store.rollback(reason="worse")
        assert store.search("apples").cache_key == keys[2]


def test_every_listener_hears_of_a_move_and_one_that_fails_stops_nothing(place: Path) -> None:
    heard: list[str] = []
    with connect(place) as store:

        def broken(_: object) -> None:
            raise RuntimeError("not my day")

        store.on_move(broken)
        store.on_move(lambda moved: heard.append(moved.target))
        store.on_move(lambda moved: heard.append(moved.target))
        store.promote(store.reembed("hash:64?seed=4", name="v2").wait(), reason="newer")
        assert heard == ["v2@1", "v2@1"]


def test_a_notebook_shows_a_result_as_a_table_and_nothing_in_it_is_markup(place: Path) -> None:
    with connect(place) as store:
        store.upsert([Document("<b>", "<script>alert(1)</script> quinces")], visible=True)
        shown = store.search("quinces script alert", k=3)._repr_html_()
    assert shown.count("<tr>") == 4
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>" not in shown
    assert "epoch 1" in shown


def test_ids_are_valid(place: Path) -> None:
    with connect(place) as store, pytest.raises(BadDocumentError):
        store.delete([" "])


def test_an_option_that_ingest_does_not_have_is_refused_before_anything_is_read(place: Path, tmp_path: Path) -> None:
    with connect(place) as store:
        (tmp_path / "one.jsonl").write_text('{"id": "one", "text": "first"}')
        before = store.status()["corpus"]["head"]
        for options in ({"dryrun": True}, {"mirror": True, "dryrun": True}, {"id_feild": "id"}, {"texts": None}):
            with pytest.raises(UsageError, match="ingest has no option") as refused:
                store.ingest(tmp_path / "one.jsonl", **options)  # type: ignore[call-arg]
            assert "dry_run" in refused.value.hint and "id_field" in refused.value.hint
            with pytest.raises(UsageError, match="ingest has no option"):
                store.ingest("nowhere.jsonl", **options)  # type: ignore[call-arg]
        assert (store.count(), store.status()["corpus"]["head"]) == (len(FRUIT), before)
        with pytest.raises(UsageError, match="did you mean 'dry_run'"):
            store.ingest("nowhere.jsonl", dryrun=True)  # type: ignore[call-arg]
