"""A Qdrant collection under guard. Its stamp is a point of a collection of its own, in the same database."""

from __future__ import annotations

import os
import uuid
from typing import Any

import numpy as np

from vecrollback.connectors.base import expanded, split_at_hash
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.guard.places import DrawnRows, rows_of


class QdrantPoints:
    """A collection of a `QdrantClient`, served or local. `vector`: which of several named vectors of a point."""

    def __init__(self, client: Any, collection: str, vector: str = "") -> None:
        self._client, self._collection, self._vector = client, collection, vector
        self.name = f"Qdrant collection {collection!r}"
        if not client.collection_exists(collection):
            there = ", ".join(one.name for one in client.get_collections().collections)
            raise UsageError(f"{self.name} does not exist", hint=f"collections: {there or 'none'}")

    def read(self) -> str | None:
        if not self._client.collection_exists(STAMPS):
            return None
        points = self._client.retrieve(STAMPS, ids=[self._id], with_payload=True)
        return str(points[0].payload["stamp"]) if points else None

    def write(self, stamp: str | None) -> None:
        from qdrant_client import models

        there = self._client.collection_exists(STAMPS)
        if stamp is None:
            if there:
                self._client.delete(STAMPS, points_selector=models.PointIdsList(points=[self._id]), wait=True)
            return
        if not there:
            size = models.VectorParams(size=1, distance=models.Distance.DOT)
            self._client.create_collection(STAMPS, vectors_config=size)
        payload = {"collection": self._collection, "stamp": stamp}
        self._client.upsert(STAMPS, [models.PointStruct(id=self._id, vector=[1.0], payload=payload)], wait=True)

    def count(self) -> int:
        return int(self._client.count(self._collection, exact=True).count)

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:  # noqa: ARG002  # Qdrant draws itself
        from qdrant_client import models

        query = models.SampleQuery(sample=models.Sample.RANDOM)
        options = {"with_payload": True, "with_vectors": [self._vector] if self._vector else True}
        points = self._client.query_points(self._collection, query=query, limit=size, **options).points
        records = [{"id": str(point.id), **(point.payload or {})} for point in points]
        return rows_of(records, [self._one(point.vector) for point in points])

    def _one(self, vector: Any) -> Any:
        if not isinstance(vector, dict):
            return vector
        return vector.get(self._vector) if self._vector else next(iter(vector.values()), None)

    @property
    def _id(self) -> str:
        """Qdrant takes no words as ids."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vecrollback:{self._collection}"))


def open_place(place: str) -> QdrantPoints:
    """`qdrant:http://host:6333#collection` or `qdrant:PATH#collection`."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise MissingDependencyError("qdrant-client", "qdrant") from error
    where, name = split_at_hash(place, "qdrant", "collection")
    if where.startswith(("http://", "https://")):
        return QdrantPoints(QdrantClient(url=where, api_key=os.environ.get("QDRANT_API_KEY")), name)
    return QdrantPoints(QdrantClient(path=expanded(where)), name)
