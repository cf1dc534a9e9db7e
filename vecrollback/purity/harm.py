"""What foreign vectors do to answers: the index as it is against the index as it would be once repaired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.purity.population import FloatArray, Numbers

Grades = Sequence[Mapping[int, float]]
"""Of each golden query: row -> how relevant it is."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What would change. `overlap`: mean share of the k results that stay after the repair; at 1.0 nobody would notice.

    `worst`: of the query it changes most. `ndcg`, `ndcg_repaired`: with golden queries. `rows`: how many were searched,
    which may be a part of the index.
    """

    k: int
    queries: int
    rows: int
    overlap: float
    worst: float
    ndcg: float | None = None
    ndcg_repaired: float | None = None

    @property
    def harmless(self) -> bool:
        """At least 99 of 100 results stay, and the golden queries lose less than a thousandth."""
        lost = 0.0 if self.ndcg is None or self.ndcg_repaired is None else self.ndcg_repaired - self.ndcg
        return self.overlap >= 0.99 and lost < 0.001


def harm(
    stored: FloatArray,
    rows: Numbers,
    own: FloatArray,
    queries: FloatArray,
    *,
    k: int = 10,
    grades: Grades | None = None,
) -> Harm:
    """Measure by exact search, by cosine.

    `stored`: (n, dimension), the index or a part of it; `rows`: which of them are foreign; `own`: what they should be;
    `queries`: made by the own embedder. `grades` count the rows of `stored`.
    """
    k = min(k, len(stored))
    if not k or not len(queries):
        return Harm(k, len(queries), len(stored), 1.0, 1.0)
    repaired = stored.copy()
    repaired[rows] = own
    before, after = _nearest(stored, queries, k), _nearest(repaired, queries, k)
    same = np.array([len(np.intersect1d(a, b)) / k for a, b in zip(before, after, strict=True)])
    golden = {} if grades is None else {"ndcg": _ndcg(before, grades), "ndcg_repaired": _ndcg(after, grades)}
    return Harm(k, len(queries), len(stored), float(same.mean()), float(same.min()), **golden)


def _nearest(vectors: FloatArray, queries: FloatArray, k: int) -> NDArray[np.int64]:
    units = _units(vectors)
    found = []
    for query in _units(queries):
        scores = units @ query
        best = np.argpartition(-scores, k - 1)[:k]
        found.append(best[np.lexsort((best, -scores[best]))])
    return np.stack(found)


def _units(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        return np.asarray(np.nan_to_num(vectors / lengths), dtype=np.float32)


def _ndcg(ranked: NDArray[np.int64], grades: Grades) -> float:
    """Mean over the queries that have a relevant row."""
    values = []
    for rows, relevant in zip(ranked.tolist(), grades, strict=True):
        if not any(relevant.values()):
            continue
        discounts = 1 / np.log2(np.arange(2, len(rows) + 2))
        gain = float(np.dot([relevant.get(row, 0.0) for row in rows], discounts))
        ideal = np.sort(np.array(list(relevant.values()), float))[::-1][: len(rows)]
        values.append(gain / float(np.dot(ideal, discounts[: len(ideal)])))
    return float(np.mean(values)) if values else 0.0
