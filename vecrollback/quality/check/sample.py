"""Behaviour: what the pair's own embedder makes of the texts today, whatever any metadata says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.arrays import Cosines, Numbers, cosines
from vecrollback.embedders import Embedder
from vecrollback.embedders.pieces import embed_documents
from vecrollback.embedders.probes import floor_for
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.quality.check.findings import Notes
from vecrollback.quality.check.rows import LogRows, PairEvidence, VectorKeys
from vecrollback.quality.purity import certify, sample_size
from vecrollback.records import Certificate, Pair, RuntimeBatches

_OF_EACH = 30


def load(notes: Notes, model_of: Callable[[Pair], Embedder], pair: Pair) -> Embedder | None:
    """The pair's embedder, its probes compared; None and a finding when they cannot be compared."""
    try:
        embedder = model_of(pair)
        _examine_floor(notes, embedder, pair)
        return embedder
    except EmbedderChangedError as error:
        notes.add("embedder_changed", str(error), [pair.embedder])
    except (VecrollbackError, ImportError, OSError) as error:
        notes.add(
            "embedder_unavailable", f"the embedder cannot be loaded: {error}", [pair.embedder], severity="unknown"
        )
    return None


def _examine_floor(notes: Notes, embedder: Embedder, pair: Pair) -> None:
    """A lower floor would let another model pass for this one. Of a declared equal the floor may be another."""
    floor = floor_for(embedder)
    if embedder.fingerprint == pair.fingerprint and pair.probe_floor != floor:
        notes.add(
            "catalog_differs", f"the probe floor is {pair.probe_floor}, of this embedder {floor}", ["probe_floor"]
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much to re-embed: what `bound` at `confidence` needs, or `size` chunks. `seed`: None draws anew."""

    bound: float = 0.01
    confidence: float = 0.95
    size: int | None = None
    seed: int | None = None


def examine_sample(notes: Notes, embedder: Embedder, evidence: PairEvidence, sampling: Sampling) -> Certificate:
    """Re-embed a random sample of the chunks and compare; certify the rest.

    Only chunks whose text is still the one they were made from can be compared; the others are stale and told
    elsewhere.
    """
    population = comparable(evidence.log, evidence.rows)
    needed = sample_size(len(population), bound=sampling.bound, confidence=sampling.confidence)
    wanted = min(needed if sampling.size is None else sampling.size, len(population))
    chosen = np.sort(np.random.default_rng(sampling.seed).choice(population, wanted, replace=False))
    near = own_cosines(embedder, evidence, chosen)
    foreign = chosen[~(near >= evidence.pair.probe_floor)]
    worst = f"; the lowest cosine is {np.nanmin(near):.4f}" if len(foreign) else ""
    message = f"vectors that the pair's embedder did not make: {len(foreign)} of {len(chosen)} re-embedded{worst}"
    notes.add("foreign_vector", message, evidence.rows.ids(foreign))
    notes.examined["re-embedded"] = len(chosen)
    return certify(len(population), sampled=len(chosen), foreign=len(foreign), confidence=sampling.confidence)


def comparable(log: LogRows, rows: VectorKeys) -> Numbers:
    """Rows of the chunks whose text is still the one they were made from, in order."""
    chunks = rows.chunks()
    if not len(chunks) or not len(log.ids):
        return np.empty(0, np.int64)
    taken = rows.keys.take(pa.array(chunks))
    place = pc.fill_null(pc.index_in(taken["doc_id"], value_set=log.ids), 0)
    same = np.asarray(pc.equal(taken["content_hash"], log.hashes.take(place.combine_chunks())), dtype=bool)
    same &= log.sound[np.asarray(place)]  # a damaged text says nothing about the vector of the sound one
    return np.asarray(chunks[same], dtype=np.int64)


def own_cosines(embedder: Embedder, evidence: PairEvidence, chosen: Numbers) -> Cosines:
    """Of each of these rows' vectors to what the embedder makes of its chunk now."""
    if not len(chosen):
        return np.empty(0)
    taken = evidence.rows.keys.take(pa.array(chosen)).to_pylist()
    documents = evidence.corpus.get(list({row["doc_id"] for row in taken}), version=evidence.version)
    texts = [documents[row["doc_id"]].text[row["start"] : row["end"]] for row in taken]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    made = np.empty((len(texts), embedder.dimension), np.float32)
    made[order] = embed_documents(embedder, [texts[i] for i in order])
    return cosines(made, evidence.vectors[chosen])


def examine_runtimes(
    notes: Notes, embedder: Embedder, evidence: PairEvidence, made: Sequence[RuntimeBatches], seed: int | None
) -> None:
    """Re-embed vectors of every runtime with the pair's own embedder. A certificate is over the random sample alone."""
    population = comparable(evidence.log, evidence.rows)
    batches = np.asarray(evidence.rows.keys["batch"])[population]
    chance = np.random.default_rng(seed)
    for name in sorted({one.runtime for one in made}):
        inside = np.zeros(len(population), dtype=bool)
        for one in made:
            if one.runtime == name:
                inside |= (batches >= one.first) & (batches <= one.last)
        theirs = population[inside]
        chosen = np.sort(chance.choice(theirs, min(_OF_EACH, len(theirs)), replace=False))
        near = own_cosines(embedder, evidence, chosen)
        foreign = chosen[~(near >= evidence.pair.probe_floor)]
        message = (
            f"vectors of runtime {name} that the pair's own embedder does not make: {len(foreign)} of {len(chosen)}"
        )
        notes.add("foreign_vector", message, evidence.rows.ids(foreign))
        notes.examined[f"re-embedded of {name}"] = len(chosen)
