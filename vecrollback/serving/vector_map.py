"""A pair's vectors as points in the plane, so that a mix can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.pairs.vectors import Vectors, matrix, newest
from vecrollback.records import Pair
from vecrollback.records.arrays import FloatArray

_COLUMNS = ["doc_id", "ordinal", "fingerprint", "vector"]


class MapPoint(NamedTuple):
    """A vector in the plane. `fingerprint`: what it says it was made by; `named`: by the last check, as foreign."""

    id: str
    chunk: int
    x: float
    y: float
    fingerprint: str
    named: bool


@dataclass(frozen=True, slots=True)
class VectorMap:
    """A sample of a pair's `population` of vectors on two principal axes, which explain these shares."""

    pair: str
    snapshot: int
    population: int
    explained: tuple[float, float]
    fingerprint: str
    points: tuple[MapPoint, ...]


def project(
    pair: Pair,
    vectors: Vectors,
    tombstones: Mapping[str, int],
    own: frozenset[str],
    named: frozenset[str],
    sample: int,
) -> VectorMap:
    """Draw a sample of the vectors that count, and all suspects up to half of it, and project them by PCA.

    Suspects: rows of another fingerprint than `own`, and those of documents `named` by the last check.
    """
    version = pair.vectors_version
    keys = vectors.keys(version)
    live_rows = newest(keys, dict(tombstones))
    live_rows = live_rows[np.asarray(keys["ordinal"])[live_rows] >= 0]
    other = ~_is_in(vectors.fingerprints(version), own)[live_rows]
    foreign = _is_in(keys["doc_id"], named)[live_rows]
    sample_rows = live_rows[_draw(other | foreign, sample)]
    if not len(sample_rows):
        return VectorMap(pair.name, pair.snapshot, len(live_rows), (0.0, 0.0), pair.fingerprint, ())
    rows = vectors.take(version, sample_rows, _COLUMNS)
    suspect = ~_is_in(rows["fingerprint"], own) | _is_in(rows["doc_id"], named)
    places, explained = pca(matrix(rows["vector"], vectors.dimension), suspect)
    columns = (rows[name].to_pylist() for name in _COLUMNS[:3])
    points = tuple(
        MapPoint(id_, ordinal, round(float(x), 4), round(float(y), 4), made_by, id_ in named)
        for id_, ordinal, made_by, (x, y) in zip(*columns, places, strict=True)
    )
    return VectorMap(pair.name, pair.snapshot, len(live_rows), explained, pair.fingerprint, points)


def pca(vectors: FloatArray, suspect: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates (n, 2) on the first two principal axes, and the share of the variance that each explains.

    Suspects weigh as much together as all others together: the axes of a plain PCA are those of the many, and a few
    vectors of another model would lie among them.
    """
    data = np.nan_to_num(vectors.astype(np.float64), posinf=0.0, neginf=0.0)
    weights = np.full(len(data), 1 / len(data))
    if suspect.any() and not suspect.all():
        weights = np.where(suspect, 0.5 / suspect.sum(), 0.5 / (~suspect).sum())
    centred = data - weights @ data
    values, axes = np.linalg.eigh((centred * weights[:, None]).T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)  # or each reading may mirror it
    total = float(values.sum()) or 1.0
    return centred @ axes, (float(values[-1]) / total, float(values[-2]) / total)


def _draw(suspect: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Positions: suspects first, up to half of the sample, the rest at random. The same ones each time."""
    chance = np.random.default_rng(0)
    suspects = chance.permutation(np.flatnonzero(suspect))[: size // 2]
    others = chance.permutation(np.flatnonzero(~suspect))[: size - len(suspects)]
    return np.sort(np.concatenate([suspects, others]))


def _is_in(column: pa.ChunkedArray, values: frozenset[str]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(column, value_set=pa.array(sorted(values), pa.string())), dtype=bool)
