"""`milvus:http://host:19530#collection`, `milvus:FILE.db#collection`: the rows of a pair in Milvus.

A file is Milvus Lite, which one process has open at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.errors import MissingDependencyError
from vecrollback.pairs.backend import IndexChoice, Place, VectorBackend
from vecrollback.pairs.backends.borrowed_points import Lender, borrowing, number_or_text
from vecrollback.pairs.backends.points import Point, PointsBackend, packed, unpacked
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray

_METRICS: dict[Metric, str] = {"cosine": "IP", "dot": "IP", "l2": "L2"}
"""Vectors of a cosine pair are of unit length, so the inner product ranks them alike."""
_TEXTS = {"doc_id": 1024, "content_hash": 32, "fingerprint": 64}
_NUMBERS = ("seq", "batch", "ordinal", "start", "end", "document")
_PAGE = 1_000
_MOST_ANSWERED = 10_000
"""Rows of one query; a server gives no more than 16,384."""
_NOTE_ROW = -1
_WHOLE = "Strong"
"""A read sees every write that ended before it."""
_KINDS = {"hnsw": "HNSW", "ivf_flat": "IVF_FLAT", "exact": "FLAT"}
_BUILT = {"m": "M", "ef_construction": "efConstruction", "nlist": "nlist"}


class MilvusBackendKind:
    """`milvus:http://host:19530#collection`, `milvus:FILE.db#collection`; MILVUS_TOKEN holds user:password."""

    def open(self, place: Place) -> VectorBackend:
        return borrowing(place, MilvusBackend, MilvusLender)


class MilvusBackend(PointsBackend):
    """One collection. `document` is a number made of the id: expressions of Milvus cannot hold every id as text."""

    cure = "is the server up, or the file open elsewhere? MILVUS_TOKEN holds user:password"

    known: Mapping[str, Sequence[str]] = {
        "ivf_flat": ["nlist=", "nprobe="],
        "hnsw": ["m=", "ef_construction=", "ef_search="],
        "exact": [],
    }

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._address = place.address

    @property
    def _client(self) -> Any:
        return _client(self._address)

    @property
    def _loaded(self) -> Any:
        """The client, once the collection may be read: a file that was closed, or a restarted server, forgets that."""
        if self._open is None or self._open[0] != os.getpid():
            self._client.load_collection(self.name)
            self._open = os.getpid(), self._client
        return self._open[1]

    def note(self) -> str | None:
        if not self._client.has_collection(self.name):
            return None
        fields = {one["name"] for one in self._client.describe_collection(self.name)["fields"]}
        if not {"row", "note"} <= fields:
            return ""
        return next((str(one["note"]) for one in self._query(f"row == {_NOTE_ROW}", ["note"])), "")

    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:
        from pymilvus import DataType, MilvusClient

        # Milvus Lite does not keep a description, so the note is a row of its own
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("note", DataType.VARCHAR, max_length=4096)
        schema.add_field("row", DataType.INT64, is_primary=True)
        for name, length in _TEXTS.items():
            schema.add_field(name, DataType.VARCHAR, max_length=length)
        for name in _NUMBERS:
            schema.add_field(name, DataType.INT64)
        schema.add_field("current", DataType.BOOL)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        self._client.create_collection(self.name, schema=schema)
        self._index("exact", {}, metric)
        first = dict.fromkeys(_TEXTS, "") | dict.fromkeys(_NUMBERS, -1) | {"current": False, "note": note}
        self._client.insert(self.name, [first | {"row": _NOTE_ROW, "vector": [0.0] * dimension}])

    def remove(self) -> None:
        self._open = None
        self._client.drop_collection(self.name)

    def size(self) -> int:
        [row] = self._loaded.query(self.name, filter="row >= 0", output_fields=["count(*)"], consistency_level=_WHOLE)
        return int(row["count(*)"])

    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        rows = [
            packed(one) | {"document": _number(one["doc_id"]), "vector": vector, "note": ""}
            for one, vector in zip(points, vectors, strict=True)
        ]
        self._client.insert(self.name, rows)
        self._client.flush(self.name)

    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        fields = ["row", *_TEXTS, *_NUMBERS, "current", *(["vector"] if vectors else [])]
        there = self._query(f"row in {list(numbers)}", fields)
        return [unpacked(one) for one in there]

    def _query(self, expression: str, fields: list[str]) -> list[Any]:
        return list(self._loaded.query(self.name, filter=expression, output_fields=fields, consistency_level=_WHOLE))

    def erase(self, numbers: Sequence[int]) -> None:
        self._client.delete(self.name, filter=f"row in {list(numbers)}")

    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        if column == "doc_id":
            condition = f"document in {[_number(one) for one in values]}"
        else:
            condition = f"{column} in {json.dumps([one.hex() for one in values])}"
        wanted = set(values)
        rows = map(unpacked, self._query(condition, ["row", *_TEXTS, *_NUMBERS, "current"]))
        return [one for one in rows if one[column] in wanted]

    def rows_after(self, seq: int) -> Sequence[Point]:
        rows: list[Point] = []
        for first in range(0, self.size(), _MOST_ANSWERED):
            condition = f"seq > {seq} and row >= {first} and row < {first + _MOST_ANSWERED}"
            rows += map(unpacked, self._query(condition, ["row", *_TEXTS, *_NUMBERS, "current"]))
        return rows

    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        # an upsert writes whole rows anew: the vector is read and written as it is
        for first in range(0, len(points), _PAGE):
            numbers = [one["row"] for one in points[first : first + _PAGE]]
            fields = ["row", *_TEXTS, *_NUMBERS, "current", "note", "vector"]
            rows = [dict(one) | {"current": current} for one in self._query(f"row in {numbers}", fields)]
            self._client.upsert(self.name, rows)

    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        only = f"row in {list(among)}" if among is not None else f"row < {below}"
        if among is not None or choice.name == "exact":
            return self._compared(query, k, f"({only}) and ordinal >= 0")
        return self._asked(query, k, choice, f"{only} and ordinal >= 0")

    def nearest_of_all(self, query: FloatArray, k: int, choice: IndexChoice) -> Sequence[tuple[int, float]]:
        return self._asked(query, k, choice, "")

    def _asked(self, query: FloatArray, k: int, choice: IndexChoice, only: str) -> list[tuple[int, float]]:
        values = {"nprobe": choice.options.get("nprobe", 16), "ef": max(k, choice.options.get("ef_search", 100))}
        [hits] = self._loaded.search(
            self.name,
            data=[query.tolist()],
            anns_field="vector",
            filter=only,
            limit=min(k, 16_384),
            search_params={"params": values},
            consistency_level=_WHOLE,
        )
        euclidean = self._known_shape()[1] == "l2"
        return [(int(one["row"]), -one["distance"] if euclidean else one["distance"]) for one in hits]

    def _compared(self, query: FloatArray, k: int, only: str) -> list[tuple[int, float]]:
        """Every one of these rows against the query: what the collection's index is does not matter."""
        rows = self._query(only, ["row", "vector"])
        if not rows:
            return []
        vectors = np.asarray([one["vector"] for one in rows], np.float32)
        euclidean = self._known_shape()[1] == "l2"
        scores = -((vectors - query) ** 2).sum(axis=1) if euclidean else vectors @ query
        best = sorted(zip([int(one["row"]) for one in rows], scores.tolist(), strict=True), key=lambda o: (-o[1], o[0]))
        return best[:k]

    def build(self, choice: IndexChoice, metric: Metric) -> None:
        options = {_BUILT[key]: value for key, value in choice.options.items() if key in _BUILT}
        if choice.name == "ivf_flat":
            options.setdefault("nlist", max(1, min(4096, round(4 * self.size() ** 0.5))))
        self._index(choice.name, options, metric)

    def _index(self, name: str, options: Mapping[str, Json], metric: Metric) -> None:
        """Milvus has one index of a field, and wants it released before it is exchanged."""
        parameters = self._client.prepare_index_params()
        parameters.add_index(
            "vector", index_type=_KINDS[name], metric_type=_METRICS[metric], params=dict(options), index_name="vector"
        )
        if self._client.list_indexes(self.name):
            self._client.release_collection(self.name)
            self._client.drop_index(self.name, index_name="vector")
        self._client.create_index(self.name, parameters)
        self._client.load_collection(self.name)

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str | None:
        """An alias of Milvus is moved by one request; it carries no facts."""
        with self.reported():
            there = name in self._client.list_aliases().get("aliases", ())
            if facts is None:
                if there:
                    self._client.drop_alias(name)
            elif there:
                self._loaded.alter_alias(self.name, name)
            else:
                self._loaded.create_alias(self.name, name)
        return name


class MilvusLender(Lender):
    """A collection that an application made."""

    _loaded_by: int | None = None

    @property
    def _client(self) -> Any:
        client = _client(self.address)
        if self._loaded_by != os.getpid():
            client.load_collection(self.collection)
            self._loaded_by = os.getpid()
        return client

    def vectors(self, ids: Sequence[str]) -> Mapping[str, FloatArray]:
        fields = self._client.describe_collection(self.collection)["fields"]
        numbers = next(one["type"].name == "INT64" for one in fields if one["name"] == self.key)
        names = number_or_text(ids, numbers=numbers)
        rows = self._client.get(self.collection, ids=names, output_fields=[self.key, self.vector]) if names else ()
        return {str(one[self.key]): np.asarray(one[self.vector], np.float32) for one in rows}

    def nearest(self, query: FloatArray, k: int) -> Sequence[str]:
        [hits] = self._client.search(
            self.collection, [query.tolist()], anns_field=self.vector, limit=min(k, 16_384), consistency_level=_WHOLE
        )
        return [str(one[self.key]) for one in hits]

    def natural_key(self) -> str:
        fields = self._client.describe_collection(self.collection)["fields"]
        return str(next(one["name"] for one in fields if one.get("is_primary")))


def _number(document: str) -> int:
    return int.from_bytes(sha256(document.encode()).digest()[:7], "big")


_clients: dict[tuple[int, str], Any] = {}


def _client(address: str) -> Any:
    key = os.getpid(), address
    if key not in _clients:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise MissingDependencyError("pymilvus", "milvus") from error
        where = address if address.startswith(("http://", "https://")) else str(Path(address).expanduser())
        _clients[key] = MilvusClient(where, token=os.environ.get("MILVUS_TOKEN", ""))
    return _clients[key]
