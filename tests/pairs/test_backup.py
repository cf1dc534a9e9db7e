"""A backup is of one moment, taken while everything runs, and a store again elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, prepare, words
from tests.support.oracle import EVERYTHING, ONE, QUERIES, assert_passes, assert_serves
from tests.support.spawner import spawn
from vecrollback import Document, Store
from vecrollback.errors import BundleError, CorruptArtifactError, PairStateError
from vecrollback.pairs.backup import verify

_RESTORE = """
import sys, vecrollback
with vecrollback.connect(sys.argv[1], create=True) as store:
    store.backups.restore(sys.argv[2])
"""
_CREATE = """
import sys, vecrollback
with vecrollback.connect(sys.argv[1]) as store:
    store.backups.create(sys.argv[2])
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("origin") / "store"
    prepare(root)
    with vecrollback.connect(root) as store:
        store.golden.add(QUERIES[0], {"d1": 1}, id="g1")
        store.access.create("reader", name="shop", actor="anna")
        store.rollback(reason="a test")
        (root / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0"]\n', encoding="utf-8")
        store.backups.create(root.parent / "all.backup")
    return root


@pytest.fixture
def file(origin: Path) -> Path:
    return origin.parent / "all.backup"


@pytest.fixture
def restored(file: Path, tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.backups.restore(file)
        yield store


def answers(store: Store) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in store.search(query, k=EVERYTHING).hits] for query in QUERIES]


def test_everything_is_there_and_the_next_promote_works(origin: Path, restored: Store) -> None:
    with vecrollback.connect(origin) as store:
        assert answers(restored) == answers(store)
        assert restored.history() == store.history()
        assert restored.pairs() == store.pairs()
        assert restored.resources.catalog.golden.all() == store.resources.catalog.golden.all()
        assert [one.number for one in restored.incidents.all()] == [one.number for one in store.incidents.all()]
        assert restored.access.tokens() == store.access.tokens()
        assert restored.resources.catalog.store_id != store.resources.catalog.store_id
    for pair in restored.pairs():
        restored.catch_up(pair)
        assert_passes(restored.check(pair, sample=EVERY_ROW))
    assert restored.promote("two", override=True, reason="it was quarantined").target.startswith("two@")
    restored.promote(restored.reembed("hash:32?seed=4", name="three", index="Flat").wait())
    assert restored.rollback(reason="back").target.startswith("two@")


def test_deleted_documents_stay_deleted_and_no_byte_of_them_is_there(restored: Store) -> None:
    assert not restored.get(["d20", "d21"])
    restored.catch_up("one")
    assert_serves(
        restored, {id_: one.text for id_, one in restored.get([f"d{n}" for n in range(30)] + ["new"]).items()}
    )
    stored = b"".join(path.read_bytes() for path in (restored.root / "tables/documents.lance/data").iterdir())
    assert words(5).encode() in stored
    assert words(20).encode() not in stored


def test_it_is_of_one_moment_while_everything_runs(tmp_path: Path) -> None:
    root = tmp_path / "store"
    prepare(root)
    ended = threading.Event()

    def disturb() -> None:
        with vecrollback.connect(root) as store:
            number = 0
            while not ended.is_set():
                number += 1
                store.upsert([Document(f"w{number}", words(number))])
                store.catch_up("two")
                store.restore("two@1", reason="again", catch_up=False) if number % 3 else store.rollback(
                    reason="back", catch_up=False
                )
                store.retention.tidy()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        with vecrollback.connect(root) as store:
            results = [store.backups.create(tmp_path / f"{number}.backup") for number in range(3)]
    finally:
        ended.set()
        thread.join()
    for number, result in enumerate(results):
        assert verify(tmp_path / f"{number}.backup") == result.contents
        with vecrollback.connect(tmp_path / f"new{number}", create=True) as store:
            store.backups.restore(tmp_path / f"{number}.backup")
            assert store.status()["corpus"]["head"] == result.contents.head
            store.catch_up("one")
            store.catch_up("two")
            assert_passes(store.check("one"))
            assert_passes(store.check("two"))


@pytest.mark.parametrize("point", ["backup.unpacked", "backup.erased", "backup.placed", "backup.registered"])
def test_a_restore_that_was_killed_is_done_anew(point: str, origin: Path, file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    killed(_RESTORE, new, file, point)
    with vecrollback.connect(new) as store:
        if point == "backup.registered":
            assert store.live().name == "one"
        else:
            assert store.pairs() == []
            store.backups.restore(file)
        with vecrollback.connect(origin) as before:
            assert answers(store) == answers(before)


@pytest.mark.parametrize("point", ["backup.files_written", "backup.written"])
def test_a_backup_that_was_killed_leaves_no_file(point: str, origin: Path, tmp_path: Path) -> None:
    target = tmp_path / "torn.backup"
    killed(_CREATE, origin, target, point)
    assert not target.exists()


def killed(code: str, store: Path, file: Path, point: str) -> None:
    process = spawn(["-c", code, str(store), str(file)], os.environ | {"VECROLLBACK_FAULT": point}, cwd=Path.cwd())
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors


def test_a_changed_byte_anywhere_is_found(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in range(7, len(data), len(data) // 40):
        changed = data.copy()
        changed[place] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(BundleError):
            verify(tmp_path / "changed")
    (tmp_path / "short").write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError), vecrollback.connect(tmp_path / "new", create=True) as store:
        store.backups.restore(tmp_path / "short")
    with vecrollback.connect(tmp_path / "new") as store:
        assert store.pairs() == []


def test_damage_is_not_backed_up(tmp_path: Path) -> None:
    prepare(tmp_path / "store")
    path = next((tmp_path / "store/tables/vectors-one.lance/data").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with vecrollback.connect(tmp_path / "store") as store, pytest.raises(CorruptArtifactError, match="vectors-one"):
        store.backups.create(tmp_path / "all.backup")
    assert not (tmp_path / "all.backup").exists()


def test_a_store_in_use_is_not_filled(origin: Path, file: Path) -> None:
    with vecrollback.connect(origin) as store, pytest.raises(PairStateError, match="empty store"):
        store.backups.restore(file)


def test_the_policy_of_the_store_comes_along(restored: Store) -> None:
    assert "[gates]" in (restored.root / "vecrollback.toml").read_text(encoding="utf-8")
    assert ONE in {pair.embedder for pair in restored.pairs()}
