"""What a store must answer, computed from the documents alone: embed everything, compare with everything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.records import Report, Result
from vecrollback.store.store import Store

ONE, TWO, THREE = "hash:32?seed=1", "hash:32?seed=2", "hash:32?seed=3"
QUERIES = ("boats in the harbour", "a quiet mountain lake", "bread")
EVERYTHING = 1_000
TOLERANCE = 1e-5


@cache
def embedder(spec: str) -> Embedder:
    return open_embedder(spec)


@cache
def score(spec: str, text: str, query: str) -> float:
    """Similarity of a document's best chunk."""
    model = embedder(spec)
    chunks = [text[start:end] for start, end in model.chunk(text)]
    return float(np.max(model.embed_documents(chunks) @ model.embed_queries([query])[0]))


def exact(spec: str, texts: Mapping[str, str], query: str) -> dict[str, float]:
    """Id -> score of every document that has anything to embed."""
    return {id_: score(spec, text, query) for id_, text in texts.items() if text.strip()}


def assert_answers(result: Result, spec: str, texts: Mapping[str, str], query: str) -> None:
    """The result is that of exact search over these documents by this embedder, and none of it is stale."""
    wanted = exact(spec, texts, query)
    assert {hit.id for hit in result.hits} == set(wanted)
    assert len(result.hits) == len(wanted)
    for hit in result.hits:
        assert abs(hit.score - wanted[hit.id]) < TOLERANCE, (hit, wanted[hit.id])
        assert not hit.stale
        assert hit.text in texts[hit.id]
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)


def assert_serves(store: Store, texts: Mapping[str, str]) -> None:
    """The live pair of a store that is caught up answers every query exactly."""
    for query in QUERIES:
        assert_answers(store.search(query, k=EVERYTHING), store.live().embedder, texts, query)


def assert_passes(report: Report) -> None:
    assert report.verdict == "pass", [(f.kind, f.severity, f.message, f.ids[:5]) for f in report.findings]
