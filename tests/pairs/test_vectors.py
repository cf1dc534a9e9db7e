"""Vectors that are many lie in a map over a scratch file, and nothing else about them changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, words
from tests.support.oracle import assert_passes
from vecrollback import Document, Store
from vecrollback.records import arrays


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_IN_MEMORY", 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(60)])
        yield store


@pytest.mark.usefixtures("mapped")
def test_the_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = arrays.room_for(100, 8)
    made[:] = 7
    assert isinstance(made, np.memmap)
    assert list(tmp_path.iterdir()) == []
    assert made.sum() == 5600


def test_few_vectors_stay_in_memory() -> None:
    assert not isinstance(arrays.room_for(1_000, 384), np.memmap)


@pytest.mark.usefixtures("mapped")
def test_rows_are_taken_in_their_order_and_all_of_them_cost_nothing() -> None:
    vectors = np.random.default_rng(1).normal(size=(200_000, 4)).astype(np.float32)
    rows = np.random.default_rng(2).permutation(200_000)[:150_000]
    np.testing.assert_array_equal(arrays.take_rows(vectors, rows), vectors[rows])
    assert arrays.take_rows(vectors, np.arange(200_000)) is vectors
    np.testing.assert_allclose(arrays.row_lengths(vectors), np.linalg.norm(vectors, axis=1), rtol=1e-6)


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("index", ["Flat", "HNSW32,SQ8", "lance:IVF_FLAT"])
def test_pairs_are_built_checked_and_repaired_over_a_map(store: Store, index: str) -> None:
    store.promote(store.reembed("hash:64?seed=1", name="v1", index=index, recall_floor=0.5).wait())
    store.upsert([Document("d1", words(1, 1)), Document("new", words(99))])
    store.delete(["d2"])
    store.catch_up("v1")
    store.snapshot("v1", rebuild=True)
    pair = store.pair("v1")
    vectors = store.resources.vectors_of(pair).vectors(pair.vectors_version)
    assert isinstance(vectors, np.memmap)
    np.testing.assert_array_equal(
        vectors[60:], store.resources.vectors_of(pair).vectors(pair.vectors_version, after=60)
    )
    assert_passes(store.check("v1", sample=EVERY_ROW))
    assert store.search(words(99), k=1).hits[0].id == "new"


@pytest.mark.usefixtures("mapped")
def test_an_empty_pair_has_an_empty_map(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "empty", create=True) as store:
        store.reembed("hash:64", name="v1").wait()
        assert_passes(store.check("v1"))
