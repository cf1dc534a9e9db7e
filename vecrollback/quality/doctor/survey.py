"""One pass over a source without any model: what can be counted, and what every row says of itself.

Nothing that grows with the vectors is kept: of each row its hashes, length and codes, below 64 bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrollback.connectors import Part
from vecrollback.quality.doctor import rows as meaning
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.records.arrays import FloatArray, Numbers, Times

UNIT_TOLERANCE = 1e-3
_NOTHING = -1
_MIX = np.uint64(0x9E3779B97F4A7C15)

Flags = NDArray[np.bool_]


class LabelNumbers:
    """Numbers for labels, in the order in which they come; -1 for none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, label: Any) -> int:
        return _NOTHING if label is None else self._numbers.setdefault(str(label), len(self._numbers))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self._numbers)


class IndexSurvey:
    """What the pass saw. `sizes`: rows by the size of their vector. Arrays hold one entry a row.

    `lengths`: of the vectors, NaN where one is not finite or does not fit. `fits`: of the source's dimension; `absent`:
    there is none. `width`: numbers in front of those that are zero in every vector.

    `missing`, `blank`: so is the text. `vector_keys`, `text_keys`, `id_keys`: hashes; equal values have
    equal ones. `models`, `batches`: codes into `model_names`, `batch_names`.
    """

    def __init__(self, source: ForeignIndex) -> None:
        count = source.count
        self.sizes: Counter[int] = Counter()
        self.lengths = np.full(count, np.nan, np.float32)
        self.fits, self.absent = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self.vector_keys = np.zeros(count, np.uint64)
        self.text_keys, self.id_keys = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.missing, self.blank = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self._embedders, self._batches = LabelNumbers(), LabelNumbers()
        self.models = np.full(count, _NOTHING, np.int32)
        self.batches = np.full(count, _NOTHING, np.int64)
        self.times: Times = np.full(count, np.nan)
        self.width = 0
        self._source = source
        self._weights = _weights(source.dimension)

    @property
    def model_names(self) -> tuple[str, ...]:
        return self._embedders.labels

    @property
    def batch_names(self) -> tuple[str, ...]:
        return self._batches.labels

    def run(self, progress: Callable[[int], None]) -> IndexSurvey:
        """Read every row once; `progress` gets the number of rows read."""
        for first, part in self._source.parts():
            self._vectors(first, part)
            self._records(first, part)
            progress(first + len(part.vectors))
        has_batches, has_times = bool(self.batch_names), bool(np.isfinite(self.times).any())
        self._source.tell(self.batches if has_batches else None, self.times if has_times else None)
        return self

    def model_counts(self) -> dict[str, int]:
        """Rows by the model that they name."""
        return _counts(self.models, self.model_names)

    def batch_counts(self, rows: Numbers) -> dict[str, int]:
        """These rows by ingest batch."""
        return _counts(self.batches[rows], self.batch_names)

    def units(self) -> Flags:
        return np.abs(self.lengths - 1) <= UNIT_TOLERANCE

    def duplicates(self) -> Numbers:
        """Rows whose vector another row with another text has too."""
        usable = np.flatnonzero(np.isfinite(self.lengths) & (self.lengths > 0) & ~self.missing & ~self.blank)
        _, group, counts = np.unique(self.vector_keys[usable], return_inverse=True, return_counts=True)
        shared = counts[group] > 1
        rows, group = usable[shared], group[shared]
        # of one group the lowest and the highest hash of a text differ exactly when two texts do
        low = np.full(len(counts), np.iinfo(np.int64).max)
        high = np.full(len(counts), np.iinfo(np.int64).min)
        np.minimum.at(low, group, self.text_keys[rows])
        np.maximum.at(high, group, self.text_keys[rows])
        return np.asarray(rows[low[group] != high[group]], np.int64)

    def repeated_ids(self) -> Numbers:
        """Rows whose id another row has too."""
        _, group, counts = np.unique(self.id_keys, return_inverse=True, return_counts=True)
        return np.flatnonzero(counts[group] > 1)

    def _vectors(self, first: int, part: Part) -> None:
        here = slice(first, first + len(part.vectors))
        sizes, counts = np.unique(part.sizes, return_counts=True)
        self.sizes.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
        self.fits[here], self.absent[here] = part.sizes == self._source.dimension, part.sizes == 0
        used = np.flatnonzero((part.vectors[:, self.width :] != 0).any(axis=0))
        self.width += int(used[-1]) + 1 if len(used) else 0
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", part.vectors, part.vectors)
        self.lengths[here] = np.where(np.isfinite(squares), np.sqrt(np.abs(squares)), np.nan)
        self.vector_keys[here] = _keys(part.vectors, self._weights)

    def _records(self, first: int, part: Part) -> None:
        here = self._source
        for row, record in enumerate(part.records, start=first):
            text = here.text_of(record)
            self.missing[row], self.blank[row] = text is None, text is not None and not text.strip()
            self.text_keys[row], self.id_keys[row] = hash(text), hash(here.id_of(record, row))
            if meaning.TELLING.isdisjoint(record):
                continue
            self.models[row] = self._embedders.number(meaning.model_of(record))
            self.batches[row] = self._batches.number(meaning.usual(record, meaning.BATCH_NAMES))
            self.times[row] = meaning.seconds_of(record)
        if not part.records:
            rows = np.arange(first, first + len(part.vectors))
            self.missing[rows], self.id_keys[rows] = True, rows


def length_facts(lengths: FloatArray) -> dict[str, float]:
    """Least, median and greatest length."""
    usable = lengths[np.isfinite(lengths)]
    if not len(usable):
        return {}
    quantiles = np.quantile(usable.astype(np.float64), [0.0, 0.5, 1.0])
    return dict(zip(("least", "median", "greatest"), (round(float(q), 6) for q in quantiles), strict=True))


def thin_out(lengths: FloatArray, most: int) -> tuple[float, ...]:
    """Every n-th known length, at most so many."""
    usable = lengths[np.isfinite(lengths)]
    return tuple(float(length) for length in usable[:: max(1, math.ceil(len(usable) / most))])


def _counts(codes: NDArray[np.signedinteger[Any]], names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _weights(dimension: int) -> NDArray[np.uint64]:
    words = (dimension + 1) // 2
    return np.random.default_rng(0).integers(1, 1 << 63, words, np.uint64) * np.uint64(2) + np.uint64(1)


def _keys(vectors: FloatArray, weights: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's bits: the sum of its words, mixed until every bit moves all others, times odds."""
    if vectors.shape[1] % 2:
        vectors = np.pad(vectors, ((0, 0), (0, 1)))
    words = np.ascontiguousarray(vectors).view(np.uint64)
    for _ in range(2):
        words = (words ^ (words >> np.uint64(32))) * _MIX
    keys: NDArray[np.uint64] = (words * weights).sum(axis=1, dtype=np.uint64)
    return keys
