"""The recorded probe queries, asked again: does the pair that serves answer as it did when its snapshot was taken?

A snapshot never changes, so the query vectors recorded with it get the same answers today as then. The model of today
must get those answers too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from vecrollback.catalog import now
from vecrollback.embedders.pieces import embed_in_pieces
from vecrollback.embedders.probes import PROBES
from vecrollback.pairs.resources import Resources
from vecrollback.records import Hit, PostCheck
from vecrollback.serving.open_pairs import BorrowedPairs

_K = 10


def post_check(resources: Resources, pair: str) -> PostCheck:
    """Ask the probe queries of a pair with their recorded vectors and with today's, and compare the answers."""
    vectors_then = resources.embedders.probes(resources.catalog.pairs.get(pair))[len(PROBES) :]
    usable = np.flatnonzero(vectors_then.any(axis=1)).tolist()  # a model may take no such text
    with contextlib.closing(BorrowedPairs(resources)) as pairs, pairs.pairs(pair) as [open_pair]:
        today = embed_in_pieces(open_pair.queries.embed_proven, [PROBES[n] for n in usable])
        then, now_ = (open_pair.view.search(vectors, _K) for vectors in (vectors_then[usable], today))
    shares = [_jaccard(_documents(a), _documents(b)) for a, b in zip(then, now_, strict=True)]
    overlap = sum(shares) / len(shares) if shares else 0.0
    return PostCheck(len(shares), sum(share == 1.0 for share in shares), overlap, now())


def _documents(hits: Sequence[Hit]) -> set[tuple[str, str]]:
    return {(hit.namespace, hit.id) for hit in hits}


def _jaccard(a: set[tuple[str, str]], b: set[tuple[str, str]]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0
