"""Suspects: models that may have made some of the vectors. What they make of a few hundred texts points at the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrollback.errors import VecrollbackError
from vecrollback.quality.probabilities import beta_quantile
from vecrollback.quality.purity.examiner import Embed, Examiner, embed, units
from vecrollback.records.arrays import FloatArray, Numbers, cosines

_TEXTS = 200
TRIED = 16
"""Foreign texts that every suspect embeds, to say which one made them."""

_SAME = 0.9995
"""Cosine from which on a suspect is said to have made a vector: its own rounding may be another than back then."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """What a suspect makes of the reference texts beside what the own embedder makes of them.

    `distinguishable`: which of its vectors are below the floor, so that re-embedding would find them out.
    """

    name: str
    own: FloatArray
    vectors: FloatArray
    distinguishable: NDArray[np.bool_]

    @property
    def distinct(self) -> bool:
        """Whether any of its vectors can be told from an own one. What cannot be is not foreign in any useful sense."""
        return bool(self.distinguishable.any())


def introduce(suspects: Mapping[str, Embed], examiner: Examiner, reference: Numbers) -> list[Suspect]:
    """Embed reference texts with every suspect of the same dimension, for a third of the budget at most."""
    models: list[Suspect] = []
    share = examiner.affordable(_TEXTS * 3 * len(suspects)) // (3 * len(suspects)) if suspects else 0
    rows, texts = examiner.with_text(reference[: min(_TEXTS, share)])
    if len(rows) < 2:
        return models
    own = examiner.own_vectors(rows)
    for name, model in suspects.items():
        vectors = _vectors_of(model, texts, examiner)
        if vectors is not None:
            near = cosines(examiner.as_stored(vectors), examiner.as_stored(own))
            models.append(Suspect(name, units(own), units(vectors), ~(near >= examiner.floor)))
    return models


def sensitivity(suspects: list[Suspect], alpha: float) -> float:
    """The chance that re-embedding finds out a vector of a suspect: of the one it tells least, at 1 - alpha confidence.

    Measured on texts drawn uniformly: the share of them whose two vectors are below the floor, as a Clopper-Pearson
    lower bound, alpha divided among the suspects. What a sample bounds is the share of rows that re-embedding would
    tell; divided by this it covers those that it would not, as long as foreign rows nobody looked at are told as often
    as the suspect's on random texts. Without a suspect it is 1.0: foreign means what re-embedding tells.
    """
    lowest = 1.0
    for suspect in suspects:
        if suspect.distinct:
            distinguishable, texts = int(suspect.distinguishable.sum()), len(suspect.distinguishable)
            lowest = min(lowest, beta_quantile(alpha / len(suspects), distinguishable, texts - distinguishable + 1))
    return lowest


def name_culprits(suspects: Mapping[str, Embed], examiner: Examiner) -> dict[str, float]:
    """Suspect -> share of the foreign vectors that it made, of a few tried; empty when there is nothing to explain."""
    foreign = np.array(examiner.foreign, dtype=np.int64)
    if not len(foreign) or not suspects:
        return {}
    afford = examiner.affordable(TRIED * len(suspects)) // len(suspects)
    if not afford:
        return {}
    sample = foreign[np.unique(np.linspace(0, len(foreign) - 1, min(afford, TRIED)).astype(int))]
    rows, texts = examiner.with_text(sample)
    index_vectors = examiner.population.vectors(rows)
    shares = {}
    for name, model in suspects.items():
        vectors = _vectors_of(model, texts, examiner)
        near = cosines(index_vectors, examiner.as_stored(vectors)) if vectors is not None else np.zeros(1)
        close = near >= min(examiner.floor, _SAME)
        shares[name] = float(np.mean(close))
    return shares


def _vectors_of(model: Embed, texts: list[str], examiner: Examiner) -> FloatArray | None:
    """The suspect's vectors; None when it makes none that could be in this index."""
    try:
        vectors = embed(model, texts)
    except VecrollbackError:
        return None  # a suspect that fails today has no alibi, but nothing to go by either
    examiner.spent["suspect"] += len(texts)
    return vectors if vectors.shape[1] == examiner.population.dimension else None
