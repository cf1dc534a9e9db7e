"""LangChain's vector stores under guard: the object that they embed with is watched in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.errors import UsageError
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

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        embed = getattr(self.subject, "aembed_documents", None)
        if embed is None:  # what has the methods alone and is no `Embeddings`
            return await super().aembed_documents(texts)
        vectors: list[list[float]] = await self._watch.embed_awaited(embed, list(texts))
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        await asyncio.to_thread(self._watch.ask)
        embed = getattr(self.subject, "aembed_query", None)
        vector: list[float] = await embed(text) if embed else await asyncio.to_thread(self.subject.embed_query, text)
        return vector

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

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift, template: str | None) -> None:  # noqa: ARG002  # it embeds
        if self.embedding is None:
            return
        guarded = GuardedEmbeddings(self.embedding, ModelWatch(stamp, model, drift))
        places = list(self._embedding_places())
        for holder, name in places:
            setattr(holder, name, guarded)
        if not places:
            raise UsageError(
                f"a {type(self._store).__name__} hides its embeddings, so they cannot be watched",
                hint="guard its collection instead, from a timer: guard((connection, table), embeddings)",
            )

    def _embedding_places(self) -> Iterator[tuple[Any, str]]:
        """The objects and attributes that hold the embeddings, whatever they are called: each package has its name.

        PGVectorStore is a shell around the store that has them.
        """
        inside = [one for one in vars(self._store).values() if hasattr(one, "__dict__")]
        for holder in (self._store, *inside):
            if holder is not self.embedding and not isinstance(holder, GuardedEmbeddings | type):
                for name, value in list(vars(holder).items()):
                    if value is self.embedding or isinstance(value, GuardedEmbeddings):
                        yield holder, name

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
