"""What a sample says: exact where it is fixed beforehand, and still true where one stops as one likes.

Covers quality.purity.confidence_sequence.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.purity_worlds import Table, world
from vecrollback.errors import UsageError
from vecrollback.quality.purity import AuditRequest, audit, certify, parse_budget, sample_size
from vecrollback.quality.purity.confidence_sequence import Draws


def test_clean_draws_certify_nearly_what_a_fixed_sample_would() -> None:
    for population, bound in ((63_436, 0.01), (1_000_000, 0.001)):
        draws, left = Draws(0.01), population
        while draws.most(0, left) > bound * left:
            draws.add(np.zeros(50, dtype=bool), left=left, found=0)
            left -= 50
        assert draws.drawn <= 1.1 * sample_size(population, bound=bound, confidence=0.99)


def test_bound_holds_at_every_moment_whatever_else_is_examined_between_the_draws() -> None:
    random, wrong, trials = np.random.default_rng(5), 0, 600
    for _ in range(trials):
        label = np.zeros(400, dtype=bool)
        label[: random.integers(0, 30)] = True
        draws, open_, found = Draws(0.2), np.ones(400, dtype=bool), 0
        for _ in range(12):
            rows = random.choice(np.flatnonzero(open_), 10, replace=False)
            draws.add(label[rows], left=int(open_.sum()), found=found)
            open_[rows] = False
            found += int(label[rows].sum())
            if label[rows].any():  # what was drawn leads somebody to more, found or in vain
                more = np.flatnonzero(open_ & (label | (random.random(400) < 0.02)))[: random.integers(0, 8)]
                open_[more] = False
                found += int(label[more].sum())
                draws.renew_belief()
            left, truly = int(open_.sum()), int((open_ & label).sum())
            if not draws.least(found, left) <= truly <= draws.most(found, left):
                wrong += 1
                break
    assert wrong / trials <= 0.2


def test_without_a_draw_nothing_is_ruled_out() -> None:
    assert Draws(0.01).most(0, 100) == 100
    assert Draws(0.01).least(0, 100) == 0


@pytest.mark.parametrize(
    ("turn", "trials"), [(0.05, 160), *(pytest.param(turn, 500, marks=pytest.mark.slow) for turn in (0.05, 0.4))]
)
def test_certified_bound_holds_as_often_as_the_confidence_says(turn: float, trials: int) -> None:
    """Many audits; of some populations the screens find all foreign vectors, of most they do not."""
    wrong, asked = 0, {"bound": 0.03, "confidence": 0.9}
    for seed in range(trials):
        made = world(seed, count=300, dimension=8, share=(0, 0.01, 0.05, 0.2)[seed % 4], shift=0.1, turn=turn)
        found = audit(made.population(), Table(made.own), request=AuditRequest(budget=120, seed=seed, **asked))
        untold = {row for one in found.not_examined for row in one.rows}
        left = made.rows() - set(found.rows) - untold
        assert found.certificate.population == 300 - found.examined - len(untold)
        wrong += len(left) > found.certificate.bound * found.certificate.population
        if found.verdict == "pass":
            assert found.certificate.bound <= 0.03
    assert wrong / trials <= 0.1


def test_bound_holds_for_a_suspect_that_re_embedding_often_misses() -> None:
    """On half of the texts it makes the vectors that the own embedder makes too: half of its rows cannot be told."""
    wrong, trials = 0, 200
    random = np.random.default_rng(0)
    for seed in range(trials):
        made = world(seed, count=400, dimension=8, share=0.05, shift=0, turn=0.4)
        same = random.random(400) < 0.5
        made.other[same] = made.own[same]
        asked = AuditRequest(bound=0.05, confidence=0.9, budget=250, seed=seed)
        own = Table(made.own)
        found = audit(made.population(), own, suspects={"s": Table(made.other)}, request=asked)
        assert 0.1 < found.certificate.sensitivity < 0.6
        left = made.rows() - {int(text[1:]) for text in own.asked}
        wrong += len(left) > found.certificate.bound * found.certificate.population
    assert wrong / trials <= 0.1


@pytest.mark.parametrize("population", [1, 40, 5_000, 1_000_000])
def test_fixed_sample_is_just_large_enough(population: int) -> None:
    size = sample_size(population, bound=0.01, confidence=0.95)
    assert certify(population, sampled=size, foreign=0, confidence=0.95).bound <= 0.01
    assert size < 2 or certify(population, sampled=size - 1, foreign=0, confidence=0.95).bound > 0.01


@pytest.mark.parametrize(("text", "texts"), [("2%", 20), ("0.01%", 1), ("500", 500), (" 100% ", 1_000)])
def test_budget_is_a_share_of_the_rows_or_a_number_of_texts(text: str, texts: int) -> None:
    assert parse_budget(text, 1_000) == texts


@pytest.mark.parametrize("text", ["", "0", "-1", "2.5", "x%", "nan%", "inf", "101%", "0%"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        parse_budget(text, 1_000)


@pytest.mark.parametrize("asked", [{"bound": 0}, {"bound": 1}, {"confidence": 1.0}, {"budget": 0}])
def test_impossible_demands_are_refused(asked: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        AuditRequest(**asked)  # type: ignore[arg-type]
