"""Populations whose every vector is known, and embedders that look it up: fast enough for a thousand audits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.purity import Arrays
from vecrollback.records.arrays import FloatArray


class Table:
    """An embedder that knows the vector of each text `t0`, `t1`, ... and counts what it embeds."""

    def __init__(self, vectors: FloatArray) -> None:
        self.vectors = vectors
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        return self.vectors[[int(text[1:]) for text in texts]].reshape(len(texts), -1)


def units(vectors: NDArray[np.floating]) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@dataclass
class World:
    """Own vectors, what another model makes of the same texts, and an index that holds some of those."""

    own: FloatArray
    other: FloatArray
    foreign: NDArray[np.bool_]

    @property
    def stored(self) -> FloatArray:
        return np.where(self.foreign[:, None], self.other, self.own)

    @property
    def texts(self) -> list[str]:
        return [f"t{n}" for n in range(len(self.own))]

    def population(self, **options: object) -> Arrays:
        return Arrays(self.stored, self.texts, **options)  # type: ignore[arg-type]

    def rows(self) -> set[int]:
        return set(np.flatnonzero(self.foreign).tolist())


def world(
    seed: int, count: int = 2_000, dimension: int = 32, share: float = 0.02, shift: float = 0.4, turn: float = 0.3
) -> World:
    """Texts have a content; own and other model are two linear maps of it. `shift`: what a screen can see of the other
    model; `turn`: what only re-embedding can.
    """
    random = np.random.default_rng(seed)
    content = random.normal(size=(count, dimension)) * np.geomspace(1, 0.1, dimension)
    mean = random.normal(size=dimension) * 0.3
    own = content + mean
    other = own + turn * content @ random.normal(size=(dimension, dimension)) / np.sqrt(dimension)
    other += shift * units(random.normal(size=(1, dimension)))
    foreign = np.zeros(count, dtype=bool)
    foreign[random.choice(count, round(share * count), replace=False)] = True
    return World(units(own), units(other), foreign)
