"""Maps from one model's vectors to another model's space, fitted in closed form from texts that both have embedded.

Four kinds compete, from the stiffest to the most supple: a rotation (orthogonal Procrustes, Schönemann 1966), ridge
regression, ridge of a lower rank (reduced-rank regression, Izenman 1975), and local maps: ridge, corrected by what it
leaves over at the texts nearest to the query, whose vectors in both spaces travel with the map. Which one is best
depends on how the two models differ and on how many texts there are, so that is measured: by the share of the true
nearest neighbours that held-out vectors find after they were mapped.

Measured on SciFact and on Debian descriptions between three models of two families: linear maps kept 0.4 to 0.6 of the
nDCG of the second model's own queries, local maps 0.9. A short query lies where no document does, and its nearest texts
say more about the second space there than any rule for the whole of it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, singular_values

NEIGHBOURS = 10
"""Recall of a map is measured at so many neighbours."""

_RIDGES = (1e-3, 1e-2, 1e-1)
"""Strengths of the ridge, as shares of the mean variance of the first model's vectors."""
_RANK = 0.5
"""Of the smaller dimension."""
_NEAR, _SPREAD = 20, 0.05
"""Texts that correct one query, and the difference of cosines over which their weight falls to 1/e. Twice or half as
much of either changed nDCG by at most 0.03."""
_ANCHOR_BYTES = 64 << 20
"""Every searcher that may need a bridge reads its anchors."""


@dataclass(frozen=True, slots=True)
class BridgeMap:
    """`(x - mean_in) @ weights + mean_out`, plus, of a local map, what that leaves over at the anchors near x.

    Shapes: mean_in (a,), mean_out (b,), weights (a, b), anchors (n, a), left_over (n, b); n is 0 of other maps. Anchors
    are of unit length, after `mean_in` was taken from them. `metric`: of the space that it leads to; its vectors have
    unit length when that is "cosine".
    """

    method: str
    metric: Metric
    mean_in: FloatArray
    mean_out: FloatArray
    weights: FloatArray
    anchors: FloatArray
    left_over: FloatArray

    def apply(self, vectors: FloatArray) -> FloatArray:
        """Map vectors, shape (n, a) to (n, b), float32."""
        centred: FloatArray = np.asarray(vectors - self.mean_in, np.float32)
        mapped = centred @ self.weights + self.mean_out
        if len(self.anchors):
            near: FloatArray = _unit(centred) @ self.anchors.T
            places = np.argpartition(-near, min(_NEAR, near.shape[1]) - 1, axis=1)[:, :_NEAR]
            near = np.take_along_axis(near, places, axis=1)
            shares = np.exp((near - near.max(axis=1, keepdims=True)) / _SPREAD)
            shares /= shares.sum(axis=1, keepdims=True)
            mapped += np.einsum("ij,ijk->ik", shares, self.left_over[places])
        if self.metric == "cosine":
            mapped = _unit(mapped)
        return np.ascontiguousarray(mapped, dtype=np.float32)

    def encoded(self, facts: Mapping[str, Json]) -> bytes:
        """The map as a file, with what was measured of it: both are of one digest."""
        stream = io.BytesIO()
        text = json.dumps({"method": self.method, "metric": self.metric, **facts}, sort_keys=True)
        # Anchors in half precision: they only weight and correct, and are nearly all of the file.
        halves = {name: getattr(self, name).astype(np.float16) for name in ("anchors", "left_over")}
        arrays = {name: getattr(self, name) for name in _ARRAYS} | halves
        np.savez(stream, facts=np.frombuffer(text.encode(), np.uint8), **arrays)
        return stream.getvalue()


_ARRAYS = ("mean_in", "mean_out", "weights", "anchors", "left_over")


def decode_map(data: bytes) -> BridgeMap:
    """Read what `encoded` wrote. Its bytes have their digest, so they are what was written."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        return BridgeMap(facts["method"], facts["metric"], **{name: file[name].astype(np.float32) for name in _ARRAYS})


def fit_maps(source: FloatArray, target: FloatArray, metric: Metric) -> Iterator[BridgeMap]:
    """Fit every kind of map to vectors of the same texts, shapes (n, a) and (n, b); the stiffest kind first."""
    mean_in, mean_out = source.mean(axis=0), target.mean(axis=0)
    x, y = (source - mean_in).astype(np.float64), (target - mean_out).astype(np.float64)
    variances, axes = np.linalg.eigh(x.T @ x / len(x))
    between = x.T @ y / len(x)
    variances = np.maximum(variances, 0.0)
    none = np.empty((0, x.shape[1]), np.float32), np.empty((0, y.shape[1]), np.float32)

    def affine(method: str, weights: NDArray[np.float64]) -> BridgeMap:
        return BridgeMap(method, metric, mean_in, mean_out, weights.astype(np.float32), *none)

    left, strengths, right = singular_values(between)
    yield affine("orthogonal", left @ right * (strengths.sum() / max(float(variances.sum()), 1e-12)))
    for share in _RIDGES:
        strength = share * max(float(variances.mean()), 1e-12)
        weights = axes @ ((axes.T @ between) / (variances + strength)[:, None])
        whole = affine(f"ridge {share:g}", weights)
        yield whole
        # Directions of the second space, by how much of the fit lies along them.
        directions = singular_values((axes * np.sqrt(variances)).T @ weights)[2]
        rank = max(1, int(_RANK * min(weights.shape)))
        yield affine(f"low-rank affine {rank}, ridge {share:g}", weights @ directions[:rank].T @ directions[:rank])
        count = min(len(x), _ANCHOR_BYTES // (2 * (x.shape[1] + y.shape[1])))
        left_over = (y[:count] - x[:count] @ weights).astype(np.float32)
        anchors = _unit(x[:count].astype(np.float32))
        yield replace(whole, method=f"local maps, ridge {share:g}", anchors=anchors, left_over=left_over)


def choose_map(maps: Iterator[BridgeMap], source: FloatArray, target: FloatArray, base: FloatArray) -> BridgeMap:
    """The map with the highest recall on held-out vectors; of two alike the stiffer, which comes first.

    `source`, `target`: vectors of the same held-out texts, shapes (n, a) and (n, b). `base`: vectors of other texts in
    the second space, (m, b), among which neighbours are looked for.
    """
    first = next(maps)
    truth = nearest(target, base, first.metric)
    best, highest = first, recall(truth, nearest(first.apply(source), base, first.metric))
    for one in maps:
        value = recall(truth, nearest(one.apply(source), base, one.metric))
        if value > highest:
            best, highest = one, value
    return best


def nearest(queries: FloatArray, base: FloatArray, metric: Metric, k: int = NEIGHBOURS) -> NDArray[np.int64]:
    """Rows of `base` nearest to each query, shape (n, k), in no order."""
    scores = queries @ base.T
    if metric == "l2":
        scores = 2 * scores - np.einsum("ij,ij->i", base, base)
    k = min(k, len(base))
    return np.asarray(np.argpartition(-scores, k - 1, axis=1)[:, :k], dtype=np.int64)


def recall(truth: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    """Mean share of the true neighbours that the answers hold."""
    both = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(truth, answers, strict=True)]
    return float(np.mean(both)) if both else 0.0


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
