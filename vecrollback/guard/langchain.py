"""LangChain's vector stores under guard: the object that they embed with is watched in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.guard.places import DrawnRows, draw, rows_of
from vecrollback.guard.stores import Drift, collection_in
from vecrollback.guard.watch import ModelWatch


class GuardedEmbeddings(Embeddings):
    """A store's embeddings. A probe rides with every batch of documents, and every few seconds one with a query."""

    def __init__(self, subject: Embeddings, watch: ModelWatch) -> None:
        self.subject, self._watch = subject, watch

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._watch.embed(self.subject.embed_documents, list(texts))
        return vectors

    def embed_query(self, text: str) -> list[float]:
        self._watch.ask()
        return self.subject.embed_query(text)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "subject":  # while it is copied or unpickled there is no subject yet
            raise AttributeError(name)
        return getattr(self.subject, name)


class LangchainStore:
    """A `VectorStore`: Chroma, PGVector, Qdrant and LanceDB show their collection; for others say it with `at`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        embedding = getattr(store, "embeddings", None)
        self.embedding = embedding.subject if isinstance(embedding, GuardedEmbeddings) else embedding

    @property
    def collection(self) -> Any:
        store = self._store
        if hasattr(store, "EmbeddingStore") and getattr(store, "_engine", None) is not None:
            return _of_pgvector(store)
        return collection_in(store)

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows | None:
        """Of the stores that keep their rows in this process."""
        rows = getattr(self._store, "store", None)
        if isinstance(rows, dict):  # InMemoryVectorStore
            kept = list(rows.values())
            picked = [kept[n] for n in draw(len(kept), size, chance)]
            return rows_of([_record(row) for row in picked], [row["vector"] for row in picked])
        positions = getattr(self._store, "index_to_docstore_id", None)
        if isinstance(positions, dict):  # FAISS
            return self._of_faiss(positions, size, chance)
        return None

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift) -> None:
        if self.embedding is None:
            return
        guarded = GuardedEmbeddings(self.embedding, ModelWatch(stamp, model, drift))
        # Whatever the attribute is called: each package has a name of its own.
        for name, value in list(vars(self._store).items()):
            if value is self.embedding or isinstance(value, GuardedEmbeddings):
                setattr(self._store, name, guarded)

    def _of_faiss(self, positions: dict[int, str], size: int, chance: np.random.Generator) -> DrawnRows:
        picked = [sorted(positions)[n] for n in draw(len(positions), size, chance)]
        documents = [self._store.docstore.search(positions[row]) for row in picked]
        records = [
            {"id": positions[row], "page_content": document.page_content, "metadata": document.metadata}
            for row, document in zip(picked, documents, strict=True)
        ]
        return rows_of(records, [self._store.index.reconstruct(row) for row in picked])


def _record(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": row.get("id"), "page_content": row.get("text"), "metadata": row.get("metadata") or {}}


def _of_pgvector(store: Any) -> tuple[Any, ...]:
    """The table that all collections of LangChain's PGVector share, and what tells this one from the others."""
    with store._make_sync_session() as session:
        collection = store.get_collection(session)
        own = str(collection.uuid) if collection else "00000000-0000-0000-0000-000000000000"
    table = store.EmbeddingStore.__tablename__
    return store._engine, table, f"collection_id = '{own}'", store.collection_name
