"""What an adapter needs of a store: `Store` and `Client` both have it, so each adapter works over both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, overload

from vecrollback.records import (
    Document,
    Hit,
    IfAbsent,
    Json,
    PairVectors,
    Result,
    SearchMode,
    Weights,
    Where,
    WriteResult,
)

BATCH = 500
"""Documents of one request: within what a server takes, and one wait for all of them is not long."""


_MOST_RANKS = 2 / 61
"""The score of a document that both lists of a hybrid search have first."""


class Backend(Protocol):
    """A store in this process or behind a URL. The methods are those of `Store`, which documents them."""

    @property
    def uri(self) -> str: ...

    @overload
    def search(
        self,
        query: str,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> Result: ...
    @overload
    def search(
        self,
        query: PairVectors,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> list[Result]: ...

    def embed_queries(self, texts: Sequence[str]) -> PairVectors: ...

    def embed_documents(self, texts: Sequence[str]) -> PairVectors: ...

    def upsert(
        self,
        documents: Iterable[Document],
        visible: bool = False,
        if_absent: IfAbsent | None = None,
        *,
        namespace: str | None = None,
        vectors: PairVectors | None = None,
    ) -> WriteResult: ...

    def wait(self, seq: int, timeout: float = 30.0) -> None: ...

    def delete(
        self, ids: Iterable[str] | None = None, where: Where | None = None, namespace: str | None = None
    ) -> WriteResult: ...

    def get(self, ids: Sequence[str], namespace: str | None = None) -> dict[str, Document]: ...

    def documents(
        self,
        where: Where | None = None,
        after: str | None = None,
        limit: int | None = None,
        namespace: str | None = None,
    ) -> Iterator[Document]: ...

    def count(self, where: Where | None = None, namespace: str | None = None) -> int: ...

    def status(self) -> dict[str, Json]: ...


Target = Backend | str
"""A store or client, or where one is: a directory, `s3://...`, or the URL of a server."""


def origin_facts(hit: Hit, result: Result) -> dict[str, Json]:
    """How a hit was found, as each adapter adds it under the key `vecrollback`."""
    return {
        "pair": result.pair,
        "snapshot": result.snapshot,
        "epoch": result.epoch,
        "stale": hit.stale,
        "chunk": hit.chunk,
        "answered_by": result.answered_by,
    }


def open_target(target: Target, token: str | None = None) -> Backend:
    """The store or client itself, or the one that is opened at an address. Raises StoreNotFoundError."""
    if not isinstance(target, str):
        return target
    if target.startswith(("http://", "https://")):
        from vecrollback.client import Client

        return Client(target, token)
    from vecrollback.store.store import connect

    return connect(target)


def read(backend: Backend, ids: Sequence[str], namespace: str | None = None) -> list[Document]:
    """Documents in the order of these ids; those that are unknown are left out."""
    found: dict[str, Document] = {}
    for first in range(0, len(ids), BATCH):
        found |= backend.get(ids[first : first + BATCH], namespace)
    return [found[id_] for id_ in ids if id_ in found]


def remove(backend: Backend, ids: Sequence[str], namespace: str | None = None) -> int:
    """Delete documents for good; returns how many were there."""
    parts = (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))
    return sum(backend.delete(part, namespace=namespace).deleted for part in parts)


def clear(backend: Backend, namespace: str | None = None) -> int:
    """Delete every document for good; returns how many there were."""
    return remove(backend, [document.id for document in backend.documents(namespace=namespace)], namespace)


def measure(result: Result) -> str:
    """What the scores of a result are: the metric of the pair that answered, or the mode where words took part.

    That is the mode in which it was answered, which is not always the one that was asked for.
    """
    return result.metric if result.mode == "vector" else result.mode


def relevance(score: float, measured: str) -> float:
    """A hit's score as a number from 0 to 1, 1 for the best there can be; each measure has a way of its own.

    Args:
        score: As `Hit.score` has it: a cosine, a dot product, a squared distance negated, what words are worth (BM25),
            or reciprocal ranks.
        measured: "cosine", "dot", "l2", "keyword" or "hybrid", as `measure` tells it.

    Returns:
        The cosine itself, 0 below 0; of a dot product its logistic function; of a distance d, 1 / (1 + d); of words
        s / (1 + s); of reciprocal ranks their share of the most, which the first of both lists has.

    Example:
        >>> relevance(0.8, "cosine"), relevance(0.0, "dot"), relevance(-9.0, "l2"), relevance(3.0, "keyword")
        (0.8, 0.5, 0.25, 0.75)
    """
    if measured == "l2":
        return 1.0 / (1.0 + math.sqrt(max(0.0, -score)))
    if measured == "dot":
        return 0.5 * (1.0 + math.tanh(score / 2))  # the logistic function, which does not overflow this way
    if measured == "keyword":
        return max(0.0, score) / (1.0 + max(0.0, score))
    if measured == "hybrid":
        score /= _MOST_RANKS
    return min(1.0, max(0.0, score))
