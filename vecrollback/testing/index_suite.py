"""What every index kind promises; exact search is the oracle."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from vecrollback.errors import CorruptArtifactError, UsageError, VecrollbackError
from vecrollback.indexes import (
    Neighbours,
    VectorIndex,
    build_index,
    exact_search,
    index_bytes,
    index_suffix,
    open_index,
    specs_to_build,
)
from vecrollback.indexes.exact import recall
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask

COUNT, DIMENSION, QUERIES, K = 3000, 64, 40, 10


@cache
def corpus(metric: Metric) -> FloatArray:
    """A seeded mixture of 30 gaussians; normalised for cosine, of varied length for dot and l2."""
    random = np.random.default_rng(5)
    centres = random.standard_normal((30, DIMENSION))
    vectors = centres[random.integers(0, 30, COUNT)] + 0.6 * random.standard_normal((COUNT, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric != "cosine":
        vectors *= random.uniform(0.8, 1.2, (COUNT, 1))
    return vectors.astype(np.float32)


@cache
def queries(metric: Metric) -> FloatArray:
    random = np.random.default_rng(6)
    originals = corpus(metric)[random.choice(COUNT, QUERIES, replace=False)]
    shifted = originals + 0.06 * random.standard_normal(originals.shape)
    unit: FloatArray = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True)).astype(np.float32)
    return unit


def random_mask(share_masked: float) -> Mask:
    order = np.random.default_rng(7).permutation(COUNT)
    mask = np.ones(COUNT, np.bool_)
    mask[order[: round(share_masked * COUNT)]] = False
    return sealed(mask)


def sealed(mask: Mask) -> Mask:
    mask.flags.writeable = False
    return mask


def digest(path: Path) -> str:
    total = sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


class IndexConformance:
    """What every index kind promises. A subclass sets `spec`, which leads to the kind; exact search is the oracle.

    Attributes:
        spec: What is built, over 3,000 vectors of 64 dimensions.
        metrics: Those that the kind can do; each runs the whole suite.
        lossless: It gives the very vectors back.
        oracle_is_codes: Its codes are so coarse that it is judged against exact search over what they hold.
        decoded_cosine: Least cosine between a vector and what comes back of it.
        floor: Least recall@10, with any mask.

    Example:
        A whole adopter, of a kind that is found through an entry point::

            from vecrollback.testing import IndexConformance

            class TestMine(IndexConformance):
                spec = "mine:8"
                metrics = ("cosine", "dot")
                decoded_cosine = 0.99
    """

    spec: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]] = ("cosine", "dot", "l2")
    lossless: ClassVar[bool] = False
    oracle_is_codes: ClassVar[bool] = False
    decoded_cosine: ClassVar[float] = 0.95
    floor: ClassVar[float] = 0.95

    @classmethod
    def build(cls, vectors: FloatArray, metric: Metric, path: Path) -> None:
        build_index(cls.spec, vectors, metric, path)

    @classmethod
    def open(cls, path: Path, metric: Metric) -> VectorIndex:
        return open_index(cls.spec, path, metric)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "metric" in metafunc.fixturenames:
            metafunc.parametrize("metric", self.metrics, scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, metric: Metric, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("index") / "artefact"
        cls.build(corpus(metric), metric, path)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, metric: Metric, path: Path) -> VectorIndex:
        return cls.open(path, metric)

    @pytest.fixture(scope="class")
    @classmethod
    def truth(cls, index: VectorIndex, metric: Metric) -> FloatArray:
        return index.reconstruct(np.arange(COUNT)) if cls.oracle_is_codes else corpus(metric)

    def check(self, neighbours: Neighbours, truth: FloatArray, metric: Metric, mask: Mask | None) -> None:
        exact = exact_search(truth, queries(metric), K, metric, mask)
        assert neighbours.scores.shape == neighbours.positions.shape == (QUERIES, K)
        assert np.all(np.diff(neighbours.scores, axis=1) <= 1e-5)
        assert neighbours.positions.min() >= 0
        if mask is not None:
            assert mask[neighbours.positions].all()
        assert recall(exact, neighbours, queries(metric), truth, metric) >= self.floor

    def test_finds_the_true_neighbours(self, index: VectorIndex, truth: FloatArray, metric: Metric) -> None:
        assert (index.size, index.dimension, index.metric) == (COUNT, DIMENSION, metric)
        self.check(index.search(queries(metric), K), truth, metric, None)

    @pytest.mark.parametrize("share_masked", [0.01, 0.1, 0.5, 0.9, 0.99])
    def test_masking_costs_no_recall(
        self, index: VectorIndex, truth: FloatArray, metric: Metric, share_masked: float
    ) -> None:
        mask = random_mask(share_masked)
        self.check(index.search(queries(metric), K, mask), truth, metric, mask)

    @pytest.mark.parametrize("share_masked", [0.02, 0.1, 0.5])
    def test_masking_a_query_s_own_region_costs_no_recall(
        self, index: VectorIndex, truth: FloatArray, metric: Metric, share_masked: float
    ) -> None:
        first = queries(metric)[:1]
        nearest = exact_search(corpus(metric), first, round(share_masked * COUNT), metric).positions[0]
        mask = np.ones(COUNT, np.bool_)
        mask[nearest] = False
        self.check(index.search(queries(metric), K, sealed(mask)), truth, metric, mask)

    def test_one_query_at_a_time_answers_like_many(self, index: VectorIndex, metric: Metric) -> None:
        for mask in (None, random_mask(0.1)):
            together = index.search(queries(metric), K, mask)
            alone = [index.search(query[None], K, mask) for query in queries(metric)]
            same = np.mean(together.positions == np.concatenate([a.positions for a in alone]))
            assert same > 0.98  # a batch goes through BLAS, whose rounding may swap equal neighbours
            np.testing.assert_allclose(together.scores, np.concatenate([a.scores for a in alone]), atol=1e-4)

    def test_fewer_allowed_than_k_are_padded(self, index: VectorIndex, metric: Metric) -> None:
        mask = sealed(np.isin(np.arange(COUNT), [7, 1800, 2999]))
        neighbours = index.search(queries(metric), K, mask)
        assert {frozenset(row) for row in neighbours.positions[:, :3].tolist()} == {frozenset({7, 1800, 2999})}
        assert np.isfinite(neighbours.scores[:, :3]).all()
        assert (neighbours.positions[:, 3:] == -1).all() and np.isneginf(neighbours.scores[:, 3:]).all()

    def test_nothing_allowed_answers_nothing(self, index: VectorIndex, metric: Metric) -> None:
        neighbours = index.search(queries(metric), K, np.zeros(COUNT, np.bool_))
        assert (neighbours.positions == -1).all() and np.isneginf(neighbours.scores).all()

    def test_k_beyond_the_size_returns_everything(self, index: VectorIndex, metric: Metric) -> None:
        neighbours = index.search(queries(metric)[:1], COUNT + 5)
        assert sorted(neighbours.positions[0, :COUNT].tolist()) == list(range(COUNT))
        assert (neighbours.positions[0, COUNT:] == -1).all() and np.isneginf(neighbours.scores[0, COUNT:]).all()

    def test_no_queries_answer_nothing(self, index: VectorIndex) -> None:
        assert index.search(np.empty((0, DIMENSION), np.float32), K).positions.shape == (0, K)

    def test_changed_mask_is_noticed_unless_it_is_sealed(self, index: VectorIndex, metric: Metric) -> None:
        mask = np.ones(COUNT, np.bool_)
        best = int(index.search(queries(metric)[:1], 1, mask).positions[0, 0])
        mask[best] = False
        assert index.search(queries(metric)[:1], 1, mask).positions[0, 0] != best

    def test_scores_are_the_similarity_to_what_the_index_holds(self, index: VectorIndex, metric: Metric) -> None:
        if self.oracle_is_codes:
            pytest.skip("this kind compares codes, so its scores are not those of the vectors it decodes to")
        neighbours = index.search(queries(metric), K, random_mask(0.1))
        vectors = index.reconstruct(neighbours.positions.ravel()).reshape(QUERIES, K, DIMENSION)
        if metric == "l2":
            scores = -np.square(vectors - queries(metric)[:, None]).sum(axis=2)
        else:
            scores = np.einsum("qkd,qd->qk", vectors, queries(metric))
        np.testing.assert_allclose(neighbours.scores, scores, atol=2e-5)

    def test_reconstructs_what_was_put_in(self, index: VectorIndex, metric: Metric) -> None:
        positions = np.array([0, 2999, 5, 5, 1234])
        decoded, originals = index.reconstruct(positions), corpus(metric)[positions]
        assert decoded.shape == (5, DIMENSION) and decoded.dtype == np.float32
        if self.lossless:
            np.testing.assert_array_equal(decoded, originals)
        lengths = np.linalg.norm(decoded, axis=1) * np.linalg.norm(originals, axis=1)
        assert ((decoded * originals).sum(axis=1) / lengths).min() > self.decoded_cosine

    def test_threads_get_the_same_answers(self, index: VectorIndex, metric: Metric) -> None:
        masks = [None, random_mask(0.1), random_mask(0.5), random_mask(0.99)]
        expected = [index.search(queries(metric)[:4], K, mask) for mask in masks]
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(index.search, queries(metric)[:4], K, masks[i % 4]) for i in range(24)]
            for i, job in enumerate(jobs):
                np.testing.assert_array_equal(job.result().positions, expected[i % 4].positions)

    def test_use_leaves_the_bytes_alone_and_reopening_answers_the_same(
        self, index: VectorIndex, path: Path, metric: Metric
    ) -> None:
        before, answer = digest(path), index.search(queries(metric), K, random_mask(0.5))
        again = self.open(path, metric)
        again.reconstruct(np.arange(3))
        np.testing.assert_array_equal(again.search(queries(metric), K, random_mask(0.5)).positions, answer.positions)
        again.close()
        assert digest(path) == before
        with pytest.raises(VecrollbackError):
            again.search(queries(metric), K)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, -1])
    def test_truncated_artefact_is_refused(self, path: Path, metric: Metric, tmp_path: Path, share: float) -> None:
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        copy = tmp_path / "artefact"
        for file in files:
            target = copy / file.relative_to(path) if path.is_dir() else copy
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        victim = max((copy.rglob("*") if copy.is_dir() else [copy]), key=lambda p: p.stat().st_size * p.is_file())
        whole = victim.read_bytes()
        victim.write_bytes(whole[: int(share * len(whole)) if share >= 0 else -1])
        with pytest.raises(CorruptArtifactError, match="artefact"):
            self.open(copy, metric)

    def test_an_artefact_is_about_as_large_as_its_kind_says(self, path: Path) -> None:
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        estimate, size = index_bytes(self.spec, DIMENSION), sum(file.stat().st_size for file in files) / COUNT
        assert estimate / 2 < size < 2 * estimate

    def test_its_names_end_alike_and_its_fallbacks_are_specs(self) -> None:
        assert re.fullmatch(r"\.[a-z0-9]+", index_suffix(self.spec))
        for spec in specs_to_build(self.spec, COUNT):
            assert index_suffix(spec) == index_suffix(self.spec)

    def test_missing_artefact_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptArtifactError, match="nowhere"):
            self.open(tmp_path / "nowhere", self.metrics[0])

    def test_queries_and_masks_of_another_shape_are_refused(self, index: VectorIndex) -> None:
        with pytest.raises(UsageError, match=str(DIMENSION)):
            index.search(np.zeros((1, DIMENSION + 1), np.float32), K)
        with pytest.raises(UsageError, match=str(COUNT)):
            index.search(np.zeros((1, DIMENSION), np.float32), K, np.ones(COUNT - 1, np.bool_))

    def test_empty_index_answers_nothing(self, tmp_path: Path) -> None:
        metric = self.metrics[0]
        self.build(np.empty((0, DIMENSION), np.float32), metric, tmp_path / "empty")
        index = self.open(tmp_path / "empty", metric)
        assert (index.size, index.dimension) == (0, DIMENSION)
        for mask in (None, np.ones(0, np.bool_)):
            assert (index.search(queries(metric), 3, mask).positions == -1).all()
        assert index.reconstruct(np.empty(0, np.int64)).shape == (0, DIMENSION)

    def test_duplicates_are_all_found(self, tmp_path: Path) -> None:
        if self.oracle_is_codes:
            pytest.skip("this kind gives different vectors the same code, so they are duplicates to it")
        metric = self.metrics[-1]
        vectors = corpus(metric).copy()
        vectors[100:104] = vectors[2000]
        self.build(vectors, metric, tmp_path / "duplicates")
        index = self.open(tmp_path / "duplicates", metric)
        mask = np.ones(COUNT, np.bool_)
        mask[101] = False
        neighbours = index.search(vectors[2000:2001], 4, sealed(mask))
        assert set(neighbours.positions[0].tolist()) == {100, 102, 103, 2000}
