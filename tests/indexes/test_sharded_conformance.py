"""Indexes in several parts, against the suite of every index: what is promised of one is promised of all together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from vecrollback.indexes import VectorIndex, build_index, train_index
from vecrollback.indexes.sharded import open_shards
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray
from vecrollback.testing import IndexConformance


class Sharded(IndexConformance):
    """Shards of very different sizes, one of them empty, one too small to learn anything from."""

    bounds: ClassVar[tuple[float, ...]] = (0.0, 0.5, 0.5, 0.51, 1.0)

    @classmethod
    def build(cls, vectors: FloatArray, metric: Metric, path: Path) -> None:
        path.mkdir()
        trained = path.with_name(f"{path.name}-trained")
        learnt = train_index(cls.spec, vectors, metric, trained)
        ends = [round(share * len(vectors)) for share in cls.bounds]
        for shard, (start, stop) in enumerate(pairwise(ends)):
            part = path / f"shard-{shard}"
            build_index(cls.spec, vectors[start:stop], metric, part, trained=trained if learnt else None)

    @classmethod
    def open(cls, path: Path, metric: Metric) -> VectorIndex:
        paths = [path / f"shard-{shard}" for shard in range(len(cls.bounds) - 1)]
        return open_shards(cls.spec, paths, metric)


class TestFlatShards(Sharded):
    spec = "Flat"
    lossless = True


class TestShardsHandedToHelpers(Sharded):
    """As slow ones are."""

    spec = "Flat"
    metrics = ("l2",)
    lossless = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def handed(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vecrollback.indexes.sharded.thread_pool._WORTH_SECONDS", -1.0)
            yield


class TestGraphShards(Sharded):
    spec = "HNSW32,SQ8"
    metrics = ("cosine", "l2")


class TestListShards(Sharded):
    spec = "IVF64,SQ8"
    metrics = ("dot",)


class TestRefinedShards(Sharded):
    spec = "IVF64,PQ32x4fs,Refine(SQ8)"
    metrics = ("cosine",)


class TestLanceShards(Sharded):
    spec = "lance:IVF_SQ"
    metrics = ("cosine",)
    lossless = True


def test_shards_that_share_what_they_learnt_decode_alike(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).random((900, 64), np.float32)
    assert train_index("SQ8", vectors, "l2", tmp_path / "trained")
    for name, part in (("all", vectors), ("few", vectors[:3])):
        build_index("SQ8", part, "l2", tmp_path / name, trained=tmp_path / "trained")
    held = [
        open_shards("SQ8", [tmp_path / name], "l2").reconstruct(np.arange(3, dtype=np.int64)) for name in ("all", "few")
    ]
    np.testing.assert_array_equal(*held)
    assert not train_index("HNSW32,Flat", vectors, "l2", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
