"""Pairs whose finished vectors another pair takes, so that nothing is embedded twice.

The vectors of documents that one embedder made are another's, too, where the two differ in what is done with queries
alone; in the form of a vector, which can be had from the stored one: fewer of its numbers, unit length, another metric;
or in how texts are split, for the chunks that both have. The probes that both pairs recorded have to agree in that
form: a contract says what a model should do, probes what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vecrollback.embedders.base import document_fingerprint
from vecrollback.embedders.probes import LEAST_USABLE, PROBES
from vecrollback.records import Json, Pair
from vecrollback.records.arrays import FloatArray, cosines

_FORM = ("truncate_dim", "dimensions", "metric", "normalize")
"""Keys of a contract that say which form a vector has, and not what the model is."""

_CHUNKS = ("chunk",)
_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Gift:
    """What a pair can give another. `dimension`: the first so many numbers. `unit`: scaled to length 1 then.

    `other_chunks`: texts are split otherwise, so only single chunks can be taken.
    """

    dimension: int
    unit: bool = False
    other_chunks: bool = False

    def taken_from(self, vectors: FloatArray) -> FloatArray:
        """These vectors, shape (n, dimension of the giver), in the form of the taker."""
        if vectors.shape[1] == self.dimension and not self.unit:
            return vectors
        part = vectors[:, : self.dimension]
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        return np.asarray(part / np.where(lengths > 0, lengths, 1.0) if self.unit else part, np.float32)


def gift_by_contract(
    giver: Mapping[str, Json], taker: Mapping[str, Json], giver_dimension: int, taker_dimension: int
) -> Gift | None:
    """What the contracts allow to take; None when another model, prompt or length of text made the vectors.

    Example:
        >>> whole = {"model": "m", "truncate_dim": None, "normalize": True, "metric": "cosine", "chunk": "none"}
        >>> gift_by_contract(whole, whole | {"truncate_dim": 64}, 256, 64)
        Gift(dimension=64, unit=True, other_chunks=False)
        >>> gift_by_contract(whole | {"truncate_dim": 64}, whole, 64, 256) is None
        True
    """
    other_chunks = giver.get("chunk") != taker.get("chunk")
    left_out = (*_FORM, *_CHUNKS)
    one, other = ({name: value for name, value in side.items() if name not in left_out} for side in (giver, taker))
    lost = bool(giver.get("normalize")) and not taker.get("normalize")  # the lengths are gone
    if lost or taker_dimension > giver_dimension or document_fingerprint(one) != document_fingerprint(other):
        return None
    changed = giver_dimension != taker_dimension or not giver.get("normalize")
    return Gift(taker_dimension, bool(taker.get("normalize")) and changed, other_chunks)


def gift_of(giver: Pair, taker: Pair, given: FloatArray, own: FloatArray) -> Gift | None:
    """What one pair can give another by contract and by the probes that both recorded, of shape (80, dimension)."""
    gift = gift_by_contract(giver.contract, taker.contract, giver.dimension, taker.dimension)
    if gift is None or given.shape[1] < own.shape[1]:
        return None
    documents = len(PROBES)
    a, b = gift.taken_from(given[:documents]), own[:documents]
    usable = a.any(axis=1) & b.any(axis=1)
    if np.count_nonzero(usable) < LEAST_USABLE:
        return None
    lengths = np.linalg.norm(a[usable], axis=1) / np.linalg.norm(b[usable], axis=1)
    near = cosines(a[usable], b[usable])
    agree = near.min() >= max(giver.probe_floor, taker.probe_floor) and np.abs(lengths - 1).max() <= _LENGTH_TOLERANCE
    return gift if agree else None
