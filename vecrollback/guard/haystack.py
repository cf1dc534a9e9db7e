"""Haystack's document stores under guard: documents are compared as they are written, and the model as it is asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.guard.places import DrawnRows, draw, rows_of
from vecrollback.guard.stores import Drift, collection_in
from vecrollback.guard.watch import ModelWatch

_ASKING = ("embedding_retrieval", "_embedding_retrieval", "_query_by_embedding", "search_embeddings")
"""What stores call a search by a vector."""


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

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift) -> None:
        watch, store = ModelWatch(stamp, model, drift), self._store
        write = type(store).write_documents

        def write_documents(documents: list[Any], *rest: Any, **options: Any) -> Any:
            watch.examine([one.content for one in documents], [one.embedding for one in documents])
            return write(store, documents, *rest, **options)

        store.write_documents = write_documents
        for name in _ASKING:
            if search := getattr(type(store), name, None):
                setattr(store, name, _asking(watch, search.__get__(store)))


def _asking(watch: ModelWatch, search: Any) -> Any:
    def searching(*values: Any, **options: Any) -> Any:
        watch.ask()
        return search(*values, **options)

    return searching
