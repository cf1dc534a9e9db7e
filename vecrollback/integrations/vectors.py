"""Vectors that frameworks pass around as lists of numbers, and what has to go with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vecrollback.errors import FingerprintMismatchError, UsageError
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.batches import is_remote, text_batches
from vecrollback.records import Document, PairVectors, Result, Where
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
        text_digest: Of the text that was embedded as a document; "" for a query.
    """

    def __init__(
        self, numbers: Iterable[float], fingerprint: str = "", pair: str = "", epoch: int = 0, text_digest: str = ""
    ) -> None:
        super().__init__(numbers)
        self.fingerprint, self.pair, self.epoch, self.text_digest = fingerprint, pair, epoch, text_digest

    def __reduce__(self) -> tuple[Any, ...]:
        return PairVector, (list(self), self.fingerprint, self.pair, self.epoch, self.text_digest)


def as_lists(vectors: PairVectors, texts: Sequence[str] | None = None) -> list[PairVector]:
    """One list for each vector; with the texts, if these were embedded as documents."""
    digests = [""] * len(vectors.vectors) if texts is None else [_digest(text) for text in texts]
    rows = zip(vectors.tolist(), digests, strict=True)
    return [PairVector(row, vectors.fingerprint, vectors.pair, vectors.epoch, digest) for row, digest in rows]


def embed_documents(backend: Backend, texts: Sequence[str]) -> PairVectors:
    """Embed texts as documents, as many as there are, all by one model.

    Raises:
        FingerprintMismatchError: Time and again another pair became the live one in between.
    """
    if not is_remote(backend):
        return backend.embed_documents(texts)
    for _ in range(_TRIES):
        parts = [backend.embed_documents(part) for part in text_batches(texts)] or [backend.embed_documents([])]
        if len({part.fingerprint for part in parts}) == 1:
            return replace(parts[-1], vectors=np.concatenate([part.vectors for part in parts]))
    raise FingerprintMismatchError(
        "while these texts were embedded, another pair became the live one, several times", hint="embed them again"
    )


def with_origin(vector: Sequence[float]) -> PairVectors:
    """The vector as the store takes it. Raises FingerprintMismatchError for one that does not say whose it is."""
    if not isinstance(vector, PairVector) or not vector.fingerprint:
        raise FingerprintMismatchError(
            "this vector does not say which model made it, so nobody can tell whether it fits the live pair",
            hint="search with the words, or with a vector of the pair's own embeddings, uncopied",
        )
    return PairVectors(np.array([vector], dtype=np.float32), vector.fingerprint, vector.pair, vector.epoch)


def belongs_to(vector: Sequence[float] | None, document: Document) -> bool:
    """Whether a vector says whose it is, and that it was made of what this document now has to be embedded."""
    if not isinstance(vector, PairVector) or not vector.fingerprint:
        return False
    return vector.text_digest == _digest(document.text_for_model)


def of_one_origin(vectors: Sequence[Sequence[float] | None], documents: Sequence[Document]) -> PairVectors | None:
    """The vectors of these documents as the store takes them.

    None unless each says whose it is, all are of one embedder, and each was made of its document as that is now.
    """
    pairs = list(zip(vectors, documents, strict=True))
    known = [vector for vector, document in pairs if isinstance(vector, PairVector) and belongs_to(vector, document)]
    if not known or len(known) < len(pairs) or len({vector.fingerprint for vector in known}) > 1:
        return None
    return PairVectors(np.array(known, dtype=np.float32), known[0].fingerprint, known[0].pair, known[0].epoch)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


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
