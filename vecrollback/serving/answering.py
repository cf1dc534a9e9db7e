"""What a query is answered from, and what it has to be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from vecrollback.corpus.documents import is_unicode, validate_namespace
from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.errors import BadQueryError, NoPairServesError, UsageError
from vecrollback.records import (
    AnsweredBy,
    Hit,
    Json,
    Pointer,
    Result,
    SearchMode,
    SearchOptions,
    Weights,
    Where,
    where_text,
)
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.cascade import CascadeSides
from vecrollback.serving.open_pairs import OpenPair
from vecrollback.serving.view import PairView
from vecrollback.storage.spans import span

_MAX_K = 10_000


class Serving(NamedTuple):
    """What a query answers from. Law 1: it takes this one value at its start and looks at nothing else.

    `reason`: why it is not current. `outlives`: the pointer that was read and is older than what was seen before.
    """

    pointer: Pointer
    open_pair: OpenPair
    current: bool = True
    reason: str = ""
    outlives: Pointer | None = None
    candidate: Serving | None = None  # what a share of the callers is answered from, where it is open
    sides: CascadeSides | None = None  # of a pair that is not whole yet: what names the rest


def search_options(
    k: int,
    where: Where | None,
    namespace: str | None,
    mode: SearchMode = "vector",
    *,
    include_vectors: bool = False,
    weights: Weights | None = None,
    reranker: str | None = None,
) -> SearchOptions:
    """The options of a search. Raises UsageError, BadFilterError, BadDocumentError for a name of a namespace."""
    if not isinstance(k, int) or not 1 <= k <= _MAX_K:
        raise UsageError(f"k is {k!r}; it must be a whole number from 1 to {_MAX_K}")
    if mode not in ("vector", "keyword", "hybrid"):
        raise UsageError(f"mode is {mode!r}", hint="'vector', 'keyword' or 'hybrid'")
    if weights is not None:
        weights = _valid_weights(weights, mode)
    if reranker is not None and (not isinstance(reranker, str) or not reranker.strip()):
        raise UsageError(f"reranker is {reranker!r}", hint="a string such as 'cross-encoder:DIRECTORY', or a name")
    place = validate_namespace(namespace) if namespace else ""
    return SearchOptions(k, where_text(where) if where else None, place, include_vectors, mode, weights, reranker)


def _valid_weights(weights: Weights, mode: SearchMode) -> Weights:
    """Two shares of 1. Raises UsageError."""
    values = tuple(weights) if isinstance(weights, Sequence) and not isinstance(weights, str) else ()
    if len(values) != 2 or not all(isinstance(one, int | float) and 0 <= one < math.inf for one in values):
        raise UsageError(f"weights are {weights!r}", hint="two numbers, for vectors and for words: (0.7, 0.3)")
    if mode != "hybrid" or not sum(values):
        raise UsageError(
            f"weights are {weights!r} with mode={mode!r}", hint="they join two lists: mode='hybrid', one above zero"
        )
    return values[0] / sum(values), values[1] / sum(values)


def require_no_words(options: SearchOptions) -> None:
    """Raise UsageError where a search by vectors asks for what reads the words of the query."""
    if options.mode != "vector" or options.reranker is not None:
        raise UsageError(
            "a search by vectors has no words that a keyword index or a reranker could read",
            hint="search by the words themselves, or leave mode and reranker out",
        )


def as_texts(query: str | Iterable[str]) -> list[str]:
    """A query, or several, as a list. What is neither is in it as it is, for `valid_queries` to refuse."""
    return [query] if isinstance(query, str) or not isinstance(query, Iterable) else list(query)


def valid_queries(query: str | Iterable[str]) -> list[str]:
    """A query, or several, as texts that a model may get. Raises UsageError, BadQueryError."""
    texts = as_texts(query)
    if any(not isinstance(text, str) or not text.strip() for text in texts):
        raise UsageError("a query is blank or not a string", hint="pass the words to search for")
    if not all(one.isascii() or is_unicode(one) for one in texts):
        raise BadQueryError("a query holds half a surrogate pair, so it is not valid Unicode", hint="decode it again")
    return texts


def empty_result(error: NoPairServesError) -> Result:
    """The answer while no pair serves."""
    return Result("", 0, 0, 0, {}, [], reason=f"{error.message}: {error.hint}")


class Origin(Protocol):
    """What answers in place of the live pair alone, and what that is known to be worth."""

    @property
    def answered_by(self) -> AnsweredBy: ...
    @property
    def measured(self) -> Mapping[str, Json] | None: ...


def results_of(
    serving: Serving,
    answers: Sequence[list[Hit]],
    options: SearchOptions,
    *,
    canary: bool = False,
    instead: Origin | None = None,
) -> list[Result]:
    """What callers get for these hits: they, and where they came from."""
    pointer, view, pair = serving.pointer, serving.open_pair.view, serving.open_pair.pair
    return [
        Result(
            pair=pointer.pair,
            snapshot=pointer.snapshot,
            epoch=pointer.epoch,
            watermark=view.watermark,
            settings=view.snapshot.manifest.settings,
            hits=hits,
            current=serving.current,
            canary=canary,
            doubt=serving.open_pair.queries.doubt,
            reason="" if hits else _why_nothing(view, pointer, options),
            metric=pair.metric,
            dimension=pair.dimension,
            fingerprint=pair.fingerprint,
            vectors_version=view.vectors_version,
            head=view.texts.head,
            answered_by=instead.answered_by if instead else "pair",
            measured=instead.measured if instead else None,
        )
        for hits in answers
    ]


def _why_nothing(view: PairView, pointer: Pointer, options: SearchOptions) -> str:
    """Why an answer is empty."""
    if not view.empty:
        place = f" of namespace {options.namespace!r}" if options.namespace else ""
        return f"no document{place} matches `where`" if options.where else f"the pair holds no document{place}"
    if pointer.watermark < pointer.head:
        waiting = f"{pointer.head - pointer.watermark:,} changes of the log are not in pair {pointer.pair!r} yet"
        return f"{waiting}: let a worker run, or `vecrollback catch-up`"
    return "the store holds no documents"


def embed_queries(serving: Serving, texts: list[str]) -> FloatArray:
    """Query vectors; whatever else embeds in this process lets them through first."""
    with span("embed", pair=serving.open_pair.pair.name, texts=len(texts)), QUERIES_FIRST.query():
        return serving.open_pair.queries.embed(texts)
