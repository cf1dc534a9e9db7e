"""Deletes noted outside of the store never come back with an older copy of it. Covers corpus.erasures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from vecrollback import Document, Store, connect
from vecrollback.corpus.erasures import Erasure, ErasureFile
from vecrollback.errors import UsageError

MODEL = "hash:32?seed=1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = connect(tmp_path / "store", create=True)
    store.upsert([Document(name, f"{name} and cheese") for name in ("ham", "egg", "leek", "beet")])
    store.upsert([Document("ham", "a tenant's ham")], namespace="kb")
    store.reembed(MODEL, name="v1").wait()
    store.promote("v1", reason="first")
    return store


def copy_of(store: Store, to: Path) -> Path:
    """The whole directory, by another process: one that reads a database it has open loses its locks."""
    subprocess.run(["cp", "-R", store.uri, str(to)], check=True)
    return to


def test_a_directory_that_was_put_back_takes_what_was_deleted_after_it(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "outside" / "erasures.jsonl"
    old = copy_of(store, tmp_path / "old")
    store.delete(["ham", "never there"])
    store.delete(["ham"], namespace="kb")
    assert store.export_erasures(file).written == 3
    assert file.stat().st_mode & 0o777 == 0o600
    assert store.export_erasures(file).written == 0
    with connect(old) as restored:
        assert restored.search("ham and cheese", k=1).hits[0].id == "ham"
        told = restored.export_erasures(file)
        assert (told.written, told.missing) == (0, 3)
        planned = restored.apply_erasures(file, dry_run=True)
        assert (planned.deleted, planned.noted) == (("ham", "kb/ham"), 1)
        assert restored.get(["ham"])
        assert restored.apply_erasures(file).deleted == ("ham", "kb/ham")
        assert {hit.id for hit in restored.search("ham and cheese", k=10).hits} == {"egg", "leek", "beet"}
        again = restored.apply_erasures(file)
        assert (again.deleted, again.noted) == ((), 0)
        restored.catch_up("v1")
        assert restored.check("v1").verdict == "pass"


def test_what_is_written_into_the_copy_after_the_file_was_applied_stays(store: Store, tmp_path: Path) -> None:
    file, old = tmp_path / "erasures.jsonl", copy_of(store, tmp_path / "old")
    store.upsert([Document(f"more {number}", "of it") for number in range(50)])  # its numbers run ahead of the copy's
    store.delete(["ham"])
    store.export_erasures(file)
    with connect(old) as restored:
        restored.upsert([Document("ham", "written before anybody thought of the file")])
        assert restored.apply_erasures(file).deleted == ("ham",)
        restored.upsert([Document("ham", "wanted again")])
        assert restored.apply_erasures(file).deleted == ()
        assert restored.get(["ham"])["ham"].text == "wanted again"
        restored.delete(["ham"])
        assert restored.export_erasures(file).missing == 0


def test_a_document_deleted_twice_is_taken_out_of_a_copy_from_between(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "erasures.jsonl"
    store.delete(["ham"])
    store.upsert([Document("ham", "back for a day")])
    old = copy_of(store, tmp_path / "old")
    store.delete(["ham"])
    store.export_erasures(file)
    with connect(old) as restored:
        assert restored.apply_erasures(file).deleted == ("ham",)
        assert restored.get(["ham"]) == {}


def test_a_store_restored_from_a_backup_names_the_store_it_came_from(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "erasures.jsonl"
    store.backups.create(tmp_path / "all.backup")
    store.delete(["egg"])
    store.export_erasures(file)
    with connect(tmp_path / "new", create=True) as new:
        new.backups.restore(tmp_path / "all.backup")
    with connect(tmp_path / "new") as new:
        with pytest.raises(UsageError) as refused:
            new.apply_erasures(file)
        [origin] = ErasureFile(file).read().stores
        assert origin in refused.value.message
        assert new.apply_erasures(file, copy_of=origin).deleted == ("egg",)
        assert new.apply_erasures(file, copy_of=origin).deleted == ()


def test_a_rollback_of_the_corpus_is_no_erasure(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "erasures.jsonl"
    head = store.status()["corpus"]["head"]
    store.upsert([Document("late", "written too late")])
    store.time_travel.rollback(str(head), reason="as it was")
    assert store.export_erasures(file).written == 0
    store.delete(["late"])
    assert store.export_erasures(file).written == 1


def test_each_delete_is_noted_as_it_is_made_and_status_tells_a_copy_that_lacks_some(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "erasures.jsonl"
    old = copy_of(store, tmp_path / "old")
    monkeypatch.setenv("VECROLLBACK_ERASURES", str(file))
    with connect(store.uri) as noting:
        assert storage_line(noting)[0] == "note"
        noting.delete(where={"$not": {"id": {"$exists": True}}}, namespace="kb")
        noting.delete(["ham"])
        assert storage_line(noting)[0] == "ok"
        assert [line["id"] for line in map(json.loads, file.read_text().splitlines())] == ["ham", "ham"]
    with connect(old) as restored:
        state, sentence, command = storage_line(restored)
        assert (state, command) == ("alert", f"vecrollback erasures apply {file}")
        assert "2 deletes" in sentence
        restored.apply_erasures(file)
        assert storage_line(restored)[0] == "ok"
        assert len(file.read_text().splitlines()) == 4  # each was noted once by either store


def storage_line(store: Store) -> tuple[str, str, str]:
    line = store.situation().line("storage")
    return line.state, line.sentence, line.command


def test_a_delete_stands_where_it_cannot_be_noted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VECROLLBACK_ERASURES", str(tmp_path / "store" / "catalog.db" / "no folder"))
    with connect(store.uri) as noting:
        assert noting.delete(["ham"]).deleted == 1
    assert "could not take in what was deleted, 1 in number" in caplog.text
    assert store.export_erasures(tmp_path / "later.jsonl").written == 1


def test_a_line_cut_off_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    file = ErasureFile(tmp_path / "erasures.jsonl")
    file.add([Erasure("s", "a", 1), Erasure("s", "b\u2028\x85", 2)])
    os.truncate(file.path, file.path.stat().st_size - 5)
    file.add([Erasure("s", "c", 3)])
    notes = file.read()
    assert ([erasure.key for erasure in notes.erasures], notes.unreadable) == (["a", "c"], 1)


@pytest.mark.parametrize(
    "content", ["not json\n", '{"id": "a"}\n', "[]\n", "[" * 100_000, '{"erasure": 2, "id": "a"}\n']
)
def test_another_file_is_refused(store: Store, tmp_path: Path, content: str) -> None:
    (tmp_path / "other").write_text(content)
    with pytest.raises(UsageError):
        store.apply_erasures(tmp_path / "other")
    with pytest.raises(UsageError):
        store.apply_erasures(tmp_path / "nothing there")
