"""Writing a snapshot: it names an index and the rows after it, costs what changed, and is as exact as it says.

Covers pairs.manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.operations import words
from tests.support.oracle import assert_passes, assert_serves
from tests.support.two_pairs import TEXTS, build
from vecrollback import Document, Store, connect
from vecrollback.errors import IndexSpecError, RecallTooLowError
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.pairs.snapshots import load_ids
from vecrollback.reembedding import builder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store")


def manifest(store: Store, ref: str) -> Manifest:
    return load_manifest(store.resources.artifacts, store.resources.catalog.pairs.find_snapshot(ref).manifest)


def test_without_a_new_index_it_takes_the_one_before_and_the_rows_since(root: Path, store: Store) -> None:
    files = set((root / "artifacts").iterdir())
    store.upsert([Document("new", words(80)), Document("d1", words(81))])
    store.delete(["d2"])
    store.catch_up("one")
    taken = store.snapshot("one")
    first, second = manifest(store, "one@1"), manifest(store, taken.ref)
    assert second.index == first.index
    assert (first.watermark, second.watermark) == (30, 33)
    assert second.rows > first.rows == first.index.rows
    made = set((root / "artifacts").iterdir()) - files
    assert {path.suffix for path in made} == {".json"}, "a manifest, and nothing that grows with the corpus"


def test_a_new_index_holds_every_live_chunk_and_nothing_else(store: Store) -> None:
    store.upsert([Document("new", words(80)), Document("d1", words(81)), Document("blank", " ")])
    store.delete(["d2"])
    store.catch_up("one")
    taken = store.snapshot("one", rebuild=True)
    found = manifest(store, taken.ref)
    ids = load_ids(store.resources.artifacts, found)["doc_id"].to_pylist()
    assert sorted(ids) == sorted((set(TEXTS) | {"new"}) - {"d2"})
    assert (found.index.chunks, taken.chunks, found.index.recall) == (30, 30, 1.0)
    assert found.index.decode_error < 1e-6


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """150 documents, which count as many: an index is built anew when 45 of its rows are dead."""
    monkeypatch.setattr(builder, "_DELTA_LEAST", 40)
    with connect(tmp_path / "large", create=True) as opened:
        opened.upsert([Document(f"d{n}", words(n)) for n in range(150)])
        opened.promote(opened.reembed("hash:16", name="one").wait())
        yield opened


def test_small_deletes_lead_to_a_new_index_soon_after_there_are_too_many(large: Store) -> None:
    deleted = 0
    while large.pair("one").snapshot == 1:
        large.delete([f"d{deleted}", f"d{deleted + 1}"])
        large.catch_up("one")
        deleted += 2
        assert deleted <= 45 + 45 // 16 + 2
    assert deleted > 45


def test_who_catches_up_with_nothing_left_to_do_gets_the_new_index_that_is_due(large: Store) -> None:
    large.delete([f"d{n}" for n in range(60)])
    large.catch_up("one", advance=False)
    assert large.pair("one").snapshot == 1
    large.catch_up("one")
    assert manifest(large, large.pair("one").ref).index.chunks == 90


def test_every_file_of_the_vectors_is_named_with_its_digest(store: Store) -> None:
    store.upsert([Document("new", words(80))])
    store.catch_up("one")
    found = manifest(store, store.snapshot("one").ref)
    table = store.resources.vectors_of(store.pair("one")).table
    data = {name for name in table.files(table.at(found.vectors_version)) if name.startswith("data/")}
    assert set(found.vector_files) == data
    assert len(data) > 1
    assert all(table.file_store.digest(name) == digest for name, digest in found.vector_files.items())


def test_numbers_go_up_one_by_one_and_each_says_what_it_is(store: Store) -> None:
    refs = [store.snapshot("one", rebuild=rebuild).ref for rebuild in (True, False, True)]
    assert refs == ["one@2", "one@3", "one@4"]
    for ref in refs:
        found = manifest(store, ref)
        assert f"{found.pair}@{found.number}" == ref
        assert (found.fingerprint, found.dimension, found.metric) == (store.pair("one").fingerprint, 32, "cosine")
    assert store.pair("one").snapshot == 4


def test_equal_vectors_make_equal_files(root: Path, store: Store) -> None:
    one, two = (manifest(store, store.snapshot("one", rebuild=True).ref) for _ in range(2))
    assert one.index.artifact == two.index.artifact == manifest(store, "one@1").index.artifact
    assert_passes(store.check("one"))


def test_an_index_below_the_floor_is_refused_and_no_vector_is_lost(store: Store) -> None:
    store.upsert([Document(f"e{n}", words(n, 3)) for n in range(2_000)])
    with pytest.raises(RecallTooLowError, match=r"recall@10 0\.\d+, the floor is 0\.999") as refused:
        store.reembed("hash:32?seed=4", name="coarse", index="IVF64,PQ4x4", recall_floor=0.999).wait()
    assert "nothing is embedded again" in refused.value.hint
    pair = store.pair("coarse")
    assert (pair.state, pair.snapshot) == ("building", 0)
    rows = store.resources.vectors_of(pair).rows(pair.vectors_version)
    assert rows == len(TEXTS) + 2_000
    store.reembed("hash:32?seed=4", name="coarse", index="IVF64,PQ4x4", recall_floor=0.05).wait()
    assert store.resources.vectors_of(store.pair("coarse")).rows(store.pair("coarse").vectors_version) == rows


def test_auto_names_the_index_it_chose_and_that_reaches_the_floor(store: Store) -> None:
    store.reembed("hash:32?seed=5", name="chosen", index="auto").wait()
    found = manifest(store, "chosen@1")
    assert found.index.recall is not None
    assert found.index.recall >= found.index.recall_floor
    assert found.index.spec != "auto"
    store.promote("chosen")
    assert_serves(store, TEXTS)


def test_a_spec_that_means_nothing_is_refused_before_anything_is_embedded(store: Store) -> None:
    with pytest.raises(IndexSpecError):
        store.reembed("hash:32?seed=6", name="wrong", index="Nonsense12").wait()
    assert "wrong" not in {pair.name for pair in store.pairs()}


def test_a_pair_of_nothing_has_an_index_of_nothing(tmp_path: Path) -> None:
    import vecrollback

    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.reembed("hash:32", name="none", index="Flat").wait()
        store.promote("none")
        found = manifest(store, "none@1")
        assert (found.index.chunks, found.index.recall, found.chunks) == (0, None, 0)
        assert store.search("boats").hits == []
        store.upsert([Document("d1", words(1))])
        store.catch_up("none")
        assert [hit.id for hit in store.search("boats").hits] == ["d1"]
        assert np.isfinite(store.search("boats").hits[0].score)
