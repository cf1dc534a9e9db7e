"""Asking pairs, and timing them against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.embedders.pieces import QUERIES_FIRST, embed_in_pieces
from vecrollback.records import Latency
from vecrollback.serving.open_pairs import OpenPair

_BATCH = 8


def ask(
    open_pair: OpenPair, texts: Sequence[str], k: int, on_count: Callable[[int], None] = lambda _: None
) -> list[list[str]]:
    """The ids of the first k documents for each text. `on_count` is called with the number of answers so far."""
    answers: list[list[str]] = []
    for first in range(0, len(texts), _BATCH):
        queries = embed_in_pieces(open_pair.queries.embed_proven, texts[first : first + _BATCH])
        answers += [[hit.id for hit in hits] for hits in open_pair.view.search(queries, k)]
        on_count(len(answers))
    return answers


def ask_in_turns(
    both: Sequence[OpenPair], texts: Sequence[str], k: int, on_count: Callable[[int], None] = lambda _: None
) -> tuple[list[list[list[str]]], list[list[float]]]:
    """For each pair its answers, and the seconds of each query asked alone.

    The pairs take turns, also in who is first, so that other load on the machine slows both alike.
    """
    for open_pair in both:
        ask(open_pair, texts[:1], k)  # not timed: the first use loads files and the model
    answers: list[list[list[str]]] = [[] for _ in both]
    seconds: list[list[float]] = [[] for _ in both]
    for number, text in enumerate(texts):
        order = range(len(both)) if number % 2 else reversed(range(len(both)))
        for which in order:
            QUERIES_FIRST.let_through()
            start = time.perf_counter()
            [ids] = ask(both[which], [text], k)
            seconds[which].append(time.perf_counter() - start)
            answers[which].append(ids)
        on_count(number + 1)
    return answers, seconds


def latency(seconds: Sequence[float]) -> Latency:
    p50, p99 = np.quantile(np.asarray(seconds) * 1000, [0.5, 0.99])
    return Latency(float(p50), float(p99))
