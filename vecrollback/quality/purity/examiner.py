"""Re-embedding rows of a population within a budget, and what is known of each row so far."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrollback.errors import EmbeddingError, UsageError
from vecrollback.quality.purity.population import Population
from vecrollback.quality.purity.power import Keep, Power, by_floor, in_storage, scaling
from vecrollback.quality.purity.results import NotExamined, Stage
from vecrollback.quality.purity.storage_noise import Storage, angles, calibrate
from vecrollback.records.arrays import FloatArray, Numbers, cosines

Embed: TypeAlias = Callable[[Sequence[str]], FloatArray]
"""Texts -> vectors (n, dimension), float32."""

MISSING, NOT_FINITE, ZERO = "text missing", "vector not finite", "vector zero"
NOT_EMBEDDED, NOT_TOLD = "text not embedded", "budget spent before it was told from noise"

_SLIGHT = 0.99
"""Cosine from which on the own model's noise may explain what is below the floor; so far the floor may fall."""

_NOISE_TEXTS = 16
_KEPT_VECTORS = 65_536
_KEPT_PAIRS = 16_384
_SCAN = 8_192


class Examiner:
    """Compares rows with what the own embedder makes of their texts, each text once. Below `floor` a row is foreign.

    `open`: rows that may still be examined. `cosine`: of the rows that were compared, NaN for the others. `reserved`:
    part of the budget that is kept for later. `power`: what the comparison can tell, known after the first rows.

    `keep`: what the storage gives back of vectors, where they do not come back as they were. Then rows are compared
    with what it makes of the own vectors.
    """

    def __init__(
        self,
        population: Population,
        own: Embed,
        floor: float,
        storage: Storage,
        budget: int | None,
        keep: Keep | None = None,
    ) -> None:
        self.population, self.floor, self.spent = population, floor, Counter[str]()
        self.open = np.ones(population.count, dtype=bool)
        self.cosine = np.full(population.count, np.nan)
        self.foreign: list[int] = []
        self.failed = self.reserved = 0
        self._own, self._asked_floor, self._storage, self._budget = own, floor, storage, budget
        self._reasons: dict[str, list[int]] = {}
        self._own_by_text: dict[bytes, FloatArray] = {}
        self._pairs: list[FloatArray] = []
        self._calibrated = self._steadied = self._scanned = False
        self._keep = keep
        self.power: Power | None = None

    # -- what there is to know ----------------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        return int(np.count_nonzero(self.open))

    @property
    def finds(self) -> int:
        """Rows that were looked at and are not what they should be, or could not be told."""
        return len(self.foreign) + self.failed

    @property
    def missing(self) -> int:
        """Rows without a text, of all rows once one was met."""
        return len(self._reasons.get(MISSING, ()))

    @property
    def embedded_texts(self) -> int:
        return self.spent.total()

    def affordable(self, count: int) -> int:
        return count if self._budget is None else max(0, min(count, self._budget - self.reserved - self.embedded_texts))

    def is_foreign(self, rows: Numbers) -> NDArray[np.bool_]:
        """Which of these examined rows are not own; what could not be told counts against its row."""
        return ~(self.cosine[rows] >= self.floor)

    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """Own vectors and stored ones, at unit length, of the foreign rows, up to 16,384 of them."""
        rows = np.array(self.foreign[: len(self._pairs)], dtype=np.int64)
        return units(np.array(self._pairs, dtype=np.float32)), units(self.population.vectors(rows))

    def own_of_foreign(self) -> dict[int, FloatArray]:
        """Own vectors, at unit length, of those foreign rows that `pairs` has."""
        return dict(zip(self.foreign, map(units, self._pairs), strict=False))

    def not_examined(self) -> tuple[NotExamined, ...]:
        reasons = []
        for reason, rows in self._reasons.items():
            ids = self.population.ids(np.array(rows, dtype=np.int64))
            reasons.append(NotExamined(reason, tuple(rows), tuple(ids)))
        return tuple(reasons)

    # -- finding out --------------------------------------------------------------------------------------------------

    def leave_out(self, rows: Iterable[int], reason: str) -> None:
        """Note rows that nothing can be said about."""
        open_rows = [row for row in rows if self.open[row]]
        if open_rows:
            self.open[open_rows] = False
            self._reasons.setdefault(reason, []).extend(open_rows)

    def with_text(self, rows: Numbers) -> tuple[Numbers, list[str]]:
        """Those of these rows that have a text, and the texts. The first missing one makes it look for all of them."""
        texts = self.population.texts(rows)
        if any(text is None for text in texts) and not self._scanned:
            self._scanned = True
            for first in range(0, self.population.count, _SCAN):
                here = np.arange(first, min(first + _SCAN, self.population.count))
                texts_here = self.population.texts(here)
                self.leave_out([int(r) for r, t in zip(here, texts_here, strict=True) if t is None], MISSING)
        has = np.array([text is not None for text in texts], dtype=bool)
        return rows[has], [text for text in texts if text is not None]

    def examine(self, rows: Numbers, stage: Stage) -> Numbers:
        """Compare these rows, in this order, as far as the budget goes; returns those that were."""
        rows, texts = self.with_text(rows[self.open[rows]])
        keys = [_digest(text) for text in texts]
        new: dict[bytes, str] = {}
        afford = self.affordable(len(texts))
        for place, (key, text) in enumerate(zip(keys, texts, strict=True)):
            if key not in self._own_by_text and key not in new:
                if len(new) == afford:
                    rows, keys = rows[:place], keys[:place]
                    break
                new[key] = text
        own = self._embed(list(new.values()), stage)
        own_by_key = dict(zip(new, own, strict=True))
        vectors = np.array([own_by_key[k] if k in own_by_key else self._own_by_text[k] for k in keys], dtype=np.float32)
        for key, vector in own_by_key.items():
            if len(self._own_by_text) < _KEPT_VECTORS:
                self._own_by_text[key] = vector
        if len(rows):
            self._compare(rows, vectors, texts[: len(rows)])
        return rows

    def own_vectors(self, rows: Numbers) -> FloatArray:
        """What the own embedder made of the texts of examined rows. Costs nothing for the first 65,536 texts."""
        _, texts = self.with_text(rows)
        keys = [_digest(text) for text in texts]
        missing = [text for key, text in zip(keys, texts, strict=True) if key not in self._own_by_text]
        again = dict(zip(map(_digest, missing), self._embed(missing, "reference"), strict=True)) if missing else {}
        return np.array([self._own_by_text.get(key, again.get(key)) for key in keys], dtype=np.float32)

    def _compare(self, rows: Numbers, own: FloatArray, texts: list[str]) -> None:
        index_vectors = self.population.vectors(rows)
        if not self._calibrated:
            self._calibrated = True
            self._calibrate(index_vectors, own)
        near = cosines(index_vectors, self.as_stored(own))
        slight = np.flatnonzero((near < self.floor) & (near >= _SLIGHT))
        if len(slight) and not self._steadied:
            self._steady(own[slight], [texts[i] for i in slight])
        if not self._steadied:
            near[slight] = np.nan  # no budget to tell noise from a near relative
            self._fail(rows[slight], NOT_TOLD)
        self._fail(rows[np.isnan(own).any(axis=1)], NOT_EMBEDDED)
        self.open[rows] = False
        self.cosine[rows] = near
        foreign = near < self.floor
        self.foreign += rows[foreign].tolist()
        self._pairs += list(own[foreign][: _KEPT_PAIRS - len(self._pairs)])

    def as_stored(self, vectors: FloatArray) -> FloatArray:
        """What the storage would give back of these vectors."""
        if self._keep is None:
            return vectors
        usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        back = np.full_like(vectors, np.nan)
        if usable.any():
            back[usable] = self._keep(vectors[usable])
        return back

    def _calibrate(self, index_vectors: FloatArray, own: FloatArray) -> None:
        usable = np.isfinite(own).all(axis=1) & own.any(axis=1) & np.isfinite(index_vectors).all(axis=1)
        if self._keep is not None and usable.any():
            storage, way = self._keep, scaling(own[usable], index_vectors[usable], self._keep)
            self._keep = lambda vectors: storage(way(vectors))
            chance = np.random.default_rng(0)
            self.power = in_storage(self._asked_floor, own[usable], index_vectors[usable], self._keep, storage, chance)
            self.floor = self.power.floor
            return
        self.floor = calibrate(self._asked_floor, self._storage, index_vectors, own)
        self.power = by_floor(self.floor, self._asked_floor, own[usable], index_vectors[usable])

    def _fail(self, rows: Numbers, reason: str) -> None:
        self.failed += len(rows)
        if len(rows):
            self._reasons.setdefault(reason, []).extend(rows.tolist())

    def _steady(self, own: FloatArray, texts: list[str]) -> None:
        """Embed texts again, each alone: differences of the own model from itself are not a sign of another."""
        afford = self.affordable(min(len(texts), _NOISE_TEXTS))
        if not afford:
            return
        self._steadied = True
        again = np.concatenate([self._embed([text], "calibration") for text in texts[:afford]])
        noise = float(np.nanmax(angles(cosines(again, own[:afford])), initial=0.0))
        floor = float(np.cos(np.arccos(self.floor) + 2 * noise))
        self.floor = max(floor, _SLIGHT) if self.floor > _SLIGHT else self.floor

    def _embed(self, texts: list[str], stage: Stage) -> FloatArray:
        if not texts:
            return np.empty((0, self.population.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        self.spent[stage] += len(texts)
        vectors = embed(self._own, [texts[i] for i in order])
        if vectors.shape[1] != self.population.dimension:
            raise UsageError(
                f"the vectors have {self.population.dimension} dimensions, the embedder makes {vectors.shape[1]}",
                hint="name the embedder that the index was built with",
            )
        own = np.empty_like(vectors)
        own[order] = vectors
        return own


def embed(model: Embed, texts: Sequence[str]) -> FloatArray:
    """Call a model; raises EmbeddingError unless one vector per text comes back."""
    vectors = np.asarray(model(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise EmbeddingError(
            f"{len(texts)} texts gave an array of shape {vectors.shape}", hint="an embedder returns one vector per text"
        )
    return vectors


def units(vectors: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        unit_vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.nan_to_num(unit_vectors), dtype=np.float32)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
