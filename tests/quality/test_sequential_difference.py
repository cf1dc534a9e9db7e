"""A paired comparison may be looked at at any time, and errs no more often than it says."""

from __future__ import annotations

import numpy as np
import pytest

from vecrollback.quality.sequential_difference import ERROR, not_worse, refuted


def draws(mean: float, seed: int, count: int = 300) -> list[float]:
    """Differences as those of two rankings are: half of them nought, the others anything."""
    random = np.random.default_rng(seed)
    value = np.where(random.random(count) < 0.5, 0.0, random.normal(2 * mean, 0.35, count))
    return [float(one) for one in np.clip(value, -1, 1)]


def test_a_true_claim_is_rarely_refuted_at_any_moment() -> None:
    # 1,000 runs of 300 looks; six standard deviations above the error that is allowed
    wrong = sum(refuted(draws(0.0, seed), 0.0) for seed in range(1_000))
    assert wrong <= 1_000 * ERROR + 6 * (1_000 * ERROR * (1 - ERROR)) ** 0.5


@pytest.mark.parametrize(("mean", "verdict"), [(-0.15, "fail"), (0.15, "pass")])
def test_a_large_difference_is_seen(mean: float, verdict: str) -> None:
    assert [not_worse(draws(mean, seed)) for seed in range(50)] == [verdict] * 50


def test_equal_answers_are_not_worse_and_few_of_them_show_nothing() -> None:
    assert not_worse([0.0] * 10) == "unknown"
    assert not_worse([0.0] * 100) == "pass"
    assert not_worse([]) == "unknown"


def test_what_was_refuted_once_stays_refuted() -> None:
    assert not_worse([-0.5] * 40 + [0.9] * 5) == "fail"
