"""The sequential test: right at every look at once, and it ends.

Covers switching.canary.judge.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.records import Observation, Standing
from vecrollback.serving.shadow import ShadowObservations, quantile_ms
from vecrollback.switching.canary.judge import judge
from vecrollback.switching.canary.sequential import difference_bounds, mean_bounds
from vecrollback.switching.canary.settings import CanarySettings

LOOKS = range(5, 1_000, 15)


def _of(count: int, mean: float) -> Observation:
    return Observation(count, count * mean)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.001, 0.4))
def test_the_bounds_hold_what_was_seen_and_stay_within_reach(count: int, mean: float, alpha: float) -> None:
    low, high = mean_bounds(count, count * mean, alpha=alpha)
    assert 0 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= 1
    wider = mean_bounds(count, count * mean, alpha=alpha / 2)
    assert wider[0] <= low + 1e-9 and wider[1] >= high - 1e-9
    more = mean_bounds(4 * count, 4 * count * mean, alpha=alpha)
    assert more[1] - more[0] <= high - low + 1e-9


@pytest.mark.parametrize("draw", ["coin", "rare", "narrow"])
def test_a_true_mean_is_left_out_at_any_of_all_looks_no_more_often_than_promised(draw: str) -> None:
    random, left_out = np.random.default_rng(5), 0
    for _ in range(200):
        values = {
            "coin": random.random(1_000) < 0.5,
            "rare": random.random(1_000) < 0.02,
            "narrow": random.beta(20, 20, 1_000),
        }[draw]
        sums, mean = np.cumsum(values), {"coin": 0.5, "rare": 0.02, "narrow": 0.5}[draw]
        bounds = (mean_bounds(n, float(sums[n - 1]), alpha=0.1) for n in LOOKS)
        left_out += any(not low <= mean <= high for low, high in bounds)
    assert left_out <= 20  # one in ten was promised; the mixture keeps well below


def test_two_equal_arms_are_called_different_no_more_often_than_promised() -> None:
    random, called = np.random.default_rng(6), 0
    for _ in range(200):
        a, b = np.cumsum(random.random((2, 1_000)) < 0.3, axis=1)
        bounds = (difference_bounds((n, float(a[n - 1])), (n, float(b[n - 1])), alpha=0.1) for n in LOOKS)
        called += any(low > 0 or high < 0 for low, high in bounds)
    assert called <= 20


@pytest.mark.parametrize(
    ("seen", "standing"),
    [
        ({}, "undecided"),
        ({"failed": _of(2_000, 0.0)}, "undecided"),  # the likeness that was asked for is missing
        ({"failed": _of(2_000, 0.0), "overlap": _of(2_000, 0.8)}, "better"),
        ({"failed": _of(2_000, 0.0), "overlap": _of(2_000, 0.2)}, "worse"),
        ({"failed": _of(2_000, 0.0), "overlap": _of(2_000, 0.5)}, "undecided"),
        ({"failed": _of(20, 0.0), "overlap": _of(2_000, 0.8)}, "undecided"),
        ({"failed": _of(2_000, 0.1), "overlap": _of(2_000, 0.8)}, "worse"),
        (
            {"failed": _of(9_999, 0.0), "overlap": _of(9_999, 0.8), "live_outcome": _of(9_999, 0.5)},
            "undecided",
        ),
        (
            {
                "failed": _of(9_999, 0.0),
                "overlap": _of(9_999, 0.8),
                "live_outcome": _of(99_999, 0.5),
                "canary_outcome": _of(99_999, 0.5),
            },
            "better",
        ),
        (
            {
                "failed": _of(9_999, 0.0),
                "overlap": _of(9_999, 0.8),
                "live_outcome": _of(9_999, 0.5),
                "canary_outcome": _of(9_999, 0.4),
            },
            "worse",
        ),
    ],
)
def test_what_is_missing_is_undecided_and_what_is_worse_is_worse(
    seen: dict[str, Observation], standing: Standing
) -> None:
    found = {one.standing for one in judge(seen, CanarySettings())}
    verdict = "worse" if "worse" in found else "better" if found == {"better"} else "undecided"
    assert verdict == standing


def test_what_several_processes_saw_adds_up_to_what_one_would_have_seen() -> None:
    values = np.random.default_rng(7).random(300).tolist()
    whole, parts = ShadowObservations(), [ShadowObservations() for _ in range(3)]
    for number, value in enumerate(values):
        whole.note((1, 0), overlap=value, live_ms=100 * value)
        parts[number % 3].note((1, 0), overlap=value, live_ms=100 * value)
    one = whole.take()[(1, 0)]
    taken = [part.take()[(1, 0)] for part in parts]
    for measure in ("overlap", "live_ms"):
        total = sum((seen[measure] for seen in taken), Observation())
        assert (total.count, dict(total.bins)) == (300, dict(one[measure].bins))
        assert (total.total, total.squares) == pytest.approx((one[measure].total, one[measure].squares))
        assert (total.lowest, total.highest) == (one[measure].lowest, one[measure].highest)
    assert one["overlap"].mean == pytest.approx(np.mean(values))
    assert quantile_ms(one["live_ms"], 0.5) == pytest.approx(100 * np.median(values), rel=0.3)


def test_what_is_held_is_bounded_and_given_back_when_it_could_not_be_written() -> None:
    seen = ShadowObservations()
    for number in range(10_000):
        seen.note((1, 0), live_ms=number / 7, live_score=number - 5_000, overlap=2.0, failed=float("nan"))
    taken = seen.take()
    assert set(taken[(1, 0)]) == {"live_ms", "live_score", "overlap"}
    assert all(len(one.bins) <= 48 for one in taken[(1, 0)].values())
    seen.note((1, 0), overlap=2.0)
    seen.give_back(taken)
    assert seen.take()[(1, 0)]["overlap"].count == 10_001
