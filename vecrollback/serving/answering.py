"""What a query is answered from, and what it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vecrollback.arrays import FloatArray
from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.errors import BadQueryError, UsageError
from vecrollback.records import Pointer
from vecrollback.serving.open_pairs import OpenPair
from vecrollback.serving.view import PairView


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


def valid_queries(query: str | Sequence[str]) -> list[str]:
    """A query, or several, as texts that a model may get. Raises UsageError, BadQueryError."""
    texts = [query] if isinstance(query, str) else list(query)
    if any(not isinstance(text, str) or not text.strip() for text in texts):
        raise UsageError("a query is blank or not a string", hint="pass the words to search for")
    if not all(one.isascii() or _is_unicode(one) for one in texts):
        raise BadQueryError("a query holds half a surrogate pair, so it is not valid Unicode", hint="decode it again")
    return texts


def why_nothing(view: PairView, pointer: Pointer, where: str | None) -> str:
    """Why an answer is empty."""
    if not view.empty:
        return "no document matches `where`" if where else "no document is near"
    if pointer.watermark < pointer.head:
        waiting = f"{pointer.head - pointer.watermark:,} changes of the log are not in pair {pointer.pair!r} yet"
        return f"{waiting}: let a worker run, or `vecrollback catch-up`"
    return "the store holds no documents"


def embed_queries(serving: Serving, texts: list[str]) -> FloatArray:
    """Query vectors; whatever else embeds in this process lets them through first."""
    with QUERIES_FIRST.query():
        return serving.open_pair.queries.embed(texts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
