"""Behaviour: stored vectors against those that the pair's own embedder makes today, whatever the metadata says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.embedders import Embedder
from vecrollback.embedders.base import count_cut, traits_of
from vecrollback.embedders.pieces import embed_documents
from vecrollback.embedders.probes import floor_for, measured_floor
from vecrollback.errors import EmbedderChangedError, VecrollbackError
from vecrollback.quality.check.doubt import rows_in_doubt
from vecrollback.quality.check.findings import Notes
from vecrollback.quality.check.rows import LogRows, PairEvidence, VectorKeys
from vecrollback.quality.purity import certify, sample_size
from vecrollback.quality.purity.power import in_storage
from vecrollback.quality.purity.storage_noise import half_precision, recognise
from vecrollback.records import Certificate, Pair, Report, RuntimeBatches
from vecrollback.records.arrays import FloatArray, Numbers, cosines
from vecrollback.storage.steps import step

_OF_EACH = 30
_POWER_ROWS, _LEAST_POWER_ROWS = 64, 8
"""Rows from which it is measured what the comparison could tell; too few say nothing."""


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


_NOISE_VARIES = 3.0
"""Between two measurements of a service's noise."""


def _examine_floor(notes: Notes, embedder: Embedder, pair: Pair) -> None:
    """Check the probe floor: a lower one would let another model pass. A model declared equal may have another.

    That of a noisy service is lower by its noise, which is measured again.
    """
    floor = floor_for(embedder)
    if embedder.fingerprint != pair.fingerprint or pair.probe_floor == floor:
        return
    if pair.probe_floor < 1 - _NOISE_VARIES * (1 - measured_floor(embedder)) or pair.probe_floor > floor:
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

    Only chunks whose text has not changed since can be compared; the others are stale, which is another finding.
    """
    population = comparable(evidence.log, evidence.rows)
    size = sample_size(len(population), bound=sampling.bound, confidence=sampling.confidence)
    count = min(size if sampling.size is None else sampling.size, len(population))
    sample = np.sort(np.random.default_rng(sampling.seed).choice(population, count, replace=False))
    own = own_vectors(notes, embedder, evidence, sample)
    near = cosines(own, evidence.vectors[sample])
    _examine_power(notes, evidence, own, sample)
    # `not >=` and not `<`: a cosine that is NaN counts as foreign.
    foreign = sample[~(near >= evidence.pair.probe_floor)]
    worst = f"; the lowest cosine is {np.nanmin(near):.4f}" if len(foreign) else ""
    message = f"vectors that the pair's embedder did not make: {len(foreign)} of {len(sample)} re-embedded{worst}"
    notes.add("foreign_vector", message, evidence.rows.ids(foreign))
    notes.examined["re-embedded"] = len(sample)
    return certify(len(population), sampled=len(sample), foreign=len(foreign), confidence=sampling.confidence)


def _examine_power(notes: Notes, evidence: PairEvidence, own: FloatArray, sample: Numbers) -> None:
    """Note that the comparison could not have told another model's vectors here, where it could not.

    Made-up foreign vectors go through the rounding that the pair's storage does, rows are held against the vectors of
    other texts, and both have to be told at the floor that is used.
    """
    rows = np.flatnonzero(np.isfinite(own).all(axis=1) & own.any(axis=1))[:_POWER_ROWS]
    if len(rows) < _LEAST_POWER_ROWS or own.shape[1] < 2:
        return
    stored, floor = evidence.vectors[sample[rows]], evidence.pair.probe_floor
    keep = half_precision(recognise(stored))
    power = in_storage(floor, own[rows], stored, keep, keep, np.random.default_rng(0))
    if power.lacks:
        notes.add("cannot_tell", power.lacks, [evidence.pair.ref], severity="unknown")


def examine_doubted(notes: Notes, embedder: Embedder, evidence: PairEvidence, before: Report | None) -> None:
    """Re-embed every vector that the last report left in doubt."""
    doubted = rows_in_doubt(evidence, comparable(evidence.log, evidence.rows), before)
    near = cosines(own_vectors(notes, embedder, evidence, doubted), evidence.vectors[doubted])
    foreign = doubted[~(near >= evidence.pair.probe_floor)]
    message = f"vectors in doubt that the pair's embedder did not make: {len(foreign)} of {len(doubted)}"
    notes.add("foreign_vector", message, evidence.rows.ids(foreign))
    if len(doubted):
        notes.examined["re-embedded in doubt"] = len(doubted)


def comparable(log: LogRows, rows: VectorKeys) -> Numbers:
    """Rows of the chunks whose text is still the one they were made from, in order.

    Without those that came over a bridge: they are known not to be what the model makes.
    """
    chunks = rows.chunks()
    chunks = chunks[~rows.bridged[chunks]]
    if not len(chunks) or not len(log.ids):
        return np.empty(0, np.int64)
    keys = rows.keys.take(pa.array(chunks))
    place = pc.fill_null(pc.index_in(keys["doc_id"], value_set=log.ids), 0)
    same = np.asarray(pc.equal(keys["content_hash"], log.hashes.take(place.combine_chunks())), dtype=bool)
    same &= log.sound[np.asarray(place)]  # a damaged text says nothing about the vector of the sound one
    return np.asarray(chunks[same], dtype=np.int64)


def own_vectors(notes: Notes, embedder: Embedder, evidence: PairEvidence, sample: Numbers) -> FloatArray:
    """What the embedder makes of the chunks of these rows now, shape (rows, dimension)."""
    if not len(sample):
        return np.empty((0, embedder.dimension), np.float32)
    keys = evidence.rows.keys.take(pa.array(sample)).to_pylist()
    documents = evidence.corpus.get(list({row["doc_id"] for row in keys}), version=evidence.version)
    texts = [documents[row["doc_id"]].text_for_model[row["start"] : row["end"]] for row in keys]
    # By length, so that a batch pads little; the result goes back to the order of the rows.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    if cut := count_cut(embedder, texts):
        notes.examined["longer than the model reads"] = cut
    vectors_now = np.empty((len(texts), embedder.dimension), np.float32)
    stages = evidence.stages
    stages.enter("embedding texts again", len(texts))
    embed = (
        partial(evidence.probes.embed, after=stages.did)
        if evidence.probes
        else partial(embed_documents, embedder, after=stages.did)
    )
    with step(f"embedding {len(texts):,} texts again"):
        vectors_now[order] = stages.embed(traits_of(embedder).remote, embed, [texts[i] for i in order])
    return vectors_now


def examine_runtimes(
    notes: Notes, embedder: Embedder, evidence: PairEvidence, runs: Sequence[RuntimeBatches], seed: int | None
) -> None:
    """Re-embed vectors of every runtime with the pair's own embedder. A certificate is over the random sample alone."""
    population = comparable(evidence.log, evidence.rows)
    batches = np.asarray(evidence.rows.keys["batch"])[population]
    chance = np.random.default_rng(seed)
    for name in sorted({one.runtime for one in runs}):
        inside = np.zeros(len(population), dtype=bool)
        for one in runs:
            if one.runtime == name:
                inside |= (batches >= one.first) & (batches <= one.last)
        theirs = population[inside]
        sample = np.sort(chance.choice(theirs, min(_OF_EACH, len(theirs)), replace=False))
        near = cosines(own_vectors(notes, embedder, evidence, sample), evidence.vectors[sample])
        foreign = sample[~(near >= evidence.pair.probe_floor)]
        message = (
            f"vectors of runtime {name} that the pair's own embedder does not make: {len(foreign)} of {len(sample)}"
        )
        notes.add("foreign_vector", message, evidence.rows.ids(foreign))
        notes.examined[f"re-embedded of {name}"] = len(sample)
