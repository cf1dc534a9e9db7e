"""`qdrant:http://host:6333#collection` and `qdrant:PATH#collection`: a collection of Qdrant, served or local."""

from __future__ import annotations

import io
import os
import pickle
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.connectors.base import (
    Connector,
    OpenOptions,
    Part,
    Record,
    expanded,
    guess_vector,
    named,
    split_at_hash,
    stacked,
    without_password,
)
from vecrollback.connectors.copied import copy_of_folder
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UntrustedError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import Numbers

_PAGE = 512
_MODELS = "qdrant_client.http.models.models"
_POINT_CLASSES = {(_MODELS, "PointStruct"), (_MODELS, "SparseVector"), ("uuid", "UUID")}
_SHOWN = 100
_METRICS: dict[str, Metric] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2"}


class QdrantConnector:
    """Keeps the ids of the points in memory: Qdrant finds one by nothing else.

    A local database is opened in a copy, because the one process that opens it locks all others out. Points of the
    local mode are pickled, so they are looked at first: one that would load anything but a point is refused.
    """

    def __init__(self, where: str, collection: str, vector: str | None) -> None:
        self.place = without_password(f"qdrant:{where}#{collection}")
        self._copy, self._client = _client(where, self.place)
        self._name = collection
        try:
            self._using, shape = self._shape(vector)
        except BaseException:
            self.close()
            raise
        self.dimension = int(shape.size)
        self.metric: Metric | None = _METRICS.get(str(shape.distance.value))
        self.stored = str(shape.datatype.value) if shape.datatype else "float32"
        self.facts: dict[str, Json] = {"vector_field": self._using} if self._using else {}
        self._ids: list[int | str] = [point.id for page in self._pages(False, False) for point in page]
        self.count = len(self._ids)
        sample, _ = self._client.scroll(collection, limit=_SHOWN, with_payload=True)
        self.fields = tuple(dict.fromkeys(name for point in sample for name in _record(point)))
        self.stamp = self._stamp()

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for page in self._pages(names != (), vectors):
            yield self._part(page, names, vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        ids = [self._ids[row] for row in rows.tolist()]
        points: dict[int | str, Any] = {}
        for first in range(0, len(ids), _PAGE):
            options = {"with_payload": names != (), "with_vectors": self._vectors_option(vectors)}
            page = self._client.retrieve(self._name, ids=list(dict.fromkeys(ids[first : first + _PAGE])), **options)
            points |= {point.id: point for point in page}
        return self._part([points.get(id_, _DeletedPoint(id_)) for id_ in ids], names, vectors)

    def close(self) -> None:
        self._client.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _shape(self, choice: str | None) -> tuple[str, Any]:
        """Name of the vectors to read, empty where there is one kind only, and their parameters."""
        if not self._client.collection_exists(self._name):
            there = named([one.name for one in self._client.get_collections().collections])
            raise UsageError(f"{self.place}: there is no such collection", hint=f"collections: {there}")
        shapes = self._client.get_collection(self._name).config.params.vectors or {}
        shapes = shapes if isinstance(shapes, dict) else {"": shapes}
        dense = dense_vectors(shapes)
        self._several = len(dense) > 1
        using = guess_vector(dense, list(shapes), None if dense == [""] else choice, self.place)
        return using, shapes[using]

    def _stamp(self) -> str | None:
        """The stamp that a guard has left for these vectors of the collection."""
        if not self._client.collection_exists(STAMPS):
            return None
        points, _ = self._client.scroll(STAMPS, limit=1_000, with_payload=True)
        payloads = [point.payload for point in points]
        own = (one["stamp"] for one in payloads if is_stamp_of(one, self._name, self._using, self._several))
        return next(own, None)

    def _pages(self, payload: bool, vectors: bool) -> Iterator[list[Any]]:
        offset = None
        while True:
            options = {"with_payload": payload, "with_vectors": self._vectors_option(vectors)}
            page, offset = self._client.scroll(self._name, limit=_PAGE, offset=offset, **options)
            if page:
                yield page
            if offset is None:
                return

    # True would fetch every named vector of a point, and a collection may have several.
    def _vectors_option(self, vectors: bool) -> bool | list[str]:
        return [self._using] if vectors and self._using else vectors

    def _part(self, points: list[Any], names: Collection[str] | None, vectors: bool) -> Part:
        values = [point.vector.get(self._using) if isinstance(point.vector, dict) else point.vector for point in points]
        rows, sizes = (
            stacked(values, self.dimension) if vectors else (np.empty((len(values), 0), np.float32), _none(values))
        )
        return Part(rows, sizes, [_record(point) for point in points] if names != () else [])


def dense_vectors(shapes: Mapping[str, Any]) -> list[str]:
    """Names of the vectors of a point of which it has one each, "" for one without a name. `shapes`: by their names."""
    return [name for name, shape in shapes.items() if shape.multivector_config is None]


def is_stamp_of(payload: Mapping[str, Any], collection: str, vector: str, several: bool) -> bool:
    """Whether a stamp is that of these vectors. `several`: points have others beside them.

    Early stamps name no vector: which of several they are of nobody knows.
    """
    own = payload.get("vector", None if several else vector)
    return payload.get("collection") == collection and bool(own == vector)


class _DeletedPoint:
    """A point that was deleted since it was counted."""

    vector = payload = None

    def __init__(self, id_: int | str) -> None:
        self.id = id_


def _none(rows: list[Any]) -> Numbers:
    return np.zeros(len(rows), np.int64)


def _record(point: Any) -> Record:
    """The payload; the point's own id is the `id`, and a payload's field of that name is `payload.id`."""
    payload = dict(point.payload or {})
    return {"id": str(point.id), **({"payload.id": payload.pop("id")} if "id" in payload else {}), **payload}


def _client(where: str, place: str) -> tuple[Any, Any]:
    """A folder to clean up, if any, and the client."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise MissingDependencyError("qdrant-client", "qdrant") from error
    if not where.startswith(("http://", "https://")):
        if not (Path(where) / "meta.json").is_file():
            raise UsageError(
                f"{place}: {where} does not hold a meta.json", hint="give the folder of QdrantClient(path=...)"
            )
        copy = copy_of_folder(Path(where), place)
        try:
            for file in sorted(Path(copy.name).rglob("*.sqlite")):
                _require_points(file, place)
            return copy, QdrantClient(path=copy.name)
        except BaseException:
            copy.cleanup()
            raise
    client = QdrantClient(url=where, api_key=os.environ.get("QDRANT_API_KEY"))
    try:
        client.get_collections()
    except Exception as error:  # whatever its HTTP library raises
        raise UsageError(
            f"{place}: no Qdrant answers there: {error}", hint="is the address right? QDRANT_API_KEY holds the key"
        ) from error
    return None, client


class _PointUnpickler(pickle.Unpickler):
    """Loads what Qdrant's local mode writes for a point, and no other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _POINT_CLASSES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _require_points(file: Path, place: str) -> None:
    """Raise UntrustedError for a database whose pickles are not points. The caller has a copy that nobody changes."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            for row, content in connection.execute("SELECT rowid, point FROM points"):
                try:
                    _PointUnpickler(io.BytesIO(content)).load()
                except Exception as error:  # whatever a crafted pickle raises: it is refused before Qdrant loads it
                    raise UntrustedError(
                        f"{place}: point {row} of {file.name} is a pickle that holds something else: {error}",
                        hint="loading it could run code; get the collection from a Qdrant server, or as Parquet",
                    ) from None
        except sqlite3.Error as error:
            raise UsageError(f"{place}: {file.name} cannot be read: {error}", hint="is it Qdrant's own?") from error


def _collections(where: str) -> list[str]:
    copy, client = _client(expanded(where), f"qdrant:{where}")
    try:
        return [one.name for one in client.get_collections().collections]
    finally:
        client.close()
        if copy is not None:
            copy.cleanup()


class QdrantKind:
    """`qdrant:http://host:6333#collection` and `qdrant:PATH#collection`."""

    form, texts_beside = "qdrant:PATH#collection or qdrant:http://...#collection", False

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, collection = split_at_hash(place, "qdrant", "collection", _collections)
        return QdrantConnector(expanded(where), collection, options.vector)
