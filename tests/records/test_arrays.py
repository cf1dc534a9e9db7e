"""The one cosine by which vectors are compared row by row, and the one singular value decomposition."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.indexes.exact import distances
from vecrollback.records import arrays
from vecrollback.records.arrays import cosines, singular_values


def test_rows_are_compared_as_the_definition_says() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 50, 384)).astype(np.float32)
    expected = [float(np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y))) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosines(a, b), expected, atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_a_direction_has_no_cosine_and_is_never_near_enough(bad: float) -> None:
    whole, broken = np.ones((1, 8), np.float32), np.full((1, 8), bad, np.float32)
    for one, other in ((whole, broken), (broken, whole), (broken, broken)):
        (cosine,) = cosines(one, other)
        assert np.isnan(cosine)
        assert not cosine >= 0.9


@given(st.integers(1, 600), st.floats(1e-6, 1e6))
def test_length_and_dimension_change_nothing(dimension: int, factor: float) -> None:
    vectors = np.random.default_rng(dimension).standard_normal((3, dimension)).astype(np.float32)
    np.testing.assert_allclose(cosines(vectors, vectors * np.float32(factor)), 1.0, atol=1e-6)
    assert (np.abs(cosines(vectors, vectors)) <= 1.0).all()


def test_an_index_that_holds_a_zero_vector_as_zero_is_exact_and_one_that_holds_nan_is_not() -> None:
    zero, one, bad = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32), np.full((1, 4), np.nan, np.float32)
    assert distances(zero, zero, "dot").tolist() == [0.0]
    assert distances(one, zero, "dot").tolist() == distances(zero, one, "dot").tolist() == [1.0]
    assert np.isnan(distances(bad, one, "dot")).all()


def test_the_example_runs() -> None:
    outcome = doctest.testmod(arrays)
    assert (outcome.failed, outcome.attempted > 0) == (0, True)


def test_singular_values_come_where_the_quick_way_does_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(0).standard_normal((40, 24))
    expected = np.linalg.svd(matrix, full_matrices=False)

    def diverge(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", diverge)
    left, strengths, right = singular_values(matrix)
    np.testing.assert_allclose(strengths, expected[1])
    np.testing.assert_allclose((left * strengths) @ right, matrix, atol=1e-12)
