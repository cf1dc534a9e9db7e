"""Vectors that frameworks pass around as lists of numbers, and what has to go with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.integrations.backend import BATCH, Backend, write
from vecrollback.records import Document, IfAbsent, PairVectors, Result, Where
from vecrollback.records.arrays import FloatArray

_TRIES = 3
"""Between embedding a query and searching with its vector somebody may move `live`; not three times in a row."""
_TINY = float(np.finfo(np.float32).tiny)


class PairVector(list[float]):
    """A vector that says whose it is.

    It is a list, because frameworks pass lists. A copy made number by number has no fingerprint, and is refused.

    Attributes:
        fingerprint: Of the embedder that made it.
        pair: The pair whose embedder it is.
        epoch: Of the pointer at that moment.
    """

    def __init__(self, numbers: Iterable[float], fingerprint: str = "", pair: str = "", epoch: int = 0) -> None:
        super().__init__(numbers)
        self.fingerprint, self.pair, self.epoch = fingerprint, pair, epoch

    def __reduce__(self) -> tuple[Any, ...]:
        return PairVector, (list(self), self.fingerprint, self.pair, self.epoch)


def as_lists(vectors: PairVectors) -> list[PairVector]:
    """One list for each vector."""
    return [PairVector(row, vectors.fingerprint, vectors.pair, vectors.epoch) for row in vectors.tolist()]


def with_origin(vector: Sequence[float]) -> PairVectors:
    """The vector as the store takes it. Raises FingerprintMismatchError for one that does not say whose it is."""
    if not isinstance(vector, PairVector) or not vector.fingerprint:
        raise FingerprintMismatchError(
            "this vector does not say which model made it, so nobody can tell whether it fits the live pair",
            hint="search with the words, or with a vector of the pair's own embeddings, uncopied",
        )
    return PairVectors(np.array([vector], dtype=np.float32), vector.fingerprint, vector.pair, vector.epoch)


def of_one_origin(vectors: Sequence[Sequence[float] | None]) -> PairVectors | None:
    """The vectors as the store takes them; None unless each says whose it is, and all are of one embedder."""
    known = [vector for vector in vectors if isinstance(vector, PairVector) and vector.fingerprint]
    if not known or len(known) < len(vectors) or len({vector.fingerprint for vector in known}) > 1:
        return None
    return PairVectors(np.array(known, dtype=np.float32), known[0].fingerprint, known[0].pair, known[0].epoch)


def write_embedded(
    backend: Backend,
    documents: Sequence[Document],
    vectors: PairVectors | None,
    namespace: str | None = None,
    if_absent: IfAbsent | None = None,
    *,
    visible: bool = True,
) -> int:
    """Write documents whose vectors may be made already, which are then taken over; returns how many were written.

    Where somebody moved `live` since they were made, the vectors are of no use: the documents are written without them.
    With `if_absent`, all are written in one request, because one decision holds for all.
    """
    if vectors is not None:
        try:
            return _write(backend, documents, vectors, namespace, if_absent, visible=visible)
        except FingerprintMismatchError:
            pass
    if if_absent is None:
        return write(backend, documents, namespace, visible=visible)
    return backend.upsert(documents, visible, if_absent, namespace=namespace).written


def _write(
    backend: Backend,
    documents: Sequence[Document],
    vectors: PairVectors,
    namespace: str | None,
    if_absent: IfAbsent | None,
    *,
    visible: bool,
) -> int:
    size = BATCH if if_absent is None else max(1, len(documents))
    written = 0
    for first in range(0, len(documents), size):
        part = slice(first, first + size)
        result = backend.upsert(documents[part], visible, if_absent, namespace=namespace, vectors=vectors[part])
        written += result.written
    return written


def search_diverse(
    backend: Backend,
    query: str | PairVectors,
    k: int,
    *,
    fetch_k: int,
    balance: float,
    where: Where | None = None,
    namespace: str | None = None,
) -> Result:
    """The k hits that are near a query and unlike each other (maximal marginal relevance), of the `fetch_k` nearest.

    `balance`: 1 looks at nearness alone, 0 at difference alone. Likeness is the cosine. Query and documents are
    embedded by one pair: when somebody moves `live` in between, words are asked again.

    Raises FingerprintMismatchError for a vector of another pair, and UsageError for a `k` below 1.
    """
    if k < 1:  # more are asked for, so no search would say it
        raise UsageError(f"k is {k!r}; it must be a whole number from 1")
    tries = _TRIES if isinstance(query, str) else 1
    while True:
        vectors = backend.embed_queries([query]) if isinstance(query, str) else query
        try:
            [result] = backend.search(vectors, max(k, fetch_k), where, namespace, include_vectors=True)
        except FingerprintMismatchError:
            tries -= 1
            if not tries:
                raise
            continue
        rows = np.array([hit.vector for hit in result.hits], dtype=np.float32)
        return replace(result, hits=[result.hits[place] for place in _diverse(vectors.vectors[0], rows, k, balance)])


def _diverse(query: FloatArray, rows: FloatArray, k: int, balance: float) -> list[int]:
    """Places of the chosen rows, the best first."""
    if not len(rows):
        return []
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
    near = unit @ (query / max(float(np.linalg.norm(query)), _TINY))
    chosen = [int(np.argmax(near))]
    likeness = unit @ unit[chosen[0]]  # to the chosen one that is most alike
    while len(chosen) < min(k, len(rows)):
        worth = balance * near - (1 - balance) * likeness
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        likeness = np.maximum(likeness, unit @ unit[chosen[-1]])
    return chosen
