"""Each index kind the product ships, against the suite.

Covers indexes.base, indexes.faiss_index, indexes.faiss_size, indexes.lance_index.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from vecrollback.indexes import build_index, open_index
from vecrollback.records import Metric
from vecrollback.testing import IndexConformance
from vecrollback.testing.index_suite import DIMENSION, corpus


class Lossless(IndexConformance):
    lossless = True
    decoded_cosine = 0.99999


class OneMetric(IndexConformance):
    """Kinds whose metrics are computed by the same code as those of a kind that shows all of them in every run."""

    every_run: ClassVar[Metric] = "cosine"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "metric" in metafunc.fixturenames:
            marked = [m if m == self.every_run else pytest.param(m, marks=pytest.mark.slow) for m in self.metrics]
            metafunc.parametrize("metric", marked, scope="class")


class OneVector:
    """Kinds that need no training work from the first vector on."""

    spec: str

    def test_one_vector_is_found(self, tmp_path: Path) -> None:
        build_index(self.spec, corpus("cosine")[:1], "cosine", tmp_path / "one")
        index = open_index(self.spec, tmp_path / "one", "cosine")
        found = index.search(corpus("cosine")[:2], 3)
        np.testing.assert_array_equal(found.positions, [[0, -1, -1], [0, -1, -1]])
        assert index.reconstruct(np.zeros(1, np.int64)).shape == (1, DIMENSION)


class TestExact(Lossless, OneVector):
    spec = "exact"


class TestFlat(Lossless, OneVector):
    spec = "Flat"


class TestScalar(OneMetric, OneVector):
    spec = "SQ8"
    every_run = "l2"


class TestGraph(Lossless, OneVector):
    spec = "HNSW32,Flat"


class TestScalarGraph(OneMetric, OneVector):
    spec = "HNSW32,SQ8"
    every_run = "dot"


class TestLists(OneMetric, Lossless):
    spec = "IVF64,Flat"


class TestScalarLists(OneMetric):
    spec = "IVF64,SQ8"
    every_run = "dot"


class TestRefinedFastScan(IndexConformance):
    spec = "IVF64,PQ32x4fs,Refine(SQ8)"


class TestRefinedBits(OneMetric, Lossless):
    spec = "RaBitQfs,RFlat"
    every_run = "l2"


class TestRotatedLists(IndexConformance):
    spec = "OPQ8_64,IVF64,SQ8"
    metrics = ("cosine",)  # a rotation takes a second to train


class TestProductLists(IndexConformance):
    spec = "PCA48,IVF64,PQ24x4"
    metrics = ("l2",)
    oracle_is_codes = True
    decoded_cosine = 0.85


class TestReducedGraph(OneMetric, Lossless):
    spec = "PCA32,HNSW32,Flat,RFlat"


class TestProduct(IndexConformance):
    """Flat product codes take no id selector: masks go through decoding."""

    spec = "PQ32x4"
    metrics = ("dot",)
    oracle_is_codes = True
    decoded_cosine = 0.85


class TestLanceFlat(Lossless, OneVector):
    spec = "lance:IVF_FLAT"


class TestLanceScalar(OneMetric, Lossless, OneVector):
    spec = "lance:IVF_SQ"


class TestLanceProduct(OneMetric, Lossless, OneVector):
    spec = "lance:IVF_PQ?num_partitions=8&num_sub_vectors=16"
    every_run = "dot"


class TestLanceBits(OneMetric, Lossless, OneVector):
    spec = "lance:IVF_RQ"


class TestLanceGraph(OneMetric, Lossless, OneVector):
    spec = "lance:IVF_HNSW_SQ"
    every_run = "l2"


@pytest.mark.parametrize("spec", ["Flat", "IVF64,SQ8", "IVF64,PQ32x4fs,Refine(SQ8)", "exact"])
def test_rebuilding_gives_the_same_bytes(spec: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        build_index(spec, corpus("cosine"), "cosine", tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
