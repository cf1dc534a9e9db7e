"""LlamaIndex's vector stores under guard: nodes are compared as they are added, and the model as it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode, MetadataMode

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.guard.places import DrawnRows, draw, rows_of
from vecrollback.guard.proof import embedded_text, record_to_come
from vecrollback.guard.stores import Drift, collection_in
from vecrollback.guard.watch import CheckedWrites, ModelWatch, checked, checked_awaited


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

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift, template: str | None) -> None:
        watch, store, kind = ModelWatch(stamp, model, drift), self._store, type(self._store)

        def check(nodes: Sequence[BaseNode]) -> None:
            watch.examine([_embedded(node, template) for node in nodes], [node.embedding for node in nodes])

        writes = CheckedWrites(check, "nodes")
        # In the object's own dict, where its class finds them first: it stays the store that it was.
        store.__dict__ |= {
            "add": writes.write(kind.add.__get__(store)),
            "async_add": writes.write_awaited(kind.async_add.__get__(store)),
            "query": checked(watch.ask, kind.query.__get__(store)),
            "aquery": checked_awaited(watch.ask, kind.aquery.__get__(store)),
        }


def _embedded(node: BaseNode, template: str | None) -> str | None:
    if template is None:
        return node.get_content(MetadataMode.EMBED)
    return embedded_text(record_to_come(node.node_id, node.get_content(MetadataMode.NONE), node.metadata), template)
