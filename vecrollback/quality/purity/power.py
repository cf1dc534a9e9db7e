"""What a comparison could tell in this very index, measured before its verdict is believed.

Where the storage gives vectors back changed, a row is compared with what the storage would make of the own vector: of
an own row that is the row itself, however coarse the codes are. The floor is what becomes of a vector that strays from
the own one as far as the own model may. Then three things are sent the same way. Made-up relatives, vectors at a known
cosine to the own ones, half of them towards other vectors of the index: how near a foreign vector may be and still be
told. Rows against own vectors of other texts. And the rows themselves, which must come back as they are, or the storage
is not the one that was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vecrollback.quality.probabilities import beta_quantile
from vecrollback.records.arrays import Cosines, FloatArray, cosines

Keep: TypeAlias = Callable[[FloatArray], FloatArray]
"""What a storage gives back of vectors (n, dimension) put into it."""

RELATIVE = 0.9
"""Cosine to the own vector, up to which a foreign one must be told, or no verdict is given. Fine-tunes of a model lie
at 0.5 to 0.85, other models lower."""

_COSINES = (0.999, 0.99, 0.98, 0.95, RELATIVE, 0.8, 0.7, 0.5)
_TOLD = 0.95
"""Share of relatives that must be told for a cosine to count as told."""
_ROUNDS = 2
_FEW = 8
"""Pairs below which nothing is said of them."""


@dataclass(frozen=True, slots=True)
class Power:
    """What the floor tells.

    `near`: the greatest cosine to the own vector, of those tried, at which a foreign vector is told; None: at none.
    `told`, `tried`: made-up relatives at cosine 0.9. `others`: share of rows told from own vectors of other texts; None
    where there are too few. `lacks`: why no verdict can be given, in words; empty when one can.
    """

    floor: float
    near: float | None
    told: int
    tried: int
    others: float | None
    lacks: str = ""
    faithful: bool = True

    def sensitivity(self, alpha: float) -> float:
        """The least chance that a foreign vector is told, at 1 - alpha confidence; 1.0 where arithmetic says so."""
        if not self.tried or self.lacks:
            return 1.0
        return beta_quantile(alpha, self.told, self.tried - self.told + 1)


def by_floor(floor: float, asked_floor: float, own: FloatArray, index_vectors: FloatArray) -> Power:
    """The power where vectors come back as they are, but for a rounding that lowered the floor asked for."""
    angle = 2 * np.arccos(min(1.0, floor)) - np.arccos(min(1.0, asked_floor))
    near = next((cosine for cosine in _COSINES if np.arccos(cosine) > angle), None)
    others = _others(index_vectors, own, own, floor)
    return Power(floor, near, 0, 0, others, _lacks(near, others, floor))


def in_storage(
    asked_floor: float, own: FloatArray, index_vectors: FloatArray, keep: Keep, again: Keep, random: np.random.Generator
) -> Power:
    """The floor and its power where `keep` gives own vectors back changed, and `again` what is stored already.

    `own`: what the own embedder makes of the texts of a few hundred rows; `index_vectors`: the rows.
    """
    own_there = keep(own)
    floor = min(asked_floor, float(np.min(_stray(own, own_there, asked_floor, keep, random), initial=1.0)))
    shares = {cosine: _stray(own, own_there, cosine, keep, random) < floor for cosine in _COSINES}
    near = next((cosine for cosine, told in shares.items() if len(told) and told.mean() >= _TOLD), None)
    others = _others(index_vectors, own, own_there, floor)
    as_before = _finite(cosines(again(index_vectors), index_vectors)) >= floor
    steady = _finite(cosines(keep(own), own_there)) >= asked_floor
    faithful = all(not len(one) or bool(one.mean() >= _TOLD) for one in (as_before, steady))
    lacks = _lacks(near, others, floor)
    if not faithful:
        lacks = "the index does not give a vector the same code twice, so no row can be compared with a new one"
    told = shares[RELATIVE]
    return Power(floor, near, int(told.sum()), len(told), others, lacks, faithful)


def scaling(own: FloatArray, index_vectors: FloatArray, keep: Keep) -> Callable[[FloatArray], FloatArray]:
    """How own vectors have to be scaled before they go into the storage: as they are, to unit length, or to the length
    that comes out, whichever gives back what is stored.
    """
    length = float(np.nanmedian(np.linalg.norm(index_vectors, axis=1))) if len(index_vectors) else 1.0
    ways: list[Callable[[FloatArray], FloatArray]] = [lambda rows: rows, _units, lambda rows: _units(rows) * length]
    fits = [_finite(cosines(index_vectors, keep(way(own)))) for way in ways]
    return ways[int(np.argmax([np.median(fit) if len(fit) else 0.0 for fit in fits]))]


def _stray(own: FloatArray, own_there: FloatArray, cosine: float, keep: Keep, random: np.random.Generator) -> Cosines:
    """What is left of a cosine to the own vectors once both went through the storage.

    They stray in any direction, and towards another vector of the index, where the storage may be finer.
    """
    if len(own) < 1:
        return np.empty(0)
    left = []
    for _ in range(_ROUNDS):
        others = own[random.permutation(len(own))]
        for towards in (random.standard_normal(own.shape).astype(np.float32), others):
            vectors_near = _turn(own, towards, cosine)
            usable = np.isfinite(vectors_near).all(axis=1)  # an encoder takes no NaN
            left.append(_finite(cosines(keep(vectors_near[usable]), own_there[usable])))
    return np.concatenate(left)


def _turn(vectors: FloatArray, towards: FloatArray, cosine: float) -> FloatArray:
    """These vectors turned to a cosine to themselves; NaN where both point the same way."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        units = vectors / lengths
        across = towards - (towards * units).sum(axis=1, keepdims=True) * units
        size = np.linalg.norm(across, axis=1, keepdims=True)
        across = np.where(size > 1e-3 * np.linalg.norm(towards, axis=1, keepdims=True), across / size, np.nan)
    vectors_near = (cosine * units + np.sqrt(1 - cosine**2) * across) * lengths
    return np.asarray(vectors_near, np.float32)


def _others(index_vectors: FloatArray, own: FloatArray, own_there: FloatArray, floor: float) -> float | None:
    """Share of rows told from the own vector of another text, among texts that the own model tells apart."""
    other = np.roll(np.arange(len(own)), 1)
    apart = cosines(own, own[other]) < RELATIVE
    near = _finite(cosines(index_vectors[apart], own_there[other][apart]))
    return float(np.mean(near < floor)) if len(near) >= _FEW else None


def _lacks(near: float | None, others: float | None, floor: float) -> str:
    if near is None or near < RELATIVE:
        how_far = f"only up to cosine {near}" if near is not None else "at no cosine"
        return (
            f"vectors of another model are told from the model's own {how_far} here, and must be up to {RELATIVE}: the "
            f"storage is too coarse (floor {floor:.4f})"
        )
    if others is not None and others < _TOLD:
        return f"only {others:.0%} of the rows are told from the model's vectors of other texts (floor {floor:.4f})"
    return ""


def _finite(left: Cosines) -> Cosines:
    return left[np.isfinite(left)]


def _units(vectors: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        return np.asarray(np.nan_to_num(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)), np.float32)
