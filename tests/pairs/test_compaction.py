"""Tables stay small beside everything that runs, and nothing that somebody needs is lost by it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, words
from tests.support.oracle import assert_passes
from vecrollback import Document, Store
from vecrollback.corpus import corpus
from vecrollback.pairs.compaction import Compactor

HASH = "hash:16"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(50)])
        store.promote(store.reembed(HASH, name="v1", index="Flat").wait())
        write(store, 24)
    return root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "store")
    with vecrollback.connect(tmp_path / "store") as store:
        yield store


def write(store: Store, count: int, *, first: int = 1000) -> None:
    for number in range(first, first + count):
        store.upsert([Document(f"d{number}", words(number))])
        store.catch_up("v1")


def files(store: Store, table: str) -> list[Path]:
    return [path for path in (store.root / "tables" / f"{table}.lance").rglob("*") if path.is_file()]


def fragments(store: Store) -> int:
    pair = store.pair("v1")
    return len(store.resources.vectors_of(pair).table.at(pair.vectors_version).get_fragments())


def test_catch_ups_merge_what_they_wrote(store: Store) -> None:
    assert fragments(store) < 20
    assert_passes(store.check("v1", sample=EVERY_ROW))


def test_old_versions_go_when_they_are_old_enough(store: Store) -> None:
    before = len(files(store, "vectors-v1"))
    store.retention.tidy()
    assert len(files(store, "vectors-v1")) == before, "a reader may have asked for them just now"
    Compactor(store.resources, age=0).run(whole=True)
    assert len(files(store, "vectors-v1")) < 12
    assert len(files(store, "documents")) < 12
    assert_passes(store.check("v1", sample=EVERY_ROW))
    owned = store.resources.catalog.files.of("vectors-v1")
    lying = {path.name for path in files(store, "vectors-v1") if path.suffix in (".lance", ".manifest")}
    assert lying == {name.rpartition("/")[2] for name in owned}


def test_old_versions_go_where_nothing_is_ever_merged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "KEEP_SECONDS", 0.0)
    for number in range(40):
        store.upsert([Document("d0", words(number))])
    for table in ("documents", "earlier"):
        manifests = [path for path in files(store, table) if path.suffix == ".manifest"]
        assert len(manifests) < 25, table
    assert len(store.resources.catalog.files.of("documents")) < 80
    store.catch_up("v1")
    assert_passes(store.check("v1", sample=EVERY_ROW))


def test_rows_keep_their_numbers(store: Store) -> None:
    def rows() -> tuple[list[str], np.ndarray]:
        pair = store.pair("v1")
        vectors = store.resources.vectors_of(pair)
        keys = vectors.keys(pair.vectors_version)
        return keys["doc_id"].to_pylist(), vectors.vectors(pair.vectors_version)

    ids, vectors = rows()
    Compactor(store.resources, age=0).run(whole=True)
    again, same = rows()
    assert again == ids
    np.testing.assert_array_equal(same, vectors)


def test_a_snapshot_is_restored_exactly_after_everything_was_merged(store: Store) -> None:
    old = store.snapshot("v1")
    write(store, 5, first=2000)
    Compactor(store.resources, age=0).run(whole=True)
    store.restore(old.ref, reason="as it was", catch_up=False)
    pair = store.pair("v1")
    assert (pair.vectors_version, pair.watermark) == (old.vectors_version, old.watermark)
    assert store.resources.vectors_of(pair).rows(pair.vectors_version) == 74
    Compactor(store.resources, age=0).run(whole=True)
    assert store.pair("v1").vectors_version == old.vectors_version, "what serves is for the catch-up to change"
    caught_up = store.catch_up("v1")
    assert (caught_up.lag, caught_up.embedded) == (0, 0)
    assert_passes(store.check("v1", sample=EVERY_ROW))
    assert {hit.id for hit in store.search(words(2003), k=1).hits} == {"d2003"}


def test_who_reads_for_long_is_waited_for(store: Store) -> None:
    catalog = store.resources.catalog
    before = files(store, "vectors-v1")
    with catalog.reading("vectors-v1"), catalog.reading("documents"):
        version = store.pair("v1").vectors_version
        Compactor(store.resources, age=0).run(whole=True)
        assert set(before) <= set(files(store, "vectors-v1"))
        assert store.resources.vectors_of(store.pair("v1")).rows(version) == 74
    Compactor(store.resources, age=0).run()
    assert len(files(store, "vectors-v1")) < 12


def test_an_open_searcher_answers_through_it(store: Store) -> None:
    with store.searcher() as searcher:
        for number in range(3000, 3008):
            store.upsert([Document(f"d{number}", words(number))])
            store.catch_up("v1")
            Compactor(store.resources, age=0).run(whole=number % 2 == 0)
            assert searcher.search(words(number), k=1).hits[0].id == f"d{number}"


def test_a_table_that_is_being_written_is_left_alone(store: Store) -> None:
    before = fragments(store)
    with store.resources.catalog.lock("pair-v1"):
        Compactor(store.resources, age=0).run(whole=True)
    assert fragments(store) == before


def test_the_plan_says_what_would_be_done(store: Store) -> None:
    compactor = Compactor(store.resources, age=0)
    plan = {row.table: row for row in compactor.plan()}
    assert set(plan) == {"documents", "vectors-v1"}
    assert plan["vectors-v1"].versions > 20
    assert plan["vectors-v1"].files == len(files(store, "vectors-v1"))
    size = sum(path.stat().st_size for path in files(store, "vectors-v1"))
    assert plan["vectors-v1"].bytes == size
    compactor.run()
    left = sum(path.stat().st_size for path in files(store, "vectors-v1"))
    freed = size - left
    assert 0.8 * freed <= plan["vectors-v1"].obsolete_bytes <= freed
