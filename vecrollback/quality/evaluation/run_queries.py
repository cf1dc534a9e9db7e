"""Asking pairs, and timing them against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.corpus.keywords import KeywordHit
from vecrollback.embedders.pieces import QUERIES_FIRST, embed_in_pieces
from vecrollback.records import Hit, Latency, document_key, key_parts
from vecrollback.serving.hybrid import candidates_for, join_lists
from vecrollback.serving.open_pairs import OpenPair

_BATCH = 8

Words = Callable[[str, int], Sequence[KeywordHit]]
"""The documents that hold words of a query, so many at most; whatever namespace they are in."""


def _ignore(_: int) -> None:
    """Whoever asks does not want to know how far it is."""


def ask(
    open_pair: OpenPair,
    texts: Sequence[str],
    k: int,
    on_count: Callable[[int], None] = _ignore,
    words: Words | None = None,
) -> list[list[str]]:
    """The keys of the first k documents for each text; with `words` those of both joined, as a hybrid search does.

    `on_count` is called with the number of answers so far.
    """
    answers: list[list[str]] = []
    for first in range(0, len(texts), _BATCH):
        batch = texts[first : first + _BATCH]
        queries = embed_in_pieces(open_pair.queries.embed_proven, batch)
        found = open_pair.view.search(queries, candidates_for(k) if words else k)
        answers += [
            _joined(hits, words(text, candidates_for(k)))[:k]
            if words
            else [document_key(hit.id, hit.namespace) for hit in hits]
            for text, hits in zip(batch, found, strict=True)
        ]
        on_count(len(answers))
    return answers


def _joined(hits: Sequence[Hit], by_words: Sequence[KeywordHit]) -> list[str]:
    near = [((hit.namespace, hit.id), hit.score) for hit in hits]
    by_rank = join_lists([near, [(key_parts(one.key), one.score) for one in by_words]])
    return [document_key(id_, namespace) for namespace, id_ in by_rank]


def ask_in_turns(
    both: Sequence[OpenPair],
    texts: Sequence[str],
    k: int,
    on_count: Callable[[int], None] = _ignore,
    words: Words | None = None,
) -> tuple[list[list[list[str]]], list[list[float]]]:
    """For each pair its answers, and the seconds of each query asked alone.

    The pairs take turns, also in who is first, so that other load on the machine slows both alike.
    """
    for open_pair in both:
        ask(open_pair, texts[:1], k, words=words)  # not timed: the first use loads files and the model
    answers: list[list[list[str]]] = [[] for _ in both]
    seconds: list[list[float]] = [[] for _ in both]
    for number, text in enumerate(texts):
        order = range(len(both)) if number % 2 else reversed(range(len(both)))
        for which in order:
            QUERIES_FIRST.let_through()
            start = time.perf_counter()
            [keys] = ask(both[which], [text], k, words=words)
            seconds[which].append(time.perf_counter() - start)
            answers[which].append(keys)
        on_count(number + 1)
    return answers, seconds


def latency(seconds: Sequence[float]) -> Latency:
    p50, p99 = np.quantile(np.asarray(seconds) * 1000, [0.5, 0.99])
    return Latency(float(p50), float(p99))
