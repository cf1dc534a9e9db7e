"""The documents as they were: by change or time, minus what was deleted, with every vector that exists.

Covers corpus.earlier, corpus.travel, store.storage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, words
from tests.support.oracle import ONE, TWO, assert_passes, assert_serves
from vecrollback import Document, Store
from vecrollback.catalog import now
from vecrollback.errors import CorruptArtifactError, UsageError
from vecrollback.records import EarlierState


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Changes 1 to 20 bring d0 to d19; then some change, some go, some are new."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n), {"version": 0, "lang": "en"}) for n in range(20)])
        for name, spec in (("one", ONE), ("two", TWO)):
            store.promote(store.reembed(spec, name=name, index="Flat").wait())
        store.upsert([Document(f"d{n}", words(n, 1), {"version": 1}) for n in range(5)])
        store.upsert([Document("new", words(50))])
        store.delete(["d10", "d11"])
        for name in ("one", "two"):
            store.catch_up(name)
    return root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "store")
    with vecrollback.connect(tmp_path / "store") as store:
        yield store


def texts(store: Store) -> dict[str, str]:
    return {one.id: one.text for one in store.documents()}


FIRST = {f"d{n}": words(n) for n in range(20) if n not in (10, 11)}
LAST = FIRST | {f"d{n}": words(n, 1) for n in range(5)} | {"new": words(50)}


def test_the_plan_says_what_would_change_and_changes_nothing(store: Store) -> None:
    plan = store.time_travel.plan(20)
    assert plan.changed == tuple(f"d{n}" for n in range(5))
    assert plan.withdrawn == ("new",)
    assert plan.erased == ("d10", "d11")
    assert plan.embed == {"one": 0, "two": 0}
    assert texts(store) == LAST
    assert store.status()["corpus"]["head"] == plan.head == 28


def test_documents_are_what_they_were_and_no_text_is_embedded_again(store: Store) -> None:
    done = store.time_travel.rollback(20, reason="a faulty import")
    assert texts(store) == FIRST
    assert store.get(["d1"])["d1"].metadata == {"version": 0, "lang": "en"}
    assert [one.embedded for one in done.caught_up] == [0, 0]
    assert [one.lag for one in done.caught_up] == [0, 0]
    assert done.head == store.status()["corpus"]["head"] == 34
    assert_serves(store, FIRST)
    assert not any(hit.stale for hit in store.search(words(1), k=18).hits)
    for name in ("one", "two"):
        assert_passes(store.check(name, sample=EVERY_ROW))
    assert store.access.audit(1)[0].action == "corpus.rollback"
    assert store.time_travel.rollback(20, reason="again").plan.changes == 0
    assert [hit.id for hit in store.search("bread", k=20, where="version > 0").hits] == []


def test_a_rollback_of_the_documents_can_be_undone(store: Store) -> None:
    undo = store.time_travel.rollback(20, reason="a mistake").plan.head
    done = store.time_travel.rollback(undo, reason="the other way round")
    assert done.plan.returning == ("new",)
    assert texts(store) == LAST
    assert [one.embedded for one in done.caught_up] == [0, 0]
    assert_serves(store, LAST)


def test_what_is_new_can_be_kept(store: Store) -> None:
    done = store.time_travel.rollback(20, reason="a faulty import", keep_new=True)
    assert done.plan.kept_new == ("new",)
    assert texts(store) == FIRST | {"new": words(50)}


def test_a_deleted_document_never_returns(store: Store) -> None:
    store.upsert([Document("d10", "another text under the same id")])
    done = store.time_travel.rollback(20, reason="a test")
    assert done.plan.erased == ("d10", "d11")
    assert done.plan.withdrawn == ("d10", "new")
    assert texts(store) == FIRST
    # What went out by a rollback and is deleted after that is gone for good, too.
    store.delete(["new", "d1"])
    for point in (28, 20, 5):
        store.time_travel.rollback(point, reason="a test")
        assert not {"new", "d1", "d11"} & texts(store).keys()
    store.compact(purge=True)
    tables = [path.read_bytes() for path in (store.root / "tables").rglob("*.lance") if path.is_file()]
    held = b"".join(data for data in tables)
    assert words(2).encode() in held
    for gone in (words(50), words(1), words(1, 1), words(10), words(11)):
        assert gone.encode() not in held


def test_a_point_is_a_number_or_a_time(store: Store) -> None:
    at = now()
    store.upsert([Document("later", words(60)), Document("d0", words(0, 9))])
    assert store.time_travel.plan(at).to == 28
    assert store.time_travel.plan(at.replace("+00:00", "")).to == 28
    assert store.time_travel.plan("20").to == 20
    assert store.time_travel.plan("2001-01-01").to == 0
    assert set(store.time_travel.plan(0).withdrawn) == {*LAST, "later"}
    for wrong in ("yesterday", "", "-1"):
        with pytest.raises(UsageError, match="valid point"):
            store.time_travel.plan(wrong)
    with pytest.raises(UsageError, match="to changes 0 to 30"):
        store.time_travel.plan(31)
    with pytest.raises(UsageError, match="reason"):
        store.time_travel.rollback(20, reason=" ")
    assert store.status()["corpus"]["head"] == 30


def test_only_what_no_pair_has_is_embedded(store: Store) -> None:
    store.upsert([Document("d6", words(6, 1))])
    store.upsert([Document("d6", words(6, 2))])  # no catch-up in between: the text before has no vector anywhere
    store.catch_up("two")
    done = store.time_travel.rollback(29, reason="a test")
    assert done.plan.embed == {"one": 1, "two": 1}
    assert [one.embedded for one in done.caught_up] == [1, 1]
    assert store.get(["d6"])["d6"].text == words(6, 1)


def test_what_is_older_than_the_retention_goes_and_the_floor_says_so(store: Store) -> None:
    corpus = store.resources.corpus
    corpus.earlier.tidy(0.0, kept=-60, whole=True)
    assert corpus.earlier.state().floor == 28
    assert corpus.earlier.table.at(corpus.earlier.state().version).count_rows() == 0
    with pytest.raises(UsageError, match="to changes 28 to 28"):
        store.time_travel.plan(20)
    store.upsert([Document("d0", words(0, 3))])
    store.time_travel.rollback(28, reason="a test")
    assert texts(store) == LAST
    assert_passes(store.check("two", sample=EVERY_ROW))


def test_a_store_of_an_earlier_format_begins_to_keep_from_its_head(store: Store) -> None:
    ledger = store.resources.catalog.ledger
    ledger.name_earlier(EarlierState(0, 28), {}, expected=ledger.earlier())
    store.resources.corpus.earlier.table.discard()
    assert store.time_travel.plan(28).changes == 0
    store.upsert([Document("d0", words(0, 3))])
    store.time_travel.rollback(28, reason="a test")
    assert texts(store) == LAST


def test_queries_that_are_open_follow(store: Store) -> None:
    with store.searcher() as searcher:
        assert searcher.search(words(50), k=1).hits[0].id == "new"
        store.time_travel.rollback(20, reason="a test", catch_up=False)
        hits = searcher.search(words(50), k=20).hits
        assert "new" not in {hit.id for hit in hits}
        assert {hit.id: hit.text for hit in hits}["d1"] == words(1)
        assert {hit.id for hit in hits if hit.stale} == {f"d{n}" for n in range(5)}


def test_a_backup_holds_what_documents_were(store: Store, tmp_path: Path) -> None:
    store.backups.create(tmp_path / "all.backup")
    with vecrollback.connect(tmp_path / "new", create=True) as restored:
        restored.backups.restore(tmp_path / "all.backup")
        restored.time_travel.rollback(20, reason="a test")
        assert texts(restored) == FIRST
        assert_passes(restored.check("two", sample=EVERY_ROW))


def test_damage_to_what_documents_were_is_found_and_not_written_on(store: Store) -> None:
    corpus = store.resources.corpus
    path = store.root / "tables/earlier.lance" / corpus.earlier.table.manifest(corpus.earlier.state().version)
    sound = path.read_bytes()
    data = bytearray(sound)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with vecrollback.connect(store.root) as other:
        assert other.check("two").verdict == "fail"
        with pytest.raises(CorruptArtifactError, match="earlier"):
            other.upsert([Document("d1", "another")])
        other.upsert([Document("fresh", "new documents supersede nothing")])
    path.write_bytes(sound)
    with vecrollback.connect(store.root) as other:
        other.upsert([Document("d1", "another")])
        assert texts(other) == LAST | {"d1": "another", "fresh": "new documents supersede nothing"}
        other.catch_up("two")
        assert_passes(other.check("two"))
