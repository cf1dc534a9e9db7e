"""LlamaIndex's vector stores under guard: nodes are compared as they are added, and the model as it is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryResult

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.guard.places import DrawnRows, draw, rows_of
from vecrollback.guard.stores import Drift, collection_in
from vecrollback.guard.watch import ModelWatch

_ADD, _QUERY = "add", "query"


class LlamaIndexStore:
    """A vector store. It embeds nothing itself: the embedder is what its index embeds with."""

    embedding = None

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def collection(self) -> Any:
        return collection_in(self._store)

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows | None:
        """Of the store that keeps its rows in this process, and no texts."""
        kept = getattr(getattr(self._store, "data", None), "embedding_dict", None)
        if not isinstance(kept, dict):
            return None
        ids = sorted(kept)
        picked = [ids[n] for n in draw(len(ids), size, chance)]
        return rows_of([{"id": id_} for id_ in picked], [kept[id_] for id_ in picked])

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift) -> None:
        watch, store, kind = ModelWatch(stamp, model, drift), self._store, type(self._store)

        def add(nodes: list[BaseNode], **options: Any) -> Any:
            texts = [node.get_content(MetadataMode.EMBED) for node in nodes]
            watch.examine(texts, [node.embedding for node in nodes])
            return kind.add(store, nodes, **options)

        def query(query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
            watch.ask()
            result: VectorStoreQueryResult = kind.query(store, query, **options)
            return result

        # In the object's own dict, where its class finds them first: it stays the store that it was.
        store.__dict__[_ADD], store.__dict__[_QUERY] = add, query
