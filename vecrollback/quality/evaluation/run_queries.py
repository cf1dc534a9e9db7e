"""Asking pairs, and timing them against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.records import Latency
from vecrollback.serving.open_pairs import OpenPair

_BATCH = 8


def ask(held: OpenPair, texts: Sequence[str], k: int, done: Callable[[int], None] = lambda _: None) -> list[list[str]]:
    """The ids of the first k documents for each text. `done` hears how many were answered."""
    answers: list[list[str]] = []
    for first in range(0, len(texts), _BATCH):
        if first:
            QUERIES_FIRST.let_through()
        queries = held.queries.embed_proven(list(texts[first : first + _BATCH]))
        answers += [[hit.id for hit in hits] for hits in held.view.search(queries, k)]
        done(len(answers))
    return answers


def ask_in_turns(
    both: Sequence[OpenPair], texts: Sequence[str], k: int, done: Callable[[int], None] = lambda _: None
) -> tuple[list[list[list[str]]], list[list[float]]]:
    """For each pair its answers, and the seconds of each query asked alone.

    In turns, and each query first of the other pair: whatever else the machine does meets both alike.
    """
    for held in both:
        ask(held, texts[:1], k)  # what is loaded at the first use is nobody's latency
    answers: list[list[list[str]]] = [[] for _ in both]
    seconds: list[list[float]] = [[] for _ in both]
    for number, text in enumerate(texts):
        order = range(len(both)) if number % 2 else reversed(range(len(both)))
        for which in order:
            QUERIES_FIRST.let_through()
            started = time.perf_counter()
            [ids] = ask(both[which], [text], k)
            seconds[which].append(time.perf_counter() - started)
            answers[which].append(ids)
        done(number + 1)
    return answers, seconds


def latency(seconds: Sequence[float]) -> Latency:
    p50, p99 = np.quantile(np.asarray(seconds) * 1000, [0.5, 0.99])
    return Latency(float(p50), float(p99))
