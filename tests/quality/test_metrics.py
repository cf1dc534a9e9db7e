"""Measures against known values, and laws that any measure of likeness keeps.

Covers quality.evaluation.significance.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.quality.evaluation.metrics import judged_values, means, rank_biased_overlap, unjudged
from vecrollback.quality.evaluation.significance import difference
from vecrollback.records import GoldenQuery
from vecrollback.records.results import overlap

rankings = st.lists(st.sampled_from("abcdefghijklm"), max_size=10, unique=True)


def test_measures_are_those_of_the_field() -> None:
    query = GoldenQuery("q", "text", {"right": 1, "best": 2, "wrong": 0})
    [found] = judged_values([query], [["other", "right", "wrong", "best"]], 3, ["ndcg", "recall", "mrr", "precision"])
    gain, ideal = 1 / math.log2(3), 2 + 1 / math.log2(3)
    assert found == pytest.approx({"ndcg@3": gain / ideal, "recall@3": 0.5, "mrr@3": 0.5, "precision@3": 1 / 3})


def test_equal_ids_of_many_queries_are_told_apart_and_the_order_stays() -> None:
    queries = [GoldenQuery("same", "one", {"a": 1}), GoldenQuery("same", "two", {"b": 1}), GoldenQuery("c", "none", {})]
    values = judged_values(queries, [["a"], ["x", "b"], ["a"]], 10, ["mrr"])
    assert values == [{"mrr@10": 1.0}, {"mrr@10": 0.5}, {}]
    assert means(values) == {"mrr@10": 0.75}


def test_a_pair_that_answers_nothing_is_worth_nothing() -> None:
    assert judged_values([GoldenQuery("q", "text", {"a": 1})], [[]], 10, ["ndcg", "recall"]) == [
        {"ndcg@10": 0.0, "recall@10": 0.0}
    ]


def test_the_order_in_which_the_pair_answered_counts_whatever_the_ids() -> None:
    query = GoldenQuery("q", "text", {"a": 1})
    assert judged_values([query], [["z", "a"]], 10, ["mrr"]) == [{"mrr@10": 0.5}]
    assert judged_values([query], [["a", "z"]], 10, ["mrr"]) == [{"mrr@10": 1.0}]


def test_rank_biased_overlap_is_that_of_the_paper() -> None:
    # extrapolated, p = 0.9; agreements 0/1, 1/2, 2/3, 3/4 of lists that share all but the first rank
    a, b = ["x", "b", "c", "d"], ["y", "b", "c", "d"]
    by_hand = 0.75 * 0.9**4 + 0.1 / 0.9 * (0.5 * 0.9**2 + 2 / 3 * 0.9**3 + 0.75 * 0.9**4)
    assert rank_biased_overlap(a, b) == pytest.approx(by_hand)


@given(rankings, rankings)
def test_likeness_is_between_nothing_and_all_and_the_same_both_ways(a: list[str], b: list[str]) -> None:
    for measure in (rank_biased_overlap, overlap):
        assert measure(a, b) == pytest.approx(measure(b, a))
        assert -1e-9 <= measure(a, b) <= 1 + 1e-9
        assert measure(a, a) == pytest.approx(1.0)
    if a and not set(a) & set(b):
        assert rank_biased_overlap(a, b) == overlap(a, b) == 0.0


def test_what_nobody_judged_is_counted() -> None:
    queries = [GoldenQuery("q", "text", {"a": 1, "b": 0}), GoldenQuery("r", "text", {})]
    assert unjudged(queries, [["a", "b", "x", "y"], ["z"]]) == 0.5


def test_the_same_values_twice_are_never_a_difference() -> None:
    values = np.random.default_rng(1).random(50)
    found = difference("ndcg@10", values, values)
    assert (found.difference, found.low, found.high, found.p, found.significant) == (0.0, 0.0, 0.0, 1.0, False)


def test_a_true_fall_is_found_and_its_interval_holds_it() -> None:
    random = np.random.default_rng(2)
    before = random.random(200)
    found = difference("ndcg@10", before, before - 0.2 + random.normal(0, 0.3, 200))
    assert found.significant
    assert found.low < -0.2 < found.high < 0


def test_chance_is_called_a_difference_no_more_often_than_promised() -> None:
    random = np.random.default_rng(3)
    trials = (random.choice([0.0, 0.5, 1.0], (2, 40)) for _ in range(100))
    called = sum(difference("m", a, b, resamples=499).significant for a, b in trials)
    assert called <= 12  # expected 5; more than 12 has a chance of 0.2%


@pytest.mark.parametrize("pairs", [[(1.0, 0.0)], [(1.0, 0.0), (0.5, 0.5)], [(1.0, 0.5)] * 5])
def test_a_handful_of_queries_has_an_interval_and_no_certainty(pairs: list[tuple[float, float]]) -> None:
    found = difference("m", *zip(*pairs, strict=True))
    assert found.low <= found.difference <= found.high
    assert math.isfinite(found.low) and math.isfinite(found.high)
    assert not found.significant
