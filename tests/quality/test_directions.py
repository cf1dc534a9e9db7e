"""How another model's vectors are told from own ones is chosen by what was learned from neither half of the pairs.

Covers quality.purity.directions.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.purity_worlds import units
from vecrollback.quality.purity.directions import between, likelier, spread_otherwise, whiten
from vecrollback.records.arrays import FloatArray

_DIMENSION = 32


def own_and_others(seed: int, count: int = 2_000) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Own vectors, those of a fine-tune, which moves them all one way, and those of a model with axes of its own."""
    random = np.random.default_rng(seed)
    content = random.normal(size=(count, _DIMENSION)) * np.geomspace(1, 0.1, _DIMENSION)
    way = units(random.normal(size=(1, _DIMENSION)))
    axes = np.linalg.qr(random.normal(size=(_DIMENSION, _DIMENSION)))[0]
    return units(content), units(content + 0.6 * way + 0.02 * random.normal(size=content.shape)), units(content @ axes)


def own_above_the_last(own: FloatArray, foreign: FloatArray) -> int:
    return int(np.count_nonzero(own > foreign.min()))


@pytest.mark.parametrize("count", [16, 64, 400])
def test_a_model_of_another_kind_is_told_by_how_its_vectors_spread_and_a_fine_tune_is_not(count: int) -> None:
    own, tuned, other = own_and_others(1)
    usual = whiten(own)
    assert spread_otherwise(own[:count], other[:count], usual)
    assert not spread_otherwise(own[:count], tuned[:count], usual)


def test_its_vectors_stand_above_own_ones_where_no_direction_parts_them() -> None:
    own, _, other = own_and_others(2)
    usual, learned, rest = whiten(own[400:]), slice(0, 400), slice(400, None)
    form, direction = likelier(other[learned], usual), between(own[learned], other[learned], usual)
    assert own_above_the_last(form(own[rest]), form(other[rest])) < 20
    assert own_above_the_last(own[rest] @ direction, other[rest] @ direction) > 1_000


def test_few_pairs_do_not_decide_it() -> None:
    own, _, other = own_and_others(3)
    assert not spread_otherwise(own[:15], other[:15], whiten(own))


def test_pairs_that_do_not_differ_decide_nothing() -> None:
    own, _, _ = own_and_others(4)
    same = np.repeat(own[:1], 40, axis=0)
    assert not spread_otherwise(same, same, whiten(own))
