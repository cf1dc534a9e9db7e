"""Rows of another model are pointed at by their texts, with no suspect and nothing embedded.

Covers quality.purity.text_screen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.purity_worlds import Table, units
from vecrollback.quality.purity import Arrays, AuditRequest, audit
from vecrollback.quality.purity.directions import whiten
from vecrollback.quality.purity.text_screen import read_texts
from vecrollback.records.arrays import FloatArray

_DIMENSION, _WORDS, _LENGTH = 64, 300, 12


def texts_and_vectors(seed: int, count: int = 3_000, alphabet: int = 0) -> tuple[list[str], FloatArray]:
    """Texts of words, and vectors half of which follows from them. `alphabet`: first letter of a script."""
    random = np.random.default_rng(seed)
    words = [chr(alphabet + n) if alphabet else f"word{n}" for n in range(_WORDS)]
    drawn = random.integers(0, _WORDS, (count, _LENGTH))
    meaning = random.normal(size=(_WORDS, _DIMENSION))[drawn].sum(axis=1) / np.sqrt(_LENGTH)
    vectors = meaning + random.normal(size=(count, _DIMENSION))
    return [("" if alphabet else " ").join(words[n] for n in row) for row in drawn], units(vectors)


def displaced(vectors: FloatArray, rows: list[int], by: float = 1.0) -> FloatArray:
    """These rows as a model would have them that moves all of its vectors one way."""
    stored = vectors.copy()
    stored[rows] = units(stored[rows] + by * units(np.random.default_rng(9).normal(size=(1, _DIMENSION))))
    return stored


@pytest.mark.parametrize("count", [3, 6, 30])
def test_the_rows_of_another_model_come_first_however_few_they_are(count: int) -> None:
    texts, own = texts_and_vectors(1)
    foreign = list(range(7, 7 + 90 * count, 90))
    stored = displaced(own, foreign, by=1.5)
    random = np.random.default_rng(3)
    places = read_texts(stored, texts, random).conspicuous(random)
    assert len(set(places[:96].tolist()) & set(foreign)) >= min(count, 3)
    assert len(set(places.tolist())) == len(texts)  # every row stands in the order, once


def test_it_sees_what_the_least_usual_vectors_do_not_show() -> None:
    """Enough of them make their own direction usual."""
    texts, own = texts_and_vectors(2)
    foreign = list(range(5, 3_000, 60))
    stored = displaced(own, foreign, by=0.9)
    random = np.random.default_rng(4)
    unusual = np.argsort(-whiten(stored).mahalanobis()(stored))[:16]
    first = read_texts(stored, texts, random).conspicuous(random)[:16]
    assert len(set(first.tolist()) & set(foreign)) >= 8
    assert len(set(unusual.tolist()) & set(foreign)) <= 4


def test_rows_of_one_subject_do_not_come_before_those_that_have_nothing_in_common() -> None:
    """A word that a few texts share moves their vectors alike too."""
    texts, own = texts_and_vectors(5)
    subject, foreign = list(range(0, 12)), list(range(100, 700, 100))
    texts = [f"{text} heliotrope heliotrope heliotrope" if n in subject else text for n, text in enumerate(texts)]
    random = np.random.default_rng(6)
    stored = own.copy()
    stored[subject] = units(stored[subject] + 1.2 * units(random.normal(size=(1, _DIMENSION))))
    stored = displaced(stored, foreign, by=1.2)
    first = read_texts(stored, texts, random).conspicuous(random)[:40].tolist()
    assert len(set(first) & set(foreign)) > len(set(first) & set(subject))


@pytest.mark.parametrize("alphabet", [0, 0x4E00], ids=["words", "no spaces"])
def test_words_explain_a_part_of_the_vectors_in_every_script(alphabet: int) -> None:
    texts, own = texts_and_vectors(7, alphabet=alphabet)
    rest = read_texts(own, texts, np.random.default_rng(8)).rest
    left = float((rest**2).sum() / ((own - own.mean(axis=0)) ** 2).sum())
    assert 0.4 < left < 0.75  # half follows from the words; what was not learned from is predicted


def test_texts_without_words_say_nothing_and_stop_nothing() -> None:
    _, own = texts_and_vectors(10, count=400)
    random = np.random.default_rng(11)
    assert sorted(read_texts(own, [""] * 400, random).conspicuous(random).tolist()) == list(range(400))


def test_an_audit_without_a_suspect_finds_them_all_for_few_embeddings() -> None:
    texts, own = texts_and_vectors(12)
    numbered = [f"t{n} {text}" for n, text in enumerate(texts)]
    foreign = [40, 900, 1_300, 2_000, 2_500, 2_900]
    table = Table(own)

    def embed(asked: Sequence[str]) -> FloatArray:
        return table([text.split()[0] for text in asked])

    found = audit(Arrays(displaced(own, foreign, by=1.5), numbered), embed, request=AuditRequest(bound=0.02, seed=13))
    assert list(found.rows) == foreign
    assert sum(found.embedded.values()) - found.embedded["random"] - len(foreign) <= 300
