"""Haystack's document stores under guard: documents are compared as they are written, and the model as it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.guard.places import DrawnRows, draw, rows_of
from vecrollback.guard.proof import embedded_text, record_to_come
from vecrollback.guard.stores import Drift, collection_in
from vecrollback.guard.watch import CheckedWrites, ModelWatch, checked, checked_awaited

_ASKING = (
    "embedding_retrieval",
    "_embedding_retrieval",
    "_hybrid_retrieval",
    "_query_by_embedding",
    "_query_hybrid",
    "search_embeddings",
)
"""What stores call a search by a vector; where it is awaited, with `_async` behind it."""


class HaystackStore:
    """A document store. It embeds nothing itself: the embedder is what its pipelines embed with."""

    embedding = None

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def collection(self) -> Any:
        return collection_in(self._store)

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows | None:
        if self.collection is not None:
            return None
        documents = self._store.filter_documents()
        picked = [documents[n] for n in draw(len(documents), size, chance)]
        records = [{"id": one.id, "content": one.content, "meta": dict(one.meta)} for one in picked]
        return rows_of(records, [one.embedding for one in picked])

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift, template: str | None) -> None:
        watch, store, kind = ModelWatch(stamp, model, drift), self._store, type(self._store)

        def check(documents: Sequence[Any]) -> None:
            watch.examine([_embedded(one, template) for one in documents], [one.embedding for one in documents])

        writes = CheckedWrites(check, "documents")
        store.write_documents = writes.write(kind.write_documents.__get__(store))
        if awaited := getattr(kind, "write_documents_async", None):
            store.write_documents_async = writes.write_awaited(awaited.__get__(store))
        for name in _ASKING:
            if search := getattr(kind, name, None):
                setattr(store, name, checked(watch.ask, search.__get__(store)))
            if search := getattr(kind, f"{name}_async", None):
                setattr(store, f"{name}_async", checked_awaited(watch.ask, search.__get__(store)))


def _embedded(document: Any, template: str | None) -> str | None:
    if template is None:
        text: str | None = document.content
        return text
    return embedded_text(record_to_come(document.id, document.content, document.meta or {}), template)
