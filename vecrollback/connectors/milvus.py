"""`milvus:http://host:19530#collection` and `milvus:FILE.db#collection`: a collection of Milvus, served or Lite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
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
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_PAGE = 500
_SHOWN = 100
_METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "l2"}
_STORED = {"FLOAT_VECTOR": "float32", "FLOAT16_VECTOR": "float16", "BFLOAT16_VECTOR": "bfloat16"}


class MilvusConnector:
    """Keeps the primary keys in memory: Milvus finds a row by nothing else. A file of Milvus Lite is read in a copy."""

    def __init__(self, where: str, collection: str, vector: str | None) -> None:
        self.place, self._name = without_password(f"milvus:{where}#{collection}"), collection
        self._copy, self._client = _client(where, self.place)
        try:
            self._open(vector)
        except BaseException:
            self.close()
            raise

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, _PAGE):
            yield self.take(np.arange(first, min(first + _PAGE, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        keys = [self._keys[row] for row in rows.tolist()]
        fields = ["*"] if names != () else [self._key]
        fields += [self._vector] if vectors else []
        there: dict[Any, Any] = {}
        unique = list(dict.fromkeys(keys))
        for first in range(0, len(unique), _PAGE):
            page = self._client.get(self._name, ids=unique[first : first + _PAGE], output_fields=fields)
            there |= {one[self._key]: one for one in page}
        found = [there.get(key, {self._key: key}) for key in keys]
        array: FloatArray = np.empty((len(rows), 0), np.float32)
        sizes: Numbers = np.zeros(len(rows), np.int64)
        if vectors:
            array, sizes = stacked([_numbers(one.get(self._vector), self.stored) for one in found], self.dimension)
        return Part(array, sizes, [self._record(one, names) for one in found] if names != () else [])

    def close(self) -> None:
        self._client.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _open(self, vector: str | None) -> None:
        there = self._client.list_collections()
        if self._name not in there:
            raise UsageError(f"{self.place}: there is no such collection", hint=f"collections: {named(there)}")
        fields = self._client.describe_collection(self._name)["fields"]
        kinds = {one["name"]: one["type"].name for one in fields}
        self._vector = guess_vector(
            [n for n, kind in kinds.items() if kind in _STORED], list(kinds), vector, self.place
        )
        self._every = {name for name, kind in kinds.items() if kind.endswith("_VECTOR")}
        self._key = next(one["name"] for one in fields if one.get("is_primary"))
        self.stored = _STORED[kinds[self._vector]]
        own = next(one for one in fields if one["name"] == self._vector)
        self.dimension = int(own["params"]["dim"])
        self.metric: Metric | None = self._metric()
        self.facts: dict[str, Json] = {"vector_field": self._vector}
        self._client.load_collection(self._name)
        self._keys = self._all_keys()
        self.count = len(self._keys)
        shown = self.take(np.arange(min(self.count, _SHOWN)), None, vectors=False)
        self.fields = tuple(dict.fromkeys(name for record in shown.records for name in record))

    def _metric(self) -> Metric | None:
        for name in self._client.list_indexes(self._name):
            index = self._client.describe_index(self._name, name)
            if index.get("field_name") == self._vector:
                return _METRICS.get(str(index.get("metric_type")))
        return None

    def _all_keys(self) -> list[Any]:
        pages = self._client.query_iterator(
            self._name, batch_size=_PAGE, output_fields=[self._key], consistency_level="Strong"
        )
        keys: list[Any] = []
        try:
            while page := pages.next():
                keys += [one[self._key] for one in page]
        finally:
            pages.close()
        return sorted(keys)

    def _record(self, row: dict[str, Any], names: Collection[str] | None) -> Record:
        fields = {name: value for name, value in row.items() if name not in self._every and value is not None}
        return fields if names is None else {name: fields[name] for name in fields if name in names}


def _numbers(value: Any, stored: str) -> Any:
    """The numbers of a vector; half precision comes as bytes."""
    if not isinstance(value, bytes | list) or (isinstance(value, list) and value and not isinstance(value[0], bytes)):
        return value
    raw = value if isinstance(value, bytes) else value[0]
    if stored == "float16":
        return np.frombuffer(raw, "<f2").astype(np.float32)
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)  # bfloat16: the upper half of a float32


def _client(where: str, place: str) -> tuple[TemporaryDirectory[str] | None, Any]:
    """A copy to clean up, if any, and the client."""
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise MissingDependencyError("pymilvus", "milvus") from error
    if where.startswith(("http://", "https://", "tcp://")):
        try:
            return None, MilvusClient(where, token=os.environ.get("MILVUS_TOKEN", ""))
        except Exception as error:  # whatever its library raises
            raise UsageError(
                f"{place}: no Milvus answers there: {error}",
                hint="is the address right? MILVUS_TOKEN holds the login",
            ) from error
    path = Path(where)
    if not path.exists():
        raise UsageError(f"{place}: {path} does not exist", hint="give the file of MilvusClient(...)")
    copy = TemporaryDirectory(prefix="vecrollback-doctor-")
    target = Path(copy.name) / "copy.db"
    try:
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("LOCK"))
        else:
            shutil.copyfile(path, target)
        return copy, MilvusClient(str(target))
    except BaseException as error:
        copy.cleanup()
        if isinstance(error, OSError):
            raise UsageError(
                f"{place}: cannot be copied: {error}", hint="TMPDIR names a directory with room for a copy"
            ) from error
        raise


class MilvusKind:
    """`milvus:http://host:19530#collection` and `milvus:FILE.db#collection`."""

    form, texts_beside = "milvus:FILE.db#collection", False

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, collection = split_at_hash(place, "milvus", "collection", _collections)
        return MilvusConnector(expanded(where), collection, options.vector)


def _collections(where: str) -> list[str]:
    copy, client = _client(expanded(where), f"milvus:{where}")
    try:
        return list(client.list_collections())
    finally:
        client.close()
        if copy is not None:
            copy.cleanup()
