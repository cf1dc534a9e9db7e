"""The first look where no suspect is known: where vectors disagree with their texts, and several do so alike.

From the words of a text the vector of its own model can be predicted in part. What is left over, whitened, is mostly
chance: two rows whose texts and vectors have nothing in common leave over things that have nothing in common either.
Vectors of another model share one displacement, so what they leave over points the same way however few they are.
Pairs of rows that leave over the same, though neither their words nor their vectors are close, are looked at first.
So are the rows that leave over most: a model that is not related at all lies far from everything.

Nothing is embedded for it, and nothing is decided by it. It needs the texts of a sample of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.purity.directions import whiten
from vecrollback.records.arrays import FloatArray, Numbers

Words: TypeAlias = Any
"""A sparse matrix of SciPy, which is imported when it is needed: texts by buckets of words."""

LEAST_TEXTS = 256
"""Rows below which words say nothing: to embed them all costs less."""

_WORDS = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
"""A word, or one character where a script has no spaces between words."""
_BUCKETS, _CHARACTERS = 4_096, 4_000
_RIDGE = 1.0
_NEIGHBOURS, _LINES = 16, 1_024
_BEST_PAIRS, _RANDOM_PAIRS = 20_000, 20_000
_FAR_BY_VECTOR, _FAR_BY_WORDS = 0.99, 0.9
"""Two rows have nothing in common when they are no closer than these shares of random pairs."""


@dataclass(frozen=True, slots=True)
class TextScreen:
    """A sample of rows with their texts. `rest`: what the words do not explain of each vector, (n, dimension).

    The vectors are of unit length; `rest` is predicted for each half of the sample from the other half.
    """

    vectors: FloatArray
    rest: FloatArray
    words: Words

    def conspicuous(self, random: np.random.Generator) -> Numbers:
        """Places in the sample, the most conspicuous first."""
        white = (self.rest - self.rest.mean(axis=0)) @ whiten(self.rest).root
        size = np.linalg.norm(white, axis=1)
        unusual = np.argsort(-size, kind="stable")
        ways = [iter(unusual.tolist()), *map(chain.from_iterable, self._alike(white, size, random))]
        merged = [place for turn in zip_longest(*_in_steps(ways)) for step in turn if step for place in step]
        return np.array(list(dict.fromkeys(merged)), dtype=np.int64)

    def _alike(
        self, white: FloatArray, size: FloatArray, random: np.random.Generator
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Pairs of rows that leave over the same, best first: of those far apart by vector, and of those by words.

        Each alone misses some: vectors of a narrow model are all close to each other, words of long texts are.
        """
        one, other, shared = _best_pairs(white)
        order = np.argsort(-shared / np.sqrt(size[one] * size[other]), kind="stable")[:_BEST_PAIRS]
        one, other = one[order], other[order]
        expected = _units(self.vectors - self.rest - self.vectors.mean(axis=0))
        centred = _units(self.vectors - self.vectors.mean(axis=0))
        drawn = random.integers(0, len(white), (2, _RANDOM_PAIRS))
        drawn = drawn[:, drawn[0] != drawn[1]]
        far_by_vector = _far(centred, drawn, (one, other), _FAR_BY_VECTOR)
        by_words = self._words_in_common(one, other) < np.quantile(self._words_in_common(*drawn), _FAR_BY_WORDS)
        far_by_words = by_words & _far(expected, drawn, (one, other), _FAR_BY_WORDS)
        pairs = np.stack([one, other], axis=1)
        return pairs[far_by_vector].tolist(), pairs[far_by_words].tolist()

    def _words_in_common(self, one: Numbers, other: Numbers) -> NDArray[np.float32]:
        return np.asarray(self.words[one].multiply(self.words[other]).sum(axis=1), dtype=np.float32).ravel()


def read_texts(vectors: FloatArray, texts: Sequence[str], random: np.random.Generator) -> TextScreen:
    """Learn what words say of vectors (n, dimension) of unit length, from `LEAST_TEXTS` rows or more."""
    words = weighed(texts, _BUCKETS)
    order, half = random.permutation(len(texts)), len(texts) // 2
    halves = order[:half], order[half:]
    mean = vectors.mean(axis=0)
    maps = [_ridge(words[part], vectors[part] - mean) for part in halves]
    rest = np.empty_like(vectors)
    for part, by_other_half in zip(halves, reversed(maps), strict=True):
        rest[part] = vectors[part] - mean - words[part] @ by_other_half
    return TextScreen(vectors, rest, words)


def weighed(texts: Sequence[str], buckets: int) -> Words:
    """Words of each text in buckets, at unit length; a word counts for more where few texts have it."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    hashing = HashingVectorizer(
        n_features=buckets, token_pattern=_WORDS, alternate_sign=False, norm=None, dtype=np.float32
    )
    counted = hashing.transform([text[:_CHARACTERS] for text in texts])
    np.log1p(counted.data, out=counted.data)
    known = np.asarray((counted > 0).sum(axis=0), dtype=np.float64).ravel()
    weights = (np.log((1 + len(texts)) / (1 + known)) + 1).astype(np.float32)
    used = np.flatnonzero(known) if known.any() else np.zeros(1, np.int64)
    return normalize(counted.multiply(weights).tocsr()[:, used], copy=False)


def _ridge(words: Words, vectors: FloatArray) -> FloatArray:
    from scipy.linalg import solve

    products = (words.T @ words).toarray()
    products[np.diag_indices(len(products))] += _RIDGE
    right = np.asarray(words.T @ vectors)
    return np.asarray(solve(products, right, assume_a="pos", overwrite_a=True, check_finite=False), dtype=np.float32)


def _best_pairs(white: FloatArray) -> tuple[Numbers, Numbers, FloatArray]:
    """Each row with those that point most its way: (one, other, product), every pair once."""
    count, most = len(white), min(_NEIGHBOURS, len(white) - 1)
    others = np.empty((count, most), np.int64)
    products = np.empty((count, most), np.float32)
    for start in range(0, count, _LINES):
        alike = white[start : start + _LINES] @ white.T
        here = np.arange(len(alike))
        alike[here, start + here] = -np.inf
        others[start : start + _LINES] = np.argpartition(-alike, most - 1, axis=1)[:, :most]
        products[start : start + _LINES] = np.take_along_axis(alike, others[start : start + _LINES], axis=1)
    first, second = np.repeat(np.arange(count), most), others.ravel()
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, once = np.unique(low * count + high, return_index=True)
    return low[once], high[once], products.ravel()[once]


def _far(units: FloatArray, drawn: Numbers, pairs: tuple[Numbers, Numbers], share: float) -> NDArray[np.bool_]:
    """Which pairs are no closer than so many of those drawn at random."""
    near, usual = (np.einsum("ij,ij->i", units[one], units[other]) for one, other in (pairs, drawn))
    return np.asarray(near < np.quantile(usual, share))


def _units(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _in_steps(ways: Sequence[Iterator[int]]) -> list[Iterator[list[int]]]:
    """Of the first way one row at a time, of the others two: a pair."""
    return [_stepped(way, 2 if number else 1) for number, way in enumerate(ways)]


def _stepped(way: Iterator[int], size: int) -> Iterator[list[int]]:
    while step := [place for _, place in zip(range(size), way, strict=False)]:
        yield step
