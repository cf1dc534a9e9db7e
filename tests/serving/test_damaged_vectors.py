"""A pair whose newer vectors are gone still answers, and says what it lacks: no query dies with a rollback to it.

Covers serving.open_pairs.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

import vecrollback
from tests.support.http_server import serving
from tests.support.operations import words
from tests.support.two_pairs import TEXTS
from tests.support.waiting import wait_for
from vecrollback import Document, Store
from vecrollback.errors import CorruptArtifactError
from vecrollback.serving.open_pairs import _AWAY_SECONDS


@pytest.fixture
def lost(root: Path) -> Path:
    """One document changed, one new and one deleted since the pairs were built; then the table of `two` is gone."""
    with vecrollback.connect(root) as store:
        store.upsert([Document("d3", words(33)), Document("new", words(80))])
        store.delete(["d4"])
        for name in ("one", "two"):
            store.catch_up(name)
    shutil.move(root / "tables/vectors-two.lance", root / "lost")
    return root


def test_a_pair_that_is_rolled_back_to_answers_from_its_index_and_marks_what_changed(lost: Path) -> None:
    with vecrollback.connect(lost) as store, store.searcher() as searcher:
        assert searcher.search(TEXTS["d7"]).current
        wait_for("the searcher to be known", lambda: store.resources.catalog.searchers.alive("live"))
        moved = store.rollback(reason="worse answers", wait=20)
        assert (moved.target, moved.searchers.acknowledged, moved.searchers.missing) == ("two@1", 1, ())
        assert "vectors-two" in moved.trouble
        result = searcher.search(TEXTS["d7"], k=30)
        assert (result.pair, result.current, result.hits[0].id) == ("two", False, "d7")
        assert "vectors-two" in searcher.trouble
        by_id = {hit.id: hit for hit in result.hits}
        assert set(by_id) == set(TEXTS) - {"d4"}, "a deleted document, or one of another pair"
        assert (by_id["d3"].stale, by_id["d3"].text) == (True, words(33))
        assert not any(hit.stale for hit in result.hits if hit.id != "d3")


def test_a_document_deleted_afterwards_is_in_no_answer(lost: Path) -> None:
    with vecrollback.connect(lost) as store, store.searcher() as searcher:
        store.rollback(reason="worse answers")
        assert "d7" in {hit.id for hit in searcher.search(TEXTS["d7"], k=30).hits}
        store.delete(["d7"])
        assert "d7" not in {hit.id for hit in searcher.search(TEXTS["d7"], k=30).hits}


def test_it_is_whole_again_when_the_files_are_back(lost: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.serving.open_pairs._AWAY_SECONDS", 0.0)
    with vecrollback.connect(lost) as store, store.searcher() as searcher:
        store.rollback(reason="worse answers")
        assert not searcher.search(TEXTS["d7"]).current
        shutil.move(lost / "lost", lost / "tables/vectors-two.lance")
        result = searcher.search(TEXTS["d7"], k=31)
        assert (result.current, searcher.trouble) == (True, "")
        assert "new" in {hit.id for hit in result.hits}
        assert not any(hit.stale for hit in result.hits)


def test_what_a_searcher_holds_open_goes_on_answering_when_the_table_goes(
    root: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with store.searcher() as searcher:
        assert searcher.search(TEXTS["d7"]).current
        store.upsert([Document("new", words(80))])
        store.catch_up("one")
        shutil.rmtree(root / "tables/vectors-one.lance")
        store.delete(["d7"])
        with caplog.at_level(logging.ERROR):
            answers = [searcher.search(TEXTS["d7"], k=30) for _ in range(20)]
        assert not any(answer.current for answer in answers)
        assert not any("d7" in {hit.id for hit in answer.hits} for answer in answers)
        assert [record for record in caplog.records if "answers without its newer vectors" in record.message]
    assert store.check("one").verdict == "fail"


def test_files_are_not_tried_again_for_each_query(lost: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vecrollback.connect(lost) as store, store.searcher(follow=False) as searcher:
        store.rollback(reason="worse answers")
        searcher.search(TEXTS["d7"])
        reads: list[object] = []
        monkeypatch.setattr("vecrollback.pairs.vectors.Vectors.keys", lambda *_, **__: reads.append(1))
        for _ in range(10):
            searcher.search(TEXTS["d7"])
        assert reads == [], f"within {_AWAY_SECONDS} s"


def test_a_server_that_answers_so_says_which_files_are_gone(lost: Path) -> None:
    with serving(lost) as server:
        done = server.post("/v1/rollback", {"reason": "worse answers", "wait": True}).json()
        assert (done["searchers"]["acknowledged"], done["searchers"]["missing"]) == (1, [])
        answer = server.post("/v1/search", {"query": TEXTS["d7"]})
        assert answer.status_code == 200
        assert (answer.json()["pair"], answer.json()["current"]) == ("two", False)
        wait_for("readiness to tell", lambda: "vectors-two" in server.get("/readyz").json()["reason"])
        assert server.get("/readyz").status_code == 200


def test_a_pair_without_its_index_is_refused_as_before(root: Path, store: Store) -> None:
    _, manifest = store.manifest("two")
    for name in manifest.index.artifacts:
        target = root / "artifacts" / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(CorruptArtifactError):
        store.restore("two@1", reason="back")
