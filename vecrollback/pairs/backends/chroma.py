"""`chroma:http://host:8000#collection`, `chroma:FOLDER#collection`: the rows of a pair as records of Chroma."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.pairs.backend import IndexChoice, Place, VectorBackend
from vecrollback.pairs.backends.borrowed_points import Lender, borrowing
from vecrollback.pairs.backends.points import Point, PointsBackend, packed, unpacked
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray

_SPACES: dict[Metric, str] = {"cosine": "ip", "dot": "ip", "l2": "l2"}
"""Vectors of a cosine pair are of unit length, so the inner product ranks them alike and keeps their bits."""
_PAGE = 4_000
_NOTE = "vecrollback"


class ChromaBackendKind:
    """`chroma:http://host:8000#collection`, `chroma:FOLDER#collection`."""

    def open(self, place: Place) -> VectorBackend:
        return borrowing(place, ChromaBackend, ChromaLender)


class ChromaBackend(PointsBackend):
    """One collection. Chroma's own graph is built as records come; `exact` compares with all of them here."""

    cure = "is the server up, or the folder open elsewhere?"

    known: Mapping[str, Sequence[str]] = {"hnsw": [], "exact": []}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._address = place.address
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        return _client(self._address, self.place)

    @property
    def _collection(self) -> Any:
        with self._lock:
            if self._open is None or self._open[0] != os.getpid():
                collection = self._client.get_collection(self.name, embedding_function=None)
                self._open = os.getpid(), collection
            return self._open[1]

    def note(self) -> str | None:
        if self.name not in {one if isinstance(one, str) else one.name for one in self._client.list_collections()}:
            return None
        return str((self._collection.metadata or {}).get(_NOTE, ""))

    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:  # noqa: ARG002, the first record says it
        configuration = {"hnsw": {"space": _SPACES[metric], "ef_construction": 200, "ef_search": 200}}
        metadata = {_NOTE: note}
        self._open = None
        self._client.create_collection(
            self.name, metadata=metadata, configuration=configuration, embedding_function=None
        )

    def remove(self) -> None:
        self._open = None
        self._client.delete_collection(self.name)

    def size(self) -> int:
        return int(self._collection.count())

    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        ids, metadatas = [str(one["row"]) for one in points], [packed(one) for one in points]
        self._collection.add(ids=ids, embeddings=vectors, metadatas=metadatas)

    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        include = ["metadatas", *(["embeddings"] if vectors else [])]
        there = self._collection.get(ids=[str(number) for number in numbers], include=include)
        return self._records(there, vectors)

    def _records(self, there: Mapping[str, Any], vectors: bool) -> list[Point]:
        rows = there["embeddings"] if vectors else [None] * len(there["ids"])
        return [unpacked(one) | {"vector": row} for one, row in zip(there["metadatas"], rows, strict=True)]

    def erase(self, numbers: Sequence[int]) -> None:
        self._collection.delete(ids=[str(number) for number in numbers])

    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        texts = [one.hex() if isinstance(one, bytes) else one for one in values]
        return self._records(self._collection.get(where={column: {"$in": texts}}, include=["metadatas"]), vectors=False)

    def rows_after(self, seq: int) -> Sequence[Point]:
        there = self._collection.get(where={"seq": {"$gt": seq}}, include=["metadatas"])
        return self._records(there, vectors=False)

    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        ids = [str(one["row"]) for one in points]
        self._collection.update(ids=ids, metadatas=[{"current": current}] * len(ids))

    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        if among is not None or choice.name == "exact":
            return self._compared(query, k, list(range(below)) if among is None else among)
        # Chroma's filtered search compares one by one what passes the filter where that is little.
        where = {"$and": [{"row": {"$lt": below}}, {"ordinal": {"$gte": 0}}]}
        return self._asked(query, min(k, below), where)

    def nearest_of_all(self, query: FloatArray, k: int, choice: IndexChoice) -> Sequence[tuple[int, float]]:  # noqa: ARG002
        return self._asked(query, k, None)

    def _asked(self, query: FloatArray, k: int, where: Any) -> list[tuple[int, float]]:
        answer = self._collection.query(query_embeddings=query[None], n_results=k, where=where, include=["distances"])
        scores = self._scores(np.asarray(answer["distances"][0], np.float64))
        return list(zip(map(int, answer["ids"][0]), scores.tolist(), strict=True))

    def _scores(self, distances: Any) -> Any:
        return -distances if self._known_shape()[1] == "l2" else 1 - distances

    def _compared(self, query: FloatArray, k: int, numbers: Sequence[int]) -> list[tuple[int, float]]:
        """Every one of these rows against the query."""
        best: list[tuple[int, float]] = []
        euclidean = self._known_shape()[1] == "l2"
        for first in range(0, len(numbers), _PAGE):
            page = [one for one in self.points(numbers[first : first + _PAGE], vectors=True) if one["ordinal"] >= 0]
            if not page:
                continue
            rows = np.asarray([one["vector"] for one in page], np.float32)
            scores = -((rows - query) ** 2).sum(axis=1) if euclidean else rows @ query
            best += zip([int(one["row"]) for one in page], scores.tolist(), strict=True)
            best = sorted(best, key=lambda one: (-one[1], one[0]))[:k]
        return best

    def build(self, choice: IndexChoice, metric: Metric) -> None:
        """Nothing to do: Chroma builds its graph as records come."""


class ChromaLender(Lender):
    """A collection that an application made."""

    @property
    def _collection(self) -> Any:
        return _client(self.address, self.place).get_collection(self.collection, embedding_function=None)

    def vectors(self, ids: Sequence[str]) -> Mapping[str, FloatArray]:
        there = self._collection.get(ids=list(ids), include=["embeddings"])
        return dict(zip(there["ids"], there["embeddings"], strict=True))

    def nearest(self, query: FloatArray, k: int) -> Sequence[str]:
        collection = self._collection
        wanted = min(k, collection.count())
        if not wanted:
            return []
        [ids] = collection.query(query_embeddings=query[None], n_results=wanted, include=[])["ids"]
        return list(ids)

    def natural_key(self) -> str:
        return "id"


_clients: dict[tuple[int, str], Any] = {}


def _client(address: str, place: str) -> Any:
    key = os.getpid(), address
    if key not in _clients:
        try:
            import chromadb
        except ImportError as error:
            raise MissingDependencyError("chromadb", "chroma") from error
        if address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            if parts.hostname is None:
                raise UsageError(f"{place} names no host", hint="chroma:http://host:8000#collection")
            secure = parts.scheme == "https"
            port = parts.port or (443 if secure else 8000)
            _clients[key] = chromadb.HttpClient(host=parts.hostname, port=port, ssl=secure)
        else:
            _clients[key] = chromadb.PersistentClient(str(Path(address).expanduser()))
    return _clients[key]
