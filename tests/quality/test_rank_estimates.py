"""What nDCG over a whole corpus would be is estimated from a sample of its scores."""

from __future__ import annotations

import numpy as np
import pytest

from vecrollback.quality.rank_estimates import documents_above, expected_ndcg


def test_documents_above_are_right_where_the_sample_ends_long_before() -> None:
    random = np.random.default_rng(1)
    whole = random.standard_normal(20_000)
    thresholds = np.sort(whole)[[-2_000, -200, -20, -5]]
    estimates = np.mean([documents_above(thresholds, random.choice(whole, 400), 20_000) for _ in range(200)], axis=0)
    for estimate, truth in zip(estimates, (2_000, 200, 20, 5), strict=True):
        assert truth / 2 < estimate < truth * 4


def test_expected_ndcg_is_near_that_of_the_whole_corpus_and_errs_downwards() -> None:
    """Normal scores fall off faster than the fitted tail: the worst case of what it assumes."""
    random = np.random.default_rng(2)
    errors = []
    for lift in (1.5, 2.5, 3.5):
        truth, estimate = [], []
        for _ in range(300):
            whole, right = random.standard_normal(5_000), random.standard_normal() + lift
            rank = int((whole > right).sum())
            truth.append(1 / np.log2(rank + 2) if rank < 10 else 0.0)
            sample = random.choice(whole, 250, replace=False)[None]
            estimate.append(expected_ndcg([np.array([right])], [np.ones(1)], sample, 5_000)[0])
        errors.append(np.mean(estimate) - np.mean(truth))
    assert min(errors) > -0.15
    assert max(errors) < 0.03


def test_a_right_document_below_everything_counts_nothing_and_one_above_everything_all() -> None:
    others = np.linspace(0, 1, 200)[None]
    [top] = expected_ndcg([np.array([9.0])], [np.ones(1)], others, 4_000)
    [low] = expected_ndcg([np.array([-1.0])], [np.ones(1)], others, 4_000)
    assert top == pytest.approx(1, abs=1e-6)
    assert low == pytest.approx(0, abs=1e-6)


def test_right_documents_stand_in_one_ranking_and_grades_count() -> None:
    others = np.linspace(0, 1, 200)[None]
    grades = [np.array([2.0, 1.0])]
    assert expected_ndcg([np.array([9.0, 8.0])], grades, others, 4_000)[0] == pytest.approx(1, abs=1e-6)
    swapped = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    assert expected_ndcg([np.array([8.0, 9.0])], grades, others, 4_000)[0] == pytest.approx(swapped, abs=1e-6)
