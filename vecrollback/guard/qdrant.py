"""A Qdrant collection under guard. Its stamp is a point of a collection of its own, in the same database."""

from __future__ import annotations

import os
import uuid
from typing import Any

import numpy as np

from vecrollback.connectors.base import expanded, split_at_hash
from vecrollback.connectors.qdrant import dense_vectors, is_stamp_of
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.guard.places import DrawnRows, rows_of


class QdrantPoints:
    """A collection of a `QdrantClient`, served or local. `vector`: which of several named vectors of a point.

    Where points have several vectors, each has a stamp of its own.
    """

    def __init__(self, client: Any, collection: str, vector: str = "") -> None:
        self._client, self._collection = client, collection
        self.name = f"Qdrant collection {collection!r}"
        if not client.collection_exists(collection):
            there = ", ".join(one.name for one in client.get_collections().collections)
            raise UsageError(f"{self.name} does not exist", hint=f"collections: {there or 'none'}")
        shapes = client.get_collection(collection).config.params.vectors or {}
        dense = dense_vectors(shapes if isinstance(shapes, dict) else {"": shapes})
        self._several = len(dense) > 1
        if vector not in dense and (vector or self._several):
            which = f"no vector {vector!r}" if vector else "several vectors in a point"
            raise UsageError(
                f"{self.name} has {which}: {', '.join(filter(None, dense)) or 'they have no names'}",
                hint="name the one that is guarded: guard((client, collection, vector), embedder)",
            )
        self._vector = vector or next(iter(dense), "")
        if self._several:
            self.name += f", vector {vector!r}"

    def read(self) -> str | None:
        return next((str(point.payload["stamp"]) for point in self._own_stamps()), None)

    def write(self, stamp: str | None) -> None:
        from qdrant_client import models

        if there := [point.id for point in self._own_stamps()]:
            self._client.delete(STAMPS, points_selector=models.PointIdsList(points=there), wait=True)
        if stamp is None:
            return
        if not self._client.collection_exists(STAMPS):
            size = models.VectorParams(size=1, distance=models.Distance.DOT)
            self._client.create_collection(STAMPS, vectors_config=size)
        payload = {"collection": self._collection, "vector": self._vector, "stamp": stamp}
        id_ = self._ids[1 if self._several else 0]
        self._client.upsert(STAMPS, [models.PointStruct(id=id_, vector=[1.0], payload=payload)], wait=True)

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
        return vector.get(self._vector) if isinstance(vector, dict) else vector

    def _own_stamps(self) -> list[Any]:
        """The points with the stamp of these vectors."""
        if not self._client.collection_exists(STAMPS):
            return []
        points = self._client.retrieve(STAMPS, ids=self._ids, with_payload=True)
        return [one for one in points if is_stamp_of(one.payload, self._collection, self._vector, self._several)]

    @property
    def _ids(self) -> list[str]:
        """Where the stamp stands while the collection has one vector in a point, and where while it has several.

        Vectors are added and removed. Qdrant takes no words as ids.
        """
        names = self._collection, f"{self._collection}\0{self._vector}"
        return [str(uuid.uuid5(uuid.NAMESPACE_URL, f"vecrollback:{name}")) for name in names]


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
