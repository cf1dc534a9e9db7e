"""Queries first: where they are answered, long work embeds a few texts at a time and lets queries through in between.

A model does one thing at a time, so whoever gives it three hundred texts in one call makes every query wait for all of
them. A lock alone is not fair either: who lets go of it and takes it again at once nearly always gets it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from vecrollback.arrays import FloatArray
from vecrollback.embedders.base import Embedder, traits_of

PIECE_TEXTS = 8
PIECE_CHARACTERS = 4_096
"""About a thousand tokens: a tenth of a second for a small model on one core."""

_PATIENCE_SECONDS = 0.5
"""Under queries without a break long work still gets a piece this often."""


class QueryLane:
    """Who embeds queries in this process, and whether anybody may. Long work waits for them between two pieces."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._searchers = self._queries = 0

    @property
    def open(self) -> bool:
        """Whether this process answers queries."""
        return self._searchers > 0

    def enter(self) -> None:
        """A searcher was opened."""
        with self._changed:
            self._searchers += 1

    def leave(self) -> None:
        """It was closed."""
        with self._changed:
            self._searchers -= 1

    @contextmanager
    def query(self) -> Iterator[None]:
        """While queries are embedded."""
        with self._changed:
            self._queries += 1
        try:
            yield
        finally:
            with self._changed:
                self._queries -= 1
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
    made = []
    for piece in pieces(texts):
        QUERIES_FIRST.let_through()
        made.append(embed(piece))
    return np.concatenate(made)


def pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in order, at most 8 and about a thousand tokens at a time; a longer text comes alone."""
    first = size = 0
    for place, text in enumerate(texts):
        if place > first and (place - first == PIECE_TEXTS or size + len(text) > PIECE_CHARACTERS):
            yield texts[first:place]
            first, size = place, 0
        size += len(text)
    if first < len(texts):
        yield texts[first:]
