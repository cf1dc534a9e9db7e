"""The parts of an audit that are useful alone: recorded models, harm, and the test of two samples."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.purity_worlds import units, world
from vecrollback.quality.purity import (
    Arrays,
    Harm,
    JudgedQueries,
    Ndcg,
    golden_harm,
    harm,
    recorded_model,
    recorded_models,
)
from vecrollback.quality.purity.screens import hints, score, survey, two_sample
from vecrollback.records import Json

# -- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["embedding_model", "model", "model_name", "model_tag"])
@pytest.mark.parametrize("place", [None, "metadata", "meta"])
def test_recorded_model_is_found_where_people_write_it(key: str, place: str | None) -> None:
    payload: dict[str, Json] = {key: " m1 ", "title": "x"}
    assert recorded_model(payload if place is None else {"text": "y", place: payload}) == "m1"


@pytest.mark.parametrize("payload", [None, {}, {"model": ""}, {"model": 3}, {"metadata": "model"}, {"models": "m"}])
def test_no_model_is_invented(payload: dict[str, Json] | None) -> None:
    assert recorded_model(payload) is None


def test_the_more_telling_key_counts() -> None:
    assert recorded_model({"model": "a car", "embedding_model": "m1"}) == "m1"
    assert recorded_model({"model": {"name": "m1"}}) == "m1"


def test_recorded_models_are_counted_by_id() -> None:
    found = recorded_models([("a", {"model": "m1"}), ("b", "m2"), ("c", {"meta": {"model_tag": "m1"}}), ("d", None)])
    assert (found.models, found.unrecorded, found.mixed) == ({"m1": 2, "m2": 1}, 1, True)
    assert found.foreign(["m1"]) == {"m2": ("b",)}


# -- harm -------------------------------------------------------------------------------------------------------------


def test_harm_is_none_when_foreign_vectors_are_the_own_ones() -> None:
    made = world(1, count=300)
    rows = np.arange(20)
    found = harm(made.own, rows, made.own[rows], made.own[rows])
    assert (found.overlap, found.worst, found.harmless) == (1.0, 1.0, True)


def test_harm_counts_the_results_that_change() -> None:
    """Each of ten questions should be answered by a row that another model moved out of sight."""
    vectors = world(2, count=300).own
    stored = vectors.copy()
    stored[:10] *= -1
    found = harm(stored, np.arange(10), vectors[:10], vectors[:10])
    assert 0.5 < found.overlap <= 0.9
    assert not found.harmless
    judged = JudgedQueries(vectors[:10], [{str(n): 1.0} for n in range(10)])
    own = {n: vectors[n] for n in range(10)}
    assert golden_harm(Arrays(stored, [""] * 300), own, judged) == (0.0, 1.0)


def test_golden_harm_counts_a_document_once_and_in_every_block_of_the_index() -> None:
    """Two chunks of each document, far apart; only the second one answers."""
    vectors = world(3, count=10_000).own
    ids = [str(n % 5_000) for n in range(10_000)]
    judged = JudgedQueries(vectors[9_000:9_010], [{str(4_000 + n): 2.0, "gone": 1.0} for n in range(10)])
    stored = vectors.copy()
    stored[9_000:9_005] *= -1
    own = {n: vectors[n] for n in range(9_000, 9_005)}
    found = golden_harm(Arrays(stored, [""] * 10_000, ids=ids), own, judged)
    best = 2.0 / (2.0 + 1 / np.log2(3))
    assert found.repaired == pytest.approx(best)
    assert found.now == pytest.approx(best / 2, abs=0.05)


def test_harm_that_only_the_golden_queries_see_is_not_harmless() -> None:
    assert Harm(10, 5, 100, 1.0, 1.0).harmless
    assert Harm(10, 5, 100, 1.0, 1.0, Ndcg(0.8, 0.8005)).harmless
    assert not Harm(10, 5, 100, 1.0, 1.0, Ndcg(0.8, 0.82)).harmless


def test_harm_of_nothing_is_nothing() -> None:
    nothing = np.empty((0, 4), np.float32)
    assert harm(nothing, np.empty(0, np.int64), nothing, nothing).harmless


# -- two samples ------------------------------------------------------------------------------------------------------


def test_equal_distributions_are_seldom_told_apart() -> None:
    random = np.random.default_rng(1)
    chances = [two_sample(*random.normal(size=(2, 60, 8)).astype(np.float32), random) for _ in range(100)]
    assert np.mean(np.array(chances) < 0.05) <= 0.1


def test_batches_of_a_near_relative_are_hinted_at_first() -> None:
    """No row of it could be told by its score alone: all are moved by a third of what own rows vary by."""
    random = np.random.default_rng(2)
    vectors = random.normal(size=(4_000, 16))
    batches = np.arange(4_000) // 200
    vectors[batches == 11] += 0.35
    found = hints(batches, np.arange(4_000), units(vectors), limit=5, random=random)
    assert found[0] == 11


def test_too_few_rows_hint_at_nothing() -> None:
    random = np.random.default_rng(3)
    assert two_sample(*random.normal(size=(2, 10, 4)).astype(np.float32), random) == 1.0


# -- one pass ---------------------------------------------------------------------------------------------------------


def test_blocks_are_scored_where_they_lie() -> None:
    made = world(4, count=20_000, dimension=8)
    stored = made.own * 3
    population = Arrays(stored, made.texts)
    seen = survey(population, np.random.default_rng(0))
    assert np.allclose(seen.lengths, 3, atol=1e-4)
    assert np.allclose(score(population, made.other[:3], seen.lengths), made.own @ made.other[:3].T, atol=1e-5)
    assert np.allclose(seen.sample, stored[seen.sample_rows])
