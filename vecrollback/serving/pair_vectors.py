"""Vectors that leave and enter with what made them: no other pair takes them for its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecrollback.catalog.pairs import Equivalences
from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.records import Pair, PairVectors
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.answering import Serving, embed_queries, valid_queries


def query_vectors(serving: Serving, texts: Sequence[str]) -> PairVectors:
    """Vectors of queries, by the model of the pair that serves. Raises UsageError, BadQueryError, EmbeddingError."""
    return _stamped(embed_queries(serving, valid_queries(texts)) if texts else _none(serving), serving)


def document_vectors(serving: Serving, embedders: PairEmbedders, texts: Sequence[str]) -> PairVectors:
    """Vectors of texts as of documents, one for each, by the model of the pair that serves.

    Probes ride along, because what comes of it may be written. Raises EmbeddingError, EmbedderChangedError.
    """
    pair, rows = serving.open_pair.pair, list(texts)
    if not rows:
        return _stamped(_none(serving), serving)
    embedder, probes = embedders.of(pair), embedders.batch_probes(pair)
    return _stamped(probes.embed(rows) if probes else embedder.embed_documents(rows), serving)


def pair_vectors(rows: Sequence[Sequence[float]], fingerprint: str) -> PairVectors:
    """Vectors as they come from outside. Raises UsageError unless all have one length."""
    try:
        return PairVectors(np.array(rows, np.float32), fingerprint)
    except (ValueError, OverflowError) as error:
        raise UsageError("the vectors have different lengths", hint="one list of numbers for each") from error


def require_vectors_of(pair: Pair, given: PairVectors, equivalences: Equivalences) -> FloatArray:
    """The vectors, shape (n, dimension), if the pair's own embedder made them, or one declared equal to it.

    Raises FingerprintMismatchError, and UsageError for another shape or numbers that are not finite.
    """
    if given.fingerprint != pair.fingerprint and given.fingerprint not in equivalences.of(pair.fingerprint):
        made = f"{given.fingerprint} (pair {given.pair!r})" if given.pair else given.fingerprint
        raise FingerprintMismatchError(
            f"these vectors are of embedder {made}; pair {pair.name!r} is of {pair.fingerprint}",
            hint="embed again with that pair's model, or declare the two equal: `vecrollback embedder equate`",
        )
    vectors = np.ascontiguousarray(np.atleast_2d(given.vectors), dtype=np.float32)
    if vectors.shape[1] != pair.dimension or not np.isfinite(vectors).all():
        raise UsageError(
            f"vectors have shape {vectors.shape}; pair {pair.name!r} needs finite ones of (n, {pair.dimension})"
        )
    return vectors


def _stamped(vectors: FloatArray, serving: Serving) -> PairVectors:
    pair = serving.open_pair.pair
    return PairVectors(vectors, pair.fingerprint, pair.name, serving.pointer.epoch)


def _none(serving: Serving) -> FloatArray:
    return np.empty((0, serving.open_pair.pair.dimension), np.float32)
