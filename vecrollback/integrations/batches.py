"""What adapters write and have embedded, in parts that a server takes by default, and the wait until all is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from vecrollback.errors import NotVisibleError
from vecrollback.integrations.backend import BATCH, Backend
from vecrollback.records import Document

T = TypeVar("T")

TEXTS = 128
"""Texts that a server embeds in one request."""
BYTES = (8 << 20) - (64 << 10)
"""Of one request: as much as a server takes, but for what stands around the documents."""
SECONDS_WITHOUT_PROGRESS = 30.0
_NUMBER = 26
"""Characters of a number of a vector as JSON, with what parts it from the next, at most."""
_NAMES = len('{"id": , "text": , "metadata": , "embedded_text": , "namespace": ""}, ')


def document_batches(documents: Iterable[Document], dimension: int = 0) -> Iterator[list[Document]]:
    """Documents in their order, in parts of one request each; with `dimension` each comes with a vector of so many."""

    def size(document: Document) -> int:
        # Written as the client writes it: of a text that is not ASCII each character takes six bytes, or twelve.
        parts = (document.id, document.text, document.metadata, document.embedded_text)
        return len(json.dumps(parts, default=str, skipkeys=True)) + _NAMES + _NUMBER * dimension

    return _parts(documents, size, BATCH)


def text_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in their order, in parts that a server embeds in one request."""
    return _parts(texts, lambda text: len(json.dumps(text)) + 2, TEXTS)


def is_remote(backend: Backend) -> bool:
    """Whether it is a client, so that each call is a request with the limits of one."""
    return backend.uri.startswith(("http://", "https://"))


def wait_until_found(backend: Backend, seq: int) -> None:
    """Return when queries find a change, however long that takes, as long as it comes nearer.

    A first load of a collection is hours of work for a model.

    Raises:
        NotVisibleError: For half a minute nothing more was embedded. What was written is durable.
    """
    reached: tuple[int, int] | None = None
    while True:
        try:
            return backend.wait(seq, SECONDS_WITHOUT_PROGRESS)
        except NotVisibleError as error:
            # The watermark moves when thousands are done, vectors with every batch; an older server does not tell them.
            now = (error.watermark, getattr(error, "vectors_version", 0))
            if now == reached:
                raise
            reached = now


def _parts(things: Iterable[T], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    part: list[T] = []
    taken = 0
    for thing in things:
        needed = size(thing)
        if part and (len(part) == most or taken + needed > BYTES):
            yield part
            part, taken = [], 0
        part.append(thing)
        taken += needed
    if part:
        yield part
