"""Queries first: where they are answered, long work embeds a few texts at a time and lets queries through in between.

A model does one thing at a time, so whoever gives it three hundred texts in one call makes every query wait for all of
them. A lock alone is not fair either: who lets go of it and takes it again at once nearly always gets it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.embedders.base import Embedder, traits_of
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.forks import FollowsForks, follow_forks

FIRST_TEXTS, FIRST_CHARACTERS = 8, 4_096
"""The first piece, while nobody knows how fast the model is: about a thousand tokens."""

PIECE_SECONDS = 0.01
"""What a piece is to take from then on, whatever the model: about as long as a query. A longer text comes alone."""

RECENT_SECONDS = 10.0
"""A process without a searcher that follows `live` answers queries as long after its last one."""

_GROWTH = 2.0
"""A piece holds at most so many times the characters of the one before: one quick piece may be chance."""

_PATIENCE_SECONDS = 0.5
"""Under queries without a break long work still gets a piece this often."""


class QueryLane(FollowsForks):
    """Who embeds queries in this process, and whether anybody may. Long work waits for them between two pieces.

    `characters`: what the next piece should hold, by what the last one took.
    """

    def __init__(self) -> None:
        self._searchers, self._last = 0, -RECENT_SECONDS
        self.characters: float = FIRST_CHARACTERS
        self.forked()
        follow_forks(self)

    def forked(self) -> None:
        """The lock may be held, and queries be under way, in threads that a child does not have."""
        self._changed, self._queries = threading.Condition(), 0

    @property
    def open(self) -> bool:
        """Whether this process answers queries: a service at any time, another one if it did a moment ago."""
        return self.serving or time.monotonic() - self._last < RECENT_SECONDS

    @property
    def serving(self) -> bool:
        """Whether queries may come at any time."""
        return self._searchers > 0

    def enter(self) -> None:
        """A searcher that follows an alias was opened: queries may come at any time."""
        with self._changed:
            self._searchers += 1

    def leave(self) -> None:
        """It was closed."""
        with self._changed:
            self._searchers -= 1

    def query(self) -> QueryLane:
        """For a `with` around the embedding of queries. A generator would cost each query more than all else here."""
        return self

    def __enter__(self) -> None:
        with self._changed:
            self._queries += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._queries, self._last = self._queries - 1, time.monotonic()
            if not self._queries:
                self._changed.notify_all()

    def let_through(self) -> None:
        """Wait until no query is being embedded, half a second at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queries, _PATIENCE_SECONDS)


QUERIES_FIRST = QueryLane()
"""The lane of this process. Not of one model: whatever embeds takes the same cores."""


def embed_documents(
    embedder: Embedder, texts: Sequence[str], after: Callable[[Sequence[str]], None] = lambda _: None
) -> FloatArray:
    """`embedder.embed_documents`, in pieces where this process answers queries and the model is in it.

    A model behind a service has no queries waiting for it here, and every request to it costs. `after` is called with
    the texts of each piece: an embedder can tell some things of what it embedded last, and of nothing else.
    """

    def embed(piece: Sequence[str]) -> FloatArray:
        vectors = embedder.embed_documents(piece)
        after(piece)
        return vectors

    return embed(texts) if traits_of(embedder).remote else embed_in_pieces(embed, texts)


def embed_in_pieces(embed: Callable[[Sequence[str]], FloatArray], texts: Sequence[str]) -> FloatArray:
    """Vectors of texts, shape (n, dimension): in one call, or in pieces where this process answers queries."""
    if not QUERIES_FIRST.open or len(texts) < 2:
        return embed(texts)
    parts: list[FloatArray] = []
    first, last = 0, _end(texts[:FIRST_TEXTS], 0, min(FIRST_CHARACTERS, QUERIES_FIRST.characters))
    while first < len(texts):
        QUERIES_FIRST.let_through()
        start = time.perf_counter()
        parts.append(embed(texts[first:last]))
        factor = PIECE_SECONDS / max(time.perf_counter() - start, 1e-6)
        QUERIES_FIRST.characters = sum(map(len, texts[first:last])) * min(factor, _GROWTH)
        first, last = last, _end(texts, last, QUERIES_FIRST.characters)
    return np.concatenate(parts)


def _end(texts: Sequence[str], first: int, characters: float) -> int:
    """Where a piece of at most so many characters ends that begins at `first`; it holds one text at least."""
    last, size = first + 1, len(texts[first]) if first < len(texts) else 0
    while last < len(texts) and size + len(texts[last]) <= characters:
        size += len(texts[last])
        last += 1
    return last
