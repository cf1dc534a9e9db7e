"""Choosing, refusing and measuring an index.

Covers indexes.exact, indexes.filtered_search.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vecrollback.errors import CorruptArtifactError, IndexSpecError, UsageError
from vecrollback.indexes import Neighbours, build_index, exact_search, measure_recall, open_index, resolve_spec
from vecrollback.indexes.exact import ExactIndex, sample_queries
from vecrollback.indexes.filtered_search import MaskCache, Selections, widened_search
from vecrollback.records.arrays import FloatArray, Mask
from vecrollback.testing.index_suite import corpus

ACCEPTED = [
    "exact",
    "Flat",
    "SQ8",
    "SQfp16",
    "HNSW32",
    "HNSW32,Flat",
    "HNSW32,SQ8",
    "IVF4096,SQ8",
    "IVF65536_HNSW32,SQ8",
    "IVF1024,PQ96x4fs,Refine(SQ8)",
    "IVF256,RaBitQfs,RFlat",
    "RaBitQfs,RFlat",
    "OPQ16_64,IVF64,PQ16",
    "PCA64,HNSW32,Flat,RFlat",
    "lance:IVF_PQ",
    "lance:IVF_RQ",
    "lance:IVF_PQ?num_partitions=64&num_sub_vectors=48",
]
REFUSED = [
    "",
    "flat",
    "IVF,Flat",
    "IVF64",
    "IDMap,Flat",
    "L2norm,Flat",
    "LSH",
    "HNSW32,PQ16",
    "IVF64,PQ32x4fs",
    "RaBitQ",
    "Flat ",
    "lance:IVF_LSH",
    "lance:IVF_PQ?colour=3",
    "lance:IVF_PQ?num_partitions=many",
    "lance:IVF_PQ?num_partitions=0",
]


@pytest.mark.parametrize(
    ("chunks", "spec"),
    [
        (0, "Flat"),
        (20_000, "Flat"),
        (20_001, "HNSW32,SQ8"),
        (500_000, "HNSW32,SQ8"),
        (500_001, "IVF2828,SQ8"),
        (1_000_000, "IVF4000,SQ8"),
    ],
)
def test_auto_suits_the_number_of_chunks(chunks: int, spec: str) -> None:
    assert resolve_spec("auto", chunks) == spec
    assert resolve_spec(spec, 7) == spec


@pytest.mark.parametrize("spec", ACCEPTED)
def test_known_specs_pass_through(spec: str) -> None:
    assert resolve_spec(spec, 10) == spec


@pytest.mark.parametrize("spec", REFUSED)
def test_unknown_specs_are_refused_with_examples(spec: str) -> None:
    with pytest.raises(IndexSpecError, match="not a valid index spec") as caught:
        resolve_spec(spec, 10)
    assert "HNSW32,SQ8" in caught.value.hint and "lance:" in caught.value.hint


def test_too_few_vectors_to_train_says_how_many_and_what_works(tmp_path: Path) -> None:
    with pytest.raises(IndexSpecError, match=r"'IVF64,SQ8'.* 20 vectors") as caught:
        build_index("IVF64,SQ8", corpus("cosine")[:20], "cosine", tmp_path / "index")
    assert "Flat" in caught.value.hint
    build_index("Flat", corpus("cosine")[:20], "cosine", tmp_path / "index")


def test_code_that_does_not_fit_the_dimension_is_refused(tmp_path: Path) -> None:
    for spec in ("IVF64,PQ48x4fs,Refine(SQ8)", "lance:IVF_PQ?num_sub_vectors=48"):
        with pytest.raises(IndexSpecError, match="64"):
            build_index(spec, corpus("cosine"), "cosine", tmp_path / "index" / spec[:5])


@pytest.mark.parametrize("spec", ["Flat", "lance:IVF_PQ"])
def test_artefact_of_another_metric_is_refused(spec: str, tmp_path: Path) -> None:
    build_index(spec, corpus("cosine")[:50], "cosine", tmp_path / "index")
    with pytest.raises(IndexSpecError, match="l2"):
        open_index(spec, tmp_path / "index", "l2")


@pytest.mark.parametrize("spec", ["exact", "Flat", "lance:IVF_PQ"])
def test_file_that_is_no_index_is_refused(spec: str, tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"\x93NUMPY, or perhaps not")
    with pytest.raises(CorruptArtifactError, match="index"):
        open_index(spec, tmp_path / "index", "dot")


@pytest.mark.parametrize("rows", [100, 1_000], ids=["scanned", "indexed"])
def test_a_lance_index_whose_files_go_while_it_is_open_says_so(rows: int, tmp_path: Path) -> None:
    vectors = corpus("cosine")[:rows]
    build_index("lance:IVF_FLAT", vectors, "cosine", tmp_path / "index")
    index = open_index("lance:IVF_FLAT", tmp_path / "index", "cosine")
    shutil.rmtree(tmp_path / "index/vectors.lance")
    for read in (lambda: index.search(vectors[:2], 5), lambda: index.reconstruct(np.arange(3))):
        with pytest.raises(CorruptArtifactError, match="the index index cannot be read") as caught:
            read()
        assert "restore the snapshot" in caught.value.hint


def test_faiss_index_has_no_way_to_change(tmp_path: Path) -> None:
    build_index("Flat", corpus("cosine"), "cosine", tmp_path / "index")
    index = open_index("Flat", tmp_path / "index", "cosine")
    public = {name for name in dir(index) if not name.startswith("_")}
    assert public == {"close", "dimension", "metric", "reconstruct", "search", "size"}


def test_exact_search_over_several_blocks_agrees_with_one_sort() -> None:
    random = np.random.default_rng(0)
    vectors, queries = random.standard_normal((70_000, 8), np.float32), random.standard_normal((300, 8), np.float32)
    allowed = random.random(len(vectors)) < 0.5
    found = exact_search(vectors, queries, 5, "dot", allowed)
    scores = np.where(allowed, queries @ vectors.T, -np.inf)
    np.testing.assert_array_equal(found.positions, np.argsort(-scores, axis=1, kind="stable")[:, :5])


def test_equal_scores_are_ordered_by_position() -> None:
    found = exact_search(np.ones((6, 4), np.float32), np.ones((1, 4), np.float32), 6, "cosine")
    assert found.positions.tolist() == [[0, 1, 2, 3, 4, 5]]


class HalfBlind(ExactIndex):
    """Finds nothing at odd positions."""

    def search(self, queries: FloatArray, k: int, allowed: Mask | None = None) -> Neighbours:
        return super().search(queries, k, np.arange(self.size) % 2 == 0)


def test_measured_recall_is_the_share_of_true_neighbours() -> None:
    vectors = corpus("cosine")
    assert measure_recall(ExactIndex(vectors, "cosine"), vectors) == 1.0
    assert measure_recall(HalfBlind(vectors, "cosine"), vectors) == pytest.approx(0.5, abs=0.05)
    assert measure_recall(HalfBlind(vectors, "cosine"), vectors) == measure_recall(
        HalfBlind(vectors, "cosine"), vectors
    )


def test_duplicates_do_not_count_as_missed() -> None:
    vectors = np.repeat(corpus("cosine")[:100], 2, axis=0)
    assert measure_recall(HalfBlind(vectors, "cosine"), vectors, k=1) == 1.0


def test_recall_of_nothing_is_one_and_other_rows_are_refused() -> None:
    empty = np.empty((0, 64), np.float32)
    assert measure_recall(ExactIndex(empty, "dot"), empty) == 1.0
    with pytest.raises(UsageError, match="holds 0 vectors, 3000 were given"):
        measure_recall(ExactIndex(empty, "dot"), corpus("dot"))


def test_sampled_queries_are_near_but_not_on_the_vectors() -> None:
    vectors = corpus("cosine")
    queries = sample_queries(vectors, 50, seed=3)
    assert queries.shape == (50, 64)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    cosine = exact_search(vectors, queries, 1, "cosine").scores[:, 0]
    assert 0.8 < np.median(cosine) < 0.98
    np.testing.assert_array_equal(queries, sample_queries(vectors, 50, seed=3))
    assert not np.array_equal(queries, sample_queries(vectors, 50, seed=4))


def test_search_widens_before_it_scans() -> None:
    """A query whose 40 nearest are masked is answered by a wider search, one whose half is masked by a scan."""
    vectors = np.linspace(1, 0, 20_000, dtype=np.float32)[:, None]
    asked: list[str] = []

    def near(queries: FloatArray, reach: int) -> Neighbours:
        asked.append(f"near {reach}")
        return exact_search(vectors, queries, reach, "dot")

    def run(masked: int) -> list[int]:
        allowed = np.ones(20_000, np.bool_)
        allowed[:masked] = False
        chosen = Selections().get(allowed)

        def scan(queries: FloatArray, k: int) -> Neighbours:
            asked.append("scan")
            return exact_search(vectors, queries, k, "dot", allowed)

        found = widened_search(near, scan, np.ones((1, 1), np.float32), 3, selection=chosen, size=20_000)
        return found.positions[0].tolist()

    assert run(40) == [40, 41, 42] and asked == ["near 4", "near 16", "near 64"]
    asked.clear()
    assert run(10_000) == [10_000, 10_001, 10_002] and asked == ["near 9", "near 36", "scan"]


def test_only_sealed_masks_are_remembered() -> None:
    selections = Selections(most=2)
    masks = [np.ones(5, np.bool_) for _ in range(3)]
    assert selections.get(masks[0]) is not selections.get(masks[0])
    for mask in masks:
        mask.flags.writeable = False
    first = selections.get(masks[0])
    assert selections.get(masks[0]) is first
    selections.get(masks[1])
    selections.get(masks[2])
    assert selections.get(masks[0]) is not first


def test_what_was_made_of_a_mask_is_never_given_for_another_array_at_the_same_place_in_memory() -> None:
    remembered: MaskCache[int] = MaskCache(lambda mask: int(np.count_nonzero(mask)), most=4)
    for count in range(200):
        mask = np.arange(256) < count  # freed at the next turn: without a hold its identity comes again
        mask.flags.writeable = False
        assert remembered.get(mask) == count


def test_training_of_product_codes_leaves_out_the_order_that_no_search_here_uses(tmp_path: Path) -> None:
    import faiss

    vectors = corpus("dot")[:600]
    build_index("PQ8x4", vectors, "dot", tmp_path / "index")
    plain = faiss.IndexPQ(vectors.shape[1], 8, 4, faiss.METRIC_INNER_PRODUCT)
    assert not plain.do_polysemous_training
    plain.train(vectors)
    built = faiss.read_index(str(tmp_path / "index"))
    assert np.array_equal(faiss.vector_to_array(built.pq.centroids), faiss.vector_to_array(plain.pq.centroids))
