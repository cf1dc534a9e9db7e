"""Vectors that another backend of the pair's model made: some of each, whatever the random sample holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.quality.check.findings import Notes
from vecrollback.quality.check.rows import Evidence
from vecrollback.quality.check.sample import comparable, cosines
from vecrollback.records import Made

_OF_EACH = 30


def examine_backends(
    notes: Notes, embedder: Embedder, evidence: Evidence, made: Sequence[Made], seed: int | None
) -> None:
    """Re-embed vectors of every backend with the pair's own embedder. A certificate is over the random sample alone."""
    population = comparable(evidence.log, evidence.rows)
    batches = np.asarray(evidence.rows.keys["batch"])[population]
    chance = np.random.default_rng(seed)
    for name in sorted({one.backend for one in made}):
        inside = np.zeros(len(population), dtype=bool)
        for one in made:
            if one.backend == name:
                inside |= (batches >= one.first) & (batches <= one.last)
        theirs = population[inside]
        chosen = np.sort(chance.choice(theirs, min(_OF_EACH, len(theirs)), replace=False))
        near = cosines(embedder, evidence, chosen)
        foreign = chosen[~(near >= evidence.pair.probe_floor)]
        message = (
            f"vectors of backend {name} that the pair's own embedder does not make: {len(foreign)} of {len(chosen)}"
        )
        notes.add("foreign_vector", message, evidence.rows.ids(foreign))
        notes.examined[f"re-embedded of {name}"] = len(chosen)
