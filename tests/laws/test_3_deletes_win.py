"""Law 3. A deleted document never returns, from no pair, old snapshot, restore or bundle."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, start, words
from tests.support.oracle import EVERYTHING, QUERIES, assert_passes
from tests.support.traffic import start_traffic, stop_traffic
from vecrollback import Document, Store


def shown(store: Store) -> dict[str, bool]:
    return {hit.id: hit.stale for query in QUERIES for hit in store.search(query, k=EVERYTHING).hits}


def test_deletes_win_over_old_snapshots_and_over_ids_added_again(root: Path, store: Store) -> None:
    with vecrollback.connect(root) as other:
        assert "d1" in shown(other)
        store.delete(["d1", "d2"])
        assert not {"d1", "d2"} & set(shown(other)), "a delete counts from the first query after it, in every process"
        store.upsert([Document("d2", "bread of another kind")])
        assert "d2" not in shown(other), "the vector of the deleted text must not stand for the new one"
        for ref in ("two@1", "one@1"):
            store.restore(ref, reason="a test", catch_up=False)
            assert not {"d1", "d2"} & set(shown(other))
        store.restore("two@1", reason="a test")
        assert shown(other)["d2"] is False
        assert "d1" not in shown(other)
        assert_passes(store.check("two"))


def test_deletes_win_over_a_pair_that_is_being_built(root: Path, store: Store) -> None:
    process = start(str(root), "reembed", VECROLLBACK_FAULT="vectors.appended")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    store.delete(["d1"])
    store.reembed("hash:32?seed=3", name="three", index="Flat").wait()
    store.promote("three")
    assert "d1" not in shown(store)
    assert_passes(store.check("three", sample=EVERY_ROW))


def test_deletes_win_to_the_last_byte_while_queries_with_filters_go_on(root: Path, store: Store) -> None:
    secret = "the one sentence that must be forgotten"
    store.upsert([Document("secret", secret, {"kind": "x"}), Document("open", "bread and boats", {"kind": "x"})])
    for name in ("one", "two"):
        store.catch_up(name)
    assert {hit.id for hit in store.search("bread", where="kind = 'x'").hits} == {"secret", "open"}
    busy = [start_traffic(root, "purge"), start_traffic(root, "write", "a")]
    store.delete(["secret"])
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        with vecrollback.connect(root) as fresh:
            assert {hit.id for hit in fresh.search("bread", where="kind = 'x'").hits} == {"open"}
    stop_traffic(*busy)
    store.compact(purge=True)
    left = [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not left, left


# -- over bundles -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(root: Path, store: Store, tmp_path: Path) -> Path:
    """Of `one`, with d1 to d9 in it; d5 was deleted before it was written."""
    store.delete(["d5"])
    store.catch_up("one")
    store.export_snapshot(store.snapshot("one").ref, tmp_path / "one.bundle")
    return tmp_path / "one.bundle"


def test_deletes_win_over_a_bundle_that_still_has_the_document(bundle: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.upsert([Document("d1", words(1))])
        store.delete(["d1", "d3"])
        store.import_snapshot(bundle)
        assert store.get(["d1", "d3"]) == {}
        for step in (
            lambda: store.promote("one"),
            lambda: store.catch_up("one"),
            lambda: store.snapshot(rebuild=True),
        ):
            step()
            assert "d2" in shown(store)
            assert not shown(store).keys() & {"d1", "d3", "d5"}
            assert_passes(store.check("one", sample=EVERY_ROW))


def test_deletes_win_over_a_bundle_that_is_older_than_the_delete(root: Path, store: Store, bundle: Path) -> None:
    store.delete(["d1"])
    store.close()
    shutil.rmtree(root / "artifacts")
    with vecrollback.connect(root) as later:
        later.import_snapshot(bundle)
        later.restore("one@2", reason="a test")
        assert "d1" not in shown(later)
        later.import_snapshot(bundle, name="copy")
        later.promote("copy")
        assert "d1" not in shown(later)
        assert_passes(later.check("copy", sample=EVERY_ROW))
