"""What an adapter needs of a store: `Store` and `Client` both have it, so each adapter works over both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from vecrollback.records import Document, IfAbsent, Json, Result, Where, WriteResult

_BATCH = 500
"""Documents of one request: within what a server takes, and one wait for all of them is not long."""


class Backend(Protocol):
    """A store in this process or behind a URL. The methods are those of `Store`, which documents them."""

    @property
    def uri(self) -> str: ...

    def search(self, query: str, k: int = 10, where: Where | None = None, *, key: str | None = None) -> Result: ...

    def upsert(
        self, documents: Iterable[Document], visible: bool = False, if_absent: IfAbsent | None = None
    ) -> WriteResult: ...

    def wait(self, seq: int, timeout: float = 30.0) -> None: ...

    def delete(self, ids: Iterable[str] | None = None, where: Where | None = None) -> WriteResult: ...

    def get(self, ids: Sequence[str]) -> dict[str, Document]: ...

    def documents(
        self, where: Where | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[Document]: ...

    def count(self, where: Where | None = None) -> int: ...

    def status(self) -> dict[str, Json]: ...


Target = Backend | str
"""A store or client, or where one is: a directory, `s3://...`, or the URL of a server."""


def open_target(target: Target, token: str | None = None) -> Backend:
    """The store or client itself, or the one that is opened at an address. Raises StoreNotFoundError."""
    if not isinstance(target, str):
        return target
    if target.startswith(("http://", "https://")):
        from vecrollback.client import Client

        return Client(target, token)
    from vecrollback.store.store import connect

    return connect(target)


def write(backend: Backend, documents: Iterable[Document], *, visible: bool = True) -> int:
    """Write documents in batches, each of them whole or not at all; returns how many were new or changed.

    With `visible` queries find them when this returns. One wait for the last batch is a wait for all.
    """
    rest, written, head = iter(documents), 0, 0
    while batch := list(islice(rest, _BATCH)):
        result = backend.upsert(batch)
        written, head = written + result.written, result.head
    if visible and head:
        backend.wait(head)
    return written


def read(backend: Backend, ids: Sequence[str]) -> list[Document]:
    """Documents in the order of these ids; those that are unknown are left out."""
    found: dict[str, Document] = {}
    for first in range(0, len(ids), _BATCH):
        found |= backend.get(ids[first : first + _BATCH])
    return [found[id_] for id_ in ids if id_ in found]


def remove(backend: Backend, ids: Sequence[str]) -> int:
    """Delete documents for good; returns how many were there."""
    return sum(backend.delete(ids[first : first + _BATCH]).deleted for first in range(0, len(ids), _BATCH))


def relevance(score: float, metric: str) -> float:
    """A hit's score as a number from 0 to 1, 1 for the best there can be; each metric has a way of its own.

    Args:
        score: As `Hit.score` has it: a cosine, a dot product, or a squared distance negated.
        metric: "cosine", "dot" or "l2", as `Result.metric` has it.

    Returns:
        The cosine itself, 0 below 0; of a dot product its logistic function; of a distance d, 1 / (1 + d).

    Example:
        >>> relevance(0.8, "cosine"), relevance(0.0, "dot"), relevance(-9.0, "l2")
        (0.8, 0.5, 0.25)
    """
    if metric == "l2":
        return 1.0 / (1.0 + math.sqrt(max(0.0, -score)))
    if metric == "dot":
        return 0.5 * (1.0 + math.tanh(score / 2))  # the logistic function, which does not overflow this way
    return min(1.0, max(0.0, score))
