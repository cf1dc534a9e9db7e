"""Whatever reads files to write new ones compares them first: damage is refused, and no copy of it passes a check."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import ONE
from vecrollback import Document
from vecrollback.errors import CorruptArtifactError, FailedError, TimeWentBackError

KINDS = {f"d{n}": ("bicycle", "lantern")[n % 2] for n in range(24)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` is live and was built in several files; documents have a column to filter by."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        documents = [Document(id_, words(int(id_[1:])), {"kind": kind}) for id_, kind in KINDS.items()]
        store.upsert(documents[:12])
        store.reembed(ONE, name="one", index="Flat").wait()
        store.promote("one")
        store.upsert(documents[12:])
        store.catch_up("one")
    return root


def flip(path: Path, where: bytes) -> None:
    """Change the case of the first letter of this, the last time that it stands in the file."""
    data = bytearray(path.read_bytes())
    at = data.rindex(where)
    data[at] ^= 0x20
    path.write_bytes(data)


def damaged_filter(root: Path) -> Path:
    """A filter column of one document says `Bicycle`; its text and metadata are as they were."""
    [path] = [p for p in sorted((root / "tables/documents.lance/data").iterdir()) if b"bicycle" in p.read_bytes()][:1]
    data = path.read_bytes()
    bare = [i for i in range(len(data)) if data.startswith(b"bicycle", i) and data[i - 1 : i] != b'"']
    assert bare
    path.write_bytes(data[: bare[0]] + b"B" + data[bare[0] + 1 :])
    return path


def damaged_vectors(root: Path, pair: str = "one") -> Path:
    """A byte in the middle of the largest file of vectors is another one."""
    path = max((root / f"tables/vectors-{pair}.lance/data").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("purge", [False, True])
def test_compact_refuses_to_copy_damage(root: Path, purge: bool) -> None:
    with vecrollback.connect(root) as store:
        store.delete(["d3"])
    path = damaged_filter(root)
    with vecrollback.connect(root) as store:
        assert store.check("one").verdict == "fail"
        with pytest.raises(CorruptArtifactError, match=path.name) as refused:
            store.compact(purge=purge)
        assert "backup" in refused.value.hint
        assert "file_corrupt" in {finding.kind for finding in store.check("one").findings}
        store.upsert([Document("new", "boats")])  # beside the damage, which stays damage
        assert "file_corrupt" in {finding.kind for finding in store.check("one").findings}


def test_a_compaction_on_its_own_leaves_damage_where_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vecrollback.storage.lance_table._FRAGMENTS_OF_A_TIER", 0)
    path = damaged_filter(root)
    with vecrollback.connect(root) as store:
        assert store.upsert([Document("new", "boats")]).written == 1
        assert path.name in caplog.text
        assert "new" in store.get(["new"])
        assert "file_corrupt" in {finding.kind for finding in store.check("one").findings}


def test_a_sound_compaction_keeps_the_digests_of_files_it_did_not_write(root: Path) -> None:
    """Read again, damage to them would be taken for what was written."""
    with vecrollback.connect(root) as store:
        before = store.resources.catalog.files.of("documents")
        store.compact()
        after = store.resources.catalog.files.of("documents")
        assert all(after[name] == digest for name, digest in before.items() if name in after)
        assert store.check("one").verdict == "pass"
        assert {hit.id for hit in store.search("boats", k=50, where="kind = 'bicycle'").hits} == {
            id_ for id_, kind in KINDS.items() if kind == "bicycle"
        }


@pytest.mark.parametrize("write", ["upsert", "delete", "compact"])
def test_no_version_is_made_from_a_damaged_manifest(root: Path, write: str) -> None:
    with vecrollback.connect(root) as store:
        version = store.resources.corpus.state().version
        manifest = root / "tables/documents.lance" / store.resources.corpus.table.manifest(version)
    flip(manifest, b"kind")
    with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError, match="manifest"):
        {
            "upsert": lambda: store.upsert([Document("new", "boats")]),
            "delete": lambda: store.delete(["d1"]),
            "compact": store.compact,
        }[write]()


def test_no_list_of_deleted_rows_is_carried_on_damaged(root: Path) -> None:
    with vecrollback.connect(root) as store:
        store.delete(["d1"])
    [path] = (root / "tables/documents.lance/_deletions").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with vecrollback.connect(root) as store, pytest.raises(FailedError, match=path.name):
        store.delete(["d2"])


def test_no_index_is_built_over_damaged_vectors(root: Path) -> None:
    path = damaged_vectors(root)
    with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError, match=path.name) as refused:
        store.snapshot("one", rebuild=True)
    assert "snapshot import" in refused.value.hint


@pytest.mark.parametrize("damage", [damaged_vectors, damaged_filter])
def test_no_bundle_holds_damage(root: Path, tmp_path: Path, damage: Callable[[Path], Path]) -> None:
    path = damage(root)
    with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError, match=path.name):
        store.export_snapshot("one", tmp_path / "one.bundle")
    assert not (tmp_path / "one.bundle").exists()


def test_no_bundle_is_taken_with_damage(root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "one.bundle"
    with vecrollback.connect(root) as store:
        store.export_snapshot("one", bundle)
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 0xFF
    bundle.write_bytes(data)
    with vecrollback.connect(tmp_path / "other", create=True) as other:
        with pytest.raises(vecrollback.VecrollbackError):
            other.import_snapshot(bundle)
        assert other.pairs() == []


def test_a_copy_of_a_store_is_as_damaged_as_the_store(root: Path, tmp_path: Path) -> None:
    damaged_filter(root)
    with vecrollback.connect(root) as store:
        store.resources.copy_to(tmp_path / "copy")
    with vecrollback.connect(tmp_path / "copy") as copy:
        assert "file_corrupt" in {finding.kind for finding in copy.check("one").findings}


def test_no_damaged_vector_is_used_again(root: Path) -> None:
    """A text that comes back has vectors in the table; those of a damaged file are made anew."""
    with vecrollback.connect(root) as store:
        store.upsert([Document("d1", words(1, 9), {"kind": "lantern"})])
        store.catch_up("one")
    damaged_vectors(root)
    with vecrollback.connect(root) as store:
        store.upsert([Document("d1", words(1), {"kind": "lantern"})])
        store.catch_up("one")
        [hit] = store.search(words(1), k=1).hits
        assert (hit.id, hit.stale) == ("d1", False)
        assert hit.score > 0.999


def test_sound_vectors_are_used_again(root: Path) -> None:
    with vecrollback.connect(root) as store:
        store.upsert([Document("d1", words(1, 9), {"kind": "lantern"})])
        store.catch_up("one")
        store.upsert([Document("d1", words(1), {"kind": "lantern"})])
        assert store.catch_up("one").embedded == 0


# -- an older catalog -------------------------------------------------------------------------------------------------


def older_catalog(root: Path, *, purge: bool) -> dict[str, str]:
    """Put back the catalog of before some writes and a compaction; what the documents were at the end."""
    shutil.copy(root / "catalog.db", root.parent / "older.db")
    with vecrollback.connect(root) as store:
        for n in range(4):
            store.upsert([Document(f"late{n}", words(200 + n), {"kind": "lantern"})])
        store.delete(["d5"])
        store.compact(purge=purge)
        texts = {id_: one.text for id_, one in store.get([*KINDS, *(f"late{n}" for n in range(4))]).items()}
    with sqlite3.connect(root / "catalog.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for extra in ("catalog.db-wal", "catalog.db-shm"):
        (root / extra).unlink(missing_ok=True)
    shutil.copy(root / "catalog.db", root.parent / "newer.db")
    shutil.copy(root.parent / "older.db", root / "catalog.db")
    return texts


@pytest.fixture
def settled(root: Path) -> Path:
    """The same, with all of the catalog in one file."""
    with sqlite3.connect(root / "catalog.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for extra in ("catalog.db-wal", "catalog.db-shm"):
        (root / extra).unlink(missing_ok=True)
    return root


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in (root / "tables").rglob("*") if path.is_file()}


@pytest.mark.parametrize("witnessed", [True, False])
def test_an_older_catalog_refuses_writes_and_sets_nothing_aside(settled: Path, witnessed: bool) -> None:
    """With the marks of the witness, and without, as in a store of an earlier version: then the tables alone tell."""
    root = settled
    texts = older_catalog(root, purge=True)
    if not witnessed:
        shutil.rmtree(root / "witness")
    before = tree(root)
    error, says, cure = (
        (TimeWentBackError, "the catalog went back in time", "Put it back")
        if witnessed
        else (CorruptArtifactError, "the catalog is older than the tables", "put back the catalog")
    )
    with vecrollback.connect(root) as store:
        writes: list[Callable[[], object]] = [
            lambda: store.upsert([Document("new", "boats")]),
            lambda: store.delete(["d1"]),
            store.compact,
        ]
        for write in writes:
            with pytest.raises(error, match=says) as refused:
                write()
            assert cure in refused.value.hint
        with pytest.raises(CorruptArtifactError, match="the catalog is older than the tables"):
            store.get(["d1"])
    assert tree(root) == before
    shutil.copy(root.parent / "newer.db", root / "catalog.db")
    for extra in ("catalog.db-wal", "catalog.db-shm"):
        (root / extra).unlink(missing_ok=True)
    with vecrollback.connect(root) as store:
        assert {id_: one.text for id_, one in store.get(list(texts)).items()} == texts
        store.upsert([Document("new", "boats")])
        store.catch_up("one")
        assert store.check("one").verdict == "pass"


@pytest.mark.parametrize("witnessed", [True, False])
def test_an_older_catalog_whose_versions_are_there_takes_in_what_came_after(settled: Path, witnessed: bool) -> None:
    texts = older_catalog(settled, purge=False)
    if not witnessed:
        shutil.rmtree(settled / "witness")
    with vecrollback.connect(settled) as store:
        if witnessed:
            with pytest.raises(TimeWentBackError):
                store.upsert([Document("new", "boats")])
            assert store.reconcile() is not None
        store.upsert([Document("new", "boats")])
        assert {id_: one.text for id_, one in store.get(list(texts)).items()} == texts
        assert "d5" not in store.get(["d5"])
        store.catch_up("one")
        assert store.check("one").verdict == "pass"
