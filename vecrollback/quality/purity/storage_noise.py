"""Behaviour: a stored vector beside what the own embedder makes of its text, and how near they must be.

Angles add, so the floor is kept as one: that of the cosine asked for, and of what is explained. Explained is what the
storage rounds away, seen in the stored numbers themselves and then measured on the own vectors; and how far the own
model strays from itself when a text is embedded in other company.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vecrollback.records.arrays import Cosines, FloatArray, cosines

Format = Literal[
    "float32",
    "float16",
    "bfloat16",
    "whole numbers",
    "int8 by range",
    "int8 by row",
    "int8 by column",
    "signs",
    "codes",
]

_MARGIN = 1.5
"""Of the worst rounding among a few hundred vectors: the worst of all of them is somewhat worse."""

_LEVELS = 256
_MOST_OF_RANGE, _MOST_COLUMNS = 240, 0.9
"""A range of its own for each column: most columns use nearly all of the 256 steps. With one scale for all few do."""
_ENOUGH_FOR_COLUMNS = 1_024
_ENOUGH_FOR_SIGNS = 16


@dataclass(frozen=True, slots=True)
class Storage:
    """How the stored numbers are rounded. `offset`, `step`: per column, for "int8 by column".

    `low`, `high`: the two values of "signs".
    """

    format: Format
    offset: FloatArray | None = None
    step: FloatArray | None = None
    low: float = -1.0
    high: float = 1.0

    def keep(self) -> Callable[[FloatArray], FloatArray] | None:
        """What this storage gives back of vectors, where that is another thing than a rounding; else None."""
        if self.format != "signs":
            return None
        low, high = np.float32(self.low), np.float32(self.high)
        return lambda vectors: np.where(vectors > 0, high, low)


def recognise(sample: FloatArray) -> Storage:
    """The format that the numbers themselves show, whatever type they come in; "float32" when they show none.

    "codes": so few values in each column that they come from a code book, which hides how much was lost. "int8 by
    range": whole numbers whose zero and scale differ from column to column, and are told nowhere.
    """
    if not sample.size:
        return Storage("float32")
    if (plain := _signs(sample) or _whole_numbers(sample) or _halves(sample)) is not None:
        return plain
    rows = sample[:: max(1, len(sample) // 64)]
    if np.mean([_is_grid(row) for row in rows]) > 0.9:
        return Storage("int8 by row")
    return _by_column(sample) if len(sample) >= _ENOUGH_FOR_COLUMNS else Storage("float32")


def _signs(sample: FloatArray) -> Storage | None:
    values = np.unique(sample[:_ENOUGH_FOR_SIGNS])
    if len(sample) < _ENOUGH_FOR_SIGNS or len(values) != 2 or not np.isin(sample, values).all():
        return None
    return Storage("signs", low=float(values[0]), high=float(values[1]))


def _whole_numbers(sample: FloatArray) -> Storage | None:
    most = np.abs(sample).max()
    if most <= 1 or not np.array_equal(np.rint(sample), sample):
        return None
    by_range = most <= _LEVELS and np.mean(np.ptp(sample, axis=0) >= _MOST_OF_RANGE) >= _MOST_COLUMNS
    return Storage("int8 by range" if by_range else "whole numbers")


def _halves(sample: FloatArray) -> Storage | None:
    with np.errstate(over="ignore"):
        if np.array_equal(sample.astype(np.float16).astype(np.float32), sample):
            return Storage("float16")
    return None if np.any(sample.astype(np.float32).view(np.uint32) & 0xFFFF) else Storage("bfloat16")


def _by_column(sample: FloatArray) -> Storage:
    columns = [np.unique(column) for column in sample.T]
    if max(len(column) for column in columns) > _LEVELS:
        return Storage("float32")
    if not all(_is_grid(column) for column in columns):
        return Storage("codes")
    steps = np.array([_step(column) for column in columns], dtype=np.float32)
    return Storage("int8 by column", np.array([column[0] for column in columns], dtype=np.float32), steps)


def calibrate(
    floor: float, storage: Storage, index_vectors: FloatArray, own: FloatArray, *, noise: float = 0.0
) -> float:
    """The floor with everything explained taken off.

    `index_vectors`, `own`: a few hundred vectors and what the own embedder makes of their texts. `noise`: angle, in
    radians, between two of its vectors of one text.
    """
    angle = _angle(floor) + 2 * noise
    if storage.format != "float32" and len(own):
        cosine_left = cosines(_round(own, index_vectors, storage), own)
        angle += _MARGIN * _angle(float(np.nanmin(cosine_left, initial=1.0)))
    return float(np.cos(min(angle, np.pi / 2)))


def half_precision(storage: Storage) -> Callable[[FloatArray], FloatArray]:
    """What a column of halves gives back of vectors; of any other format, the vectors as they are."""
    if storage.format not in ("float16", "bfloat16"):
        return lambda vectors: vectors
    return lambda vectors: np.asarray(_round(vectors, vectors, storage), np.float32)


def angles(cosine: Cosines) -> Cosines:
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _angle(cosine: float) -> float:
    return float(angles(np.array([cosine]))[0])


def _round(own: FloatArray, index_vectors: FloatArray, storage: Storage) -> FloatArray:
    """What would be read back, had the own vectors been stored like these."""
    if storage.format == "float16":
        return own.astype(np.float16).astype(np.float32)
    if storage.format == "bfloat16":
        bits = own.view(np.uint32) if own.flags.c_contiguous else np.ascontiguousarray(own).view(np.uint32)
        return ((bits + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)
    with np.errstate(all="ignore"):
        to_scale = own * (np.linalg.norm(index_vectors, axis=1) / np.linalg.norm(own, axis=1))[:, None]
    if storage.format == "whole numbers":
        return np.asarray(np.rint(to_scale), dtype=np.float32)
    if storage.format == "int8 by row":
        step = np.array([_step(row) for row in index_vectors], dtype=np.float32)[:, None]
        return np.asarray(np.rint(to_scale / step) * step, dtype=np.float32)
    if storage.offset is None or storage.step is None:
        return own
    return np.asarray(np.rint((to_scale - storage.offset) / storage.step) * storage.step + storage.offset, np.float32)


def _step(values: FloatArray) -> float:
    gaps = np.diff(np.unique(values))
    return float(gaps.min()) if len(gaps) else 1.0


def _is_grid(values: FloatArray) -> bool:
    """Whether the values are few and evenly spaced, as whole numbers of 8 bits times a scale are."""
    different = np.unique(values).astype(np.float64)
    if len(different) < 2:
        return True
    gaps = np.diff(different)
    # The smallest gap may hold the rounding of a product in float32.
    step = gaps.min()
    steps = (different - different[0]) / step
    return bool(steps[-1] < _LEVELS and np.abs(steps - np.rint(steps)).max() < 0.1)
