"""What foreign vectors do to answers: the index as it is against the index as it would be once repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.purity.population import Population
from vecrollback.records import GoldenQuery
from vecrollback.records.arrays import FloatArray, Numbers

_CHUNKS_PER_DOCUMENT = 4


class JudgedQueries(NamedTuple):
    """Queries whose right answers are known, (n, dimension), made by the own embedder; of each, id -> grade."""

    queries: FloatArray
    grades: Sequence[Mapping[str, float]]


def embed_judged(queries: Sequence[GoldenQuery], embed: Callable[[list[str]], FloatArray]) -> JudgedQueries | None:
    """The golden queries that have answers, embedded; None when none has."""
    with_answers = [query for query in queries if query.judged]
    return (
        JudgedQueries(embed([query.text for query in with_answers]), [query.expected for query in with_answers])
        if with_answers
        else None
    )


class Ndcg(NamedTuple):
    """nDCG@k of the index as it is, and as it would be once repaired."""

    now: float
    repaired: float


@dataclass(frozen=True, slots=True)
class Harm:
    """What would change. `overlap`: mean share of the k results that stay after the repair; at 1.0 nobody would notice.

    `worst`: of the query it changes most. `ndcg`: of queries with known answers, where there are any. `rows`: how many
    were searched for the overlap, which may be a part of the index.
    """

    k: int
    queries: int
    rows: int
    overlap: float
    worst: float
    ndcg: Ndcg | None = None

    @property
    def harmless(self) -> bool:
        """At least 99 of 100 results stay, and the golden queries lose less than a thousandth."""
        loss = self.ndcg.repaired - self.ndcg.now if self.ndcg else 0.0
        return self.overlap >= 0.99 and loss < 0.001

    def __str__(self) -> str:
        sentence = f"{self.overlap:.1%} of the {self.k} results near them stay after a repair"
        if self.ndcg:
            sentence += f"; nDCG@{self.k} of the golden queries is {self.ndcg.now:.3f}, then {self.ndcg.repaired:.3f}"
        return sentence


def harm(index_vectors: FloatArray, rows: Numbers, own: FloatArray, queries: FloatArray, *, k: int = 10) -> Harm:
    """Measure the overlap by exact search, by cosine.

    `index_vectors`: (n, dimension), the index or a part of it; `rows`: which of them are foreign; `own`: what they
    should be; `queries`: made by the own embedder.
    """
    k = min(k, len(index_vectors))
    if not k or not len(queries):
        return Harm(k, len(queries), len(index_vectors), 1.0, 1.0)
    repaired = index_vectors.copy()
    repaired[rows] = own
    before, after = _nearest(index_vectors, queries, k), _nearest(repaired, queries, k)
    same = np.array([len(np.intersect1d(a, b)) / k for a, b in zip(before, after, strict=True)])
    return Harm(k, len(queries), len(index_vectors), float(same.mean()), float(same.min()))


def golden_harm(population: Population, own: Mapping[int, FloatArray], judged: JudgedQueries, *, k: int = 10) -> Ndcg:
    """Measure nDCG@k by exact search over the whole index, in one pass; `own`: what foreign rows should be.

    A document counts by its best row; nDCG has linear gain.
    """
    queries, depth = _units(judged.queries), _CHUNKS_PER_DOCUMENT * k
    now, repaired = _Best(len(queries), depth), _Best(len(queries), depth)
    rows = np.array(sorted(own), np.int64)
    for first, block in population.blocks():
        scores = queries @ _units(block).T
        now.take(first, scores)
        here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + len(block))]
        if len(here):
            scores[:, here - first] = queries @ _units(np.stack([own[row] for row in here.tolist()])).T
        repaired.take(first, scores)
    return Ndcg(*(_ndcg(population, best.rows, judged.grades, k) for best in (now, repaired)))


class _Best:
    """The rows of the highest scores for each query, best first."""

    def __init__(self, queries: int, count: int) -> None:
        self._count = count
        self._scores = np.empty((queries, 0), np.float32)
        self.rows = np.empty((queries, 0), np.int64)

    def take(self, first: int, scores: FloatArray) -> None:
        rows = np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape)
        scores, rows = np.hstack([self._scores, scores]), np.hstack([self.rows, rows])
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._count]
        self._scores, self.rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _nearest(vectors: FloatArray, queries: FloatArray, k: int) -> NDArray[np.int64]:
    best = _Best(len(queries), k)
    best.take(0, _units(queries) @ _units(vectors).T)
    return best.rows


def _units(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        return np.asarray(np.nan_to_num(vectors / lengths), dtype=np.float32)


def _ndcg(population: Population, ranking: Numbers, grades: Sequence[Mapping[str, float]], k: int) -> float:
    """Mean over the queries that have a relevant document."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    values = []
    for rows, relevant in zip(ranking, grades, strict=True):
        ideal = np.sort([grade for grade in relevant.values() if grade > 0])[::-1][:k]
        if len(ideal):
            ids = list(dict.fromkeys(population.ids(rows)))[:k]
            gain = np.dot([relevant.get(id_, 0.0) for id_ in ids], discounts[: len(ids)])
            values.append(float(gain / np.dot(ideal, discounts[: len(ideal)])))
    return float(np.mean(values)) if values else 0.0
