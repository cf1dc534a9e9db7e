"""A model that embeds one call at a time, as a real one does, and tells when it was asked and when it began."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vecrollback.embedders import open_embedder

_MODEL = open_embedder("hash:32?seed=1")
_LOCK = threading.Lock()
_EVENTS: list[tuple[str, str, int]] = []
_seconds = 0.0


def embed(texts: list[str]) -> Any:
    """Embed. What begins with "query" is a query; anything else is a document."""
    kind = "query" if texts and texts[0].startswith("query") else "document"
    _EVENTS.append(("asked", kind, len(texts)))
    with _LOCK:
        _EVENTS.append(("begun", kind, len(texts)))
        time.sleep(_seconds * len(texts))
        return _MODEL.embed_documents(texts)


@contextmanager
def slowly(seconds: float) -> Iterator[list[tuple[str, str, int]]]:
    """Take so long for each text; gives the events from here on: (asked or begun, query or document, texts)."""
    global _seconds
    _EVENTS.clear()
    _seconds = seconds
    try:
        yield _EVENTS
    finally:
        _seconds = 0.0
