"""A Chroma collection under guard. Its stamp is a row of a collection of its own, in the same database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vecrollback.connectors.base import expanded, split_at_hash
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.guard.places import DrawnRows, draw, rows_of

_UNIT = [1.0, 0.0]
"""Chroma keeps no row without a vector."""


class ChromaCollection:
    """A collection as a client of Chroma gives it. The stamp belongs to its id: who makes it anew, stamps it anew."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.name = f"Chroma collection {collection.name!r}"

    def read(self) -> str | None:
        stamps = self._stamps(create=False)
        there = stamps.get(ids=[str(self._collection.id)], include=["metadatas"])["metadatas"] if stamps else []
        return str(there[0]["stamp"]) if there else None

    def write(self, stamp: str | None) -> None:
        own = str(self._collection.id)
        if stamp is None:
            if stamps := self._stamps(create=False):
                stamps.delete(ids=[own])
            return
        facts = {"collection": self._collection.name, "stamp": stamp}
        self._stamps(create=True).upsert(ids=[own], embeddings=[_UNIT], metadatas=[facts])

    def count(self) -> int:
        return int(self._collection.count())

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        records: list[dict[str, Any]] = []
        vectors: list[Any] = []
        # By offset: Chroma has no way to random rows, and all ids of a large collection do not fit one answer.
        for row in draw(self.count(), size, chance):
            page = self._collection.get(limit=1, offset=row, include=["embeddings", "documents", "metadatas"])
            for n, id_ in enumerate(page["ids"]):
                text, metadata = page["documents"][n], dict(page["metadatas"][n] or {})
                records.append({"id": id_, "metadata": metadata} | ({} if text is None else {"document": text}))
                vectors.append(page["embeddings"][n])
        return rows_of(records, vectors)

    def _stamps(self, *, create: bool) -> Any:
        # The client's own calls and not those of a new client: this one has the tenant, the database and the key.
        model = self._collection
        server, where = model._client, {"tenant": model.tenant, "database": model.database}
        kind = type(model)
        if create:
            made = server.create_collection(STAMPS, get_or_create=True, **where)
            return kind(client=server, model=made, embedding_function=None)
        there = [one for one in server.list_collections(**where) if one.name == STAMPS]
        return kind(client=server, model=there[0], embedding_function=None) if there else None


def open_place(place: str) -> ChromaCollection:
    """`chroma:PATH#collection` or `chroma:http://host:port#collection`."""
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingDependencyError("chromadb", "chroma") from error
    where, name = split_at_hash(place, "chroma", "collection")
    settings = Settings(anonymized_telemetry=False)
    if where.startswith(("http://", "https://")):
        parts = urlsplit(where)
        address = parts.hostname or "localhost", parts.port or 8000
        client = chromadb.HttpClient(*address, ssl=parts.scheme == "https", settings=settings)
    else:
        try:
            client = chromadb.PersistentClient(expanded(where), settings=settings)
        except ValueError:  # the application has it open, and Chroma takes no other settings then
            client = chromadb.PersistentClient(expanded(where))
    there = [one.name for one in client.list_collections()]
    if name not in there:
        raise UsageError(f"{place}: there is no such collection", hint=f"collections: {', '.join(there) or 'none'}")
    return ChromaCollection(client.get_collection(name, embedding_function=None))
