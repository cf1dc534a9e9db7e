"""A fine-tune whose vectors lie among own ones is found by what their texts do not suggest.

Covers quality.purity.text_model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.support.purity_worlds import Table, units
from vecrollback.quality.purity import Arrays, AuditRequest, AuditResult, audit
from vecrollback.quality.purity.text_model import TextModel
from vecrollback.records.arrays import FloatArray

_DIMENSION, _WORDS, _LENGTH = 32, 150, 10


def texts_and_vectors(seed: int, count: int) -> tuple[list[str], FloatArray]:
    """Texts of a number and ten words, and vectors most of which follows from the words."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, _WORDS, (count, _LENGTH))
    meaning = random.normal(size=(_WORDS, _DIMENSION))[drawn].sum(axis=1) / np.sqrt(_LENGTH)
    texts = [f"t{n} " + " ".join(f"word{word}" for word in row) for n, row in enumerate(drawn.tolist())]
    return texts, units(meaning + 0.35 * random.normal(size=meaning.shape))


def fine_tuned(own: FloatArray, by: float) -> FloatArray:
    """What a model makes that moves all vectors one way, each a little otherwise."""
    random = np.random.default_rng(8)
    way = units(random.normal(size=(1, _DIMENSION)))
    return units(own + by * way + 0.05 * random.normal(size=own.shape))


def test_a_suggestion_comes_from_the_texts_of_other_rows() -> None:
    texts, own = texts_and_vectors(1, 1_200)
    model = TextModel(np.arange(1_200), texts, np.ones(1_200, bool), np.random.default_rng(2))
    rest = own - model.suggest(own)
    assert (rest**2).sum() < 0.4 * ((own - own.mean(axis=0)) ** 2).sum()
    changed = own.copy()
    changed[7] = -own[7]
    assert np.array_equal(model.suggest(changed)[7], model.suggest(own)[7])


def searched(texts: list[str], own: FloatArray, other: FloatArray, foreign: list[int]) -> AuditResult:
    stored = own.copy()
    stored[foreign] = other[foreign]
    tables = Table(own), Table(other)

    def numbered(table: Table, asked: Sequence[str]) -> FloatArray:
        return table([text.split()[0] for text in asked])

    return audit(
        Arrays(stored, texts),
        lambda asked: numbered(tables[0], asked),
        suspects={"tuned": lambda asked: numbered(tables[1], asked)},
        request=AuditRequest(bound=0.02, seed=3),
    )


def beyond(found: AuditResult) -> int:
    """Texts embedded beside the foreign rows, until the search was over."""
    return sum(found.embedded.values()) - found.embedded["random"] - len(found.rows)


def test_rows_of_a_fine_tune_among_own_ones_are_found_by_their_texts() -> None:
    texts, own = texts_and_vectors(4, 3_000)
    foreign = np.sort(np.random.default_rng(5).choice(3_000, 60, replace=False)).tolist()
    other = fine_tuned(own, by=0.45)
    found = searched(texts, own, other, foreign)
    unread = searched([text.split()[0] for text in texts], own, other, foreign)  # numbers alone say nothing
    assert set(found.rows) <= set(foreign)
    assert len(found.rows) == 60
    assert beyond(found) <= 400
    assert len(unread.rows) < len(found.rows)
