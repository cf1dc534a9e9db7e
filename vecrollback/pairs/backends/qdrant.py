"""`qdrant:http://host:6333#collection`, `qdrant:FOLDER#collection`: the rows of a pair as points of Qdrant.

A folder is Qdrant's local mode: for trying things, exact, and one process has it open at a time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.pairs.backend import IndexChoice, Place, VectorBackend
from vecrollback.pairs.backends.borrowed_points import Lender, borrowing, number_or_text
from vecrollback.pairs.backends.points import Point, PointsBackend, packed, unpacked
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray

_DISTANCES: dict[Metric, str] = {"cosine": "Dot", "dot": "Dot", "l2": "Euclid"}
"""Vectors of a cosine pair are of unit length. Qdrant's own cosine would normalise them anew and change their bits."""
_INDEXED = {"row": "integer", "doc_id": "keyword", "current": "bool", "seq": "integer", "content_hash": "keyword"}
_PARTS = 256


class QdrantBackendKind:
    """`qdrant:http://host:6333#collection`; the key is in QDRANT_API_KEY."""

    def open(self, place: Place) -> VectorBackend:
        return borrowing(place, QdrantBackend, QdrantLender)


class QdrantBackend(PointsBackend):
    """One collection. Writes wait until they are applied."""

    cure = "is the server up? QDRANT_API_KEY holds the key"

    known: Mapping[str, Sequence[str]] = {"hnsw": ["m=", "ef_construct=", "ef_search="], "exact": []}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._address = place.address
        self._client_of: tuple[int, Any] | None = None
        # local mode is Python over a dictionary, and knows no threads
        self._turn: Any = contextlib.nullcontext() if _served(place.address) else threading.RLock()

    @property
    def _client(self) -> Any:
        if self._client_of is None or self._client_of[0] != os.getpid():
            self._client_of = os.getpid(), _client(self._address, self.place)
        return self._client_of[1]

    def turn(self) -> contextlib.AbstractContextManager[object]:
        turn: contextlib.AbstractContextManager[object] = self._turn
        return turn

    def note(self) -> str | None:
        if not self._client.collection_exists(self.name):
            return None
        return str((self._client.get_collection(self.name).config.metadata or {}).get("vecrollback", ""))

    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:
        from qdrant_client import models

        vectors = models.VectorParams(size=dimension, distance=models.Distance(_DISTANCES[metric]))
        self._client.create_collection(self.name, vectors_config=vectors, metadata={"vecrollback": note})
        if _served(self._address):  # local mode scans anyway, and says so with a warning
            self._index_payload()

    def _index_payload(self) -> None:
        for field, kind in _INDEXED.items():
            self._client.create_payload_index(self.name, field, field_schema=kind)

    def remove(self) -> None:
        self._client.delete_collection(self.name)

    def size(self) -> int:
        return int(self._client.count(self.name, exact=True).count)

    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        from qdrant_client import models

        for first in range(0, len(points), _PARTS):
            part = points[first : first + _PARTS]
            batch = models.Batch(
                ids=[one["row"] for one in part],
                vectors=vectors[first : first + _PARTS].tolist(),
                payloads=[packed(one) for one in part],
            )
            self._client.upsert(self.name, batch, wait=True)

    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        there = self._client.retrieve(self.name, ids=list(numbers), with_payload=True, with_vectors=vectors)
        return [unpacked(one.payload) | {"vector": one.vector} for one in there]

    def erase(self, numbers: Sequence[int]) -> None:
        from qdrant_client import models

        self._client.delete(self.name, models.PointIdsList(points=list(numbers)), wait=True)

    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        from qdrant_client import models

        match = models.MatchAny(any=[one.hex() if isinstance(one, bytes) else one for one in values])
        return self._rows_where(models.FieldCondition(key=column, match=match))

    def rows_after(self, seq: int) -> Sequence[Point]:
        from qdrant_client import models

        return self._rows_where(models.FieldCondition(key="seq", range=models.Range(gt=seq)))

    def _rows_where(self, condition: Any) -> list[Point]:
        from qdrant_client import models

        only = models.Filter(must=[condition])
        rows: list[Point] = []
        offset = None
        while True:
            page, offset = self._client.scroll(
                self.name, scroll_filter=only, limit=_PARTS, offset=offset, with_payload=True
            )
            rows += [unpacked(one.payload) for one in page]
            if offset is None:
                return rows

    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        ids = [one["row"] for one in points]
        self._client.set_payload(self.name, {"current": current}, points=ids, wait=True)

    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        from qdrant_client import models

        conditions: list[Any] = [models.FieldCondition(key="row", range=models.Range(lt=below))]
        if among is not None:
            conditions = [models.HasIdCondition(has_id=list(among))]
        conditions.append(models.FieldCondition(key="ordinal", range=models.Range(gte=0)))
        exact = among is not None or choice.name == "exact"
        return self._asked(query, k, choice, models.Filter(must=conditions), exact=exact)

    def nearest_of_all(self, query: FloatArray, k: int, choice: IndexChoice) -> Sequence[tuple[int, float]]:
        return self._asked(query, k, choice, None, exact=False)

    def _asked(
        self, query: FloatArray, k: int, choice: IndexChoice, only: Any, *, exact: bool
    ) -> list[tuple[int, float]]:
        from qdrant_client import models

        params = models.SearchParams(exact=exact, hnsw_ef=choice.options.get("ef_search"))
        answer = self._client.query_points(
            self.name,
            query=query.tolist(),
            limit=k,
            query_filter=only,
            search_params=params if _served(self._address) else None,
            with_payload=False,
        )
        euclidean = self._known_shape()[1] == "l2"
        return [(int(one.id), -(one.score**2) if euclidean else one.score) for one in answer.points]

    def build(self, choice: IndexChoice, metric: Metric) -> None:  # noqa: ARG002, said when it was laid out
        """Qdrant builds its graph by itself, beside everything; here only its shape is set."""
        from qdrant_client import models

        if _served(self._address):  # a collection that an earlier version laid out has not all of them
            self._index_payload()
        shape = {key: choice.options[key] for key in ("m", "ef_construct") if key in choice.options}
        if shape and _served(self._address):
            self._client.update_collection(self.name, hnsw_config=models.HnswConfigDiff(**shape))

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str | None:
        """An alias of Qdrant is moved by one request, old and new name together. It carries no facts."""
        from qdrant_client import models

        with self.reported():
            there = any(one.alias_name == name for one in self._client.get_aliases().aliases)
            steps: list[Any] = []
            if there:
                steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
            if facts is not None:
                new = models.CreateAlias(collection_name=self.name, alias_name=name)
                steps.append(models.CreateAliasOperation(create_alias=new))
            if steps:
                self._client.update_collection_aliases(change_aliases_operations=steps)
        return name


class QdrantLender(Lender):
    """A collection that an application made; its points are numbered, or named by UUIDs."""

    @property
    def _client(self) -> Any:
        return _client(self.address, self.place)

    def vectors(self, ids: Sequence[str]) -> Mapping[str, FloatArray]:
        names = [*number_or_text(ids, numbers=True), *filter(_is_uuid, ids)]
        wanted = [self.vector] if self.vector else True
        points = self._client.retrieve(self.collection, ids=names, with_payload=False, with_vectors=wanted)
        rows = {str(one.id): one.vector.get(self.vector) if self.vector else one.vector for one in points}
        return {id_: np.asarray(vector, np.float32) for id_, vector in rows.items() if vector is not None}

    def nearest(self, query: FloatArray, k: int) -> Sequence[str]:
        answer = self._client.query_points(
            self.collection, query=query.tolist(), using=self.vector or None, limit=k, with_payload=False
        )
        return [str(one.id) for one in answer.points]

    def natural_key(self) -> str:
        return "id"

    def require(self) -> None:
        super().require()
        shapes = self._client.get_collection(self.collection).config.params.vectors
        shape = shapes[self.vector] if self.vector else shapes
        if not _served(self.address) and shape.distance.value == "Cosine":
            raise UsageError(
                f"{self.place}: Qdrant's local mode changes the last bits of these vectors with each search",
                hint="run a server, or adopt a copy; collections compared by other measures may stay",
            )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _served(address: str) -> bool:
    return address.startswith(("http://", "https://"))


_local: dict[tuple[int, str], Any] = {}
"""Clients of folders: one process opens a folder once, whichever collections of it are used."""


def _client(address: str, place: str) -> Any:
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise MissingDependencyError("qdrant-client", "qdrant") from error
    if _served(address):
        return QdrantClient(url=address, api_key=os.environ.get("QDRANT_API_KEY"))
    folder = str(Path(address).expanduser().absolute())
    if (os.getpid(), folder) not in _local:
        try:
            client = _local[os.getpid(), folder] = QdrantClient(path=folder)
            atexit.register(client.close)  # left to the interpreter's end, it fails with words on stderr
        except RuntimeError as error:
            raise UsageError(
                f"{place}: another process has this folder open", hint="run a server, or close the other process"
            ) from error
    return _local[os.getpid(), folder]
