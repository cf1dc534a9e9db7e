"""`elasticsearch:http://host:9200#index`, `opensearch:...`: an index with dense vectors, over the HTTP interface.

Both speak the same requests here: `_mapping`, `_count`, `_search` with `search_after`, `_mget`. ELASTIC_API_KEY holds a
key, or ELASTIC_USER and ELASTIC_PASSWORD (OPENSEARCH_USER, OPENSEARCH_PASSWORD) a login.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx
import numpy as np

from vecrollback.connectors.base import (
    Connector,
    OpenOptions,
    Part,
    Record,
    guess_vector,
    majority,
    named,
    split_at_hash,
    stacked,
    without_password,
)
from vecrollback.errors import FailedError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_PAGE = 500
_SECONDS = 60.0
_KINDS = ("dense_vector", "knn_vector")
_METRICS: dict[str, Metric] = {
    "cosine": "cosine",
    "cosinesimil": "cosine",
    "dot_product": "dot",
    "max_inner_product": "dot",
    "innerproduct": "dot",
    "l2_norm": "l2",
    "l2": "l2",
}


class ElasticsearchConnector:
    """Keeps the ids in memory. Rows are in the order of `_id`s as the server sorts them."""

    stored = "float32"

    def __init__(self, where: str, index: str, vector: str | None, name: str) -> None:
        self.place = f"{name}:{without_password(where)}#{index}"
        self._index, self._http = index, _http(where)
        try:
            self._open(vector)
        except BaseException:
            self.close()
            raise

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, _PAGE):
            yield self.take(np.arange(first, min(first + _PAGE, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        ids = [self._ids[row] for row in rows.tolist()]
        unique, there = list(dict.fromkeys(ids)), dict[str, Any]()
        for first in range(0, len(unique), _PAGE):
            body = {"ids": unique[first : first + _PAGE]}
            answer = _ask(self._http, "POST", f"/{self._index}/_mget", body, self.place)
            there |= {one["_id"]: one.get("_source") or {} for one in answer["docs"] if one.get("found")}
        found = [there.get(id_, {}) for id_ in ids]
        array: FloatArray = np.empty((len(rows), 0), np.float32)
        sizes: Numbers = np.zeros(len(rows), np.int64)
        if vectors:
            array, sizes = stacked([value_at(one, self._vector) for one in found], self.dimension)
        records = [] if names == () else [self._record(*one, names) for one in zip(ids, found, strict=True)]
        return Part(array, sizes, records)

    def close(self) -> None:
        self._http.close()

    def _open(self, vector: str | None) -> None:
        mapping = _ask(self._http, "GET", f"/{self._index}/_mapping", None, self.place)
        properties = next(iter(mapping.values()))["mappings"].get("properties") or {}
        fields = dict(_flat(properties))
        dense = [name for name, one in fields.items() if one.get("type") in _KINDS]
        self._vector = guess_vector(dense, list(fields), vector, self.place)
        own = fields[self._vector]
        self.metric: Metric | None = _METRICS.get(_similarity(own))
        self.facts: dict[str, Json] = {"vector_field": self._vector, "type": own.get("type")}
        self._ids = list(self._all_ids())
        self.count = len(self._ids)
        others = (name for name in properties if name != self._vector)
        self.fields = ("id", *("_source.id" if name == "id" else name for name in others))
        self.dimension = int(own.get("dims") or own.get("dimension") or 0) or self._dimension()

    def _all_ids(self) -> Iterator[str]:
        after: list[Any] | None = None
        while True:
            body: dict[str, Any] = {
                "size": _PAGE,
                "sort": [{"_id": "asc"}],
                "_source": False,
                "query": {"match_all": {}},
            }
            body |= {"search_after": after} if after else {}
            hits = _ask(self._http, "POST", f"/{self._index}/_search", body, self.place)["hits"]["hits"]
            if not hits:
                return
            yield from (str(hit["_id"]) for hit in hits)
            after = hits[-1]["sort"]

    def _dimension(self) -> int:
        body = {"ids": self._ids[:_PAGE]}
        answer = _ask(self._http, "POST", f"/{self._index}/_mget", body, self.place) if self._ids else {"docs": []}
        vectors = [value_at(one.get("_source") or {}, self._vector) for one in answer["docs"]]
        return majority(Counter(len(one) if one else 0 for one in vectors))

    def _record(self, id_: str, source: Mapping[str, Any], names: Collection[str] | None) -> Record:
        """The document; its own id is the `id`, and a field of that name is `_source.id`."""
        own = {name: value for name, value in source.items() if name != self._vector}
        record = {"id": id_, **({"_source.id": own.pop("id")} if "id" in own else {}), **own}
        return record if names is None else {name: record[name] for name in record if name in names}


def value_at(source: Mapping[str, Any], path: str) -> Any:
    """A field by its path, which may be written with dots."""
    if path in source:
        return source[path]
    value: Any = source
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _flat(properties: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, one in properties.items():
        yield f"{above}{name}", one
        yield from _flat(one.get("properties") or {}, f"{above}{name}.")


def _similarity(field: Mapping[str, Any]) -> str:
    method = field.get("method") or {}
    return str(field.get("similarity") or field.get("space_type") or method.get("space_type") or "")


def _http(where: str) -> httpx.Client:
    key = os.environ.get("ELASTIC_API_KEY")
    login = [os.environ.get(f"ELASTIC_{one}") or os.environ.get(f"OPENSEARCH_{one}") for one in ("USER", "PASSWORD")]
    headers = {"Authorization": f"ApiKey {key}"} if key else {}
    auth = (login[0], login[1] or "") if login[0] and not key else None
    return httpx.Client(base_url=where, headers=headers, auth=auth, timeout=_SECONDS)


def _ask(http: httpx.Client, method: str, path: str, body: Any, place: str) -> Any:
    try:
        answer = http.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise UsageError(f"{place}: nothing answers there: {error}", hint="is the address right?") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise UsageError(f"{place}: there is no such index", hint=f"indexes: {named(_indexes(http, place))}")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise UsageError(f"{place}: it refuses ({answer.status_code})", hint="ELASTIC_API_KEY, or a login")
    if answer.is_error:
        raise FailedError(f"{place}: {path} gave {answer.status_code}: {answer.text[:200]}", hint="see its log")
    return answer.json()


def _indexes(http: httpx.Client, place: str) -> list[str]:
    try:
        answer = http.get("/_cat/indices", params={"format": "json"})
        return sorted(str(one["index"]) for one in answer.json()) if answer.is_success else []
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{place}: nothing answers there: {error}", hint="is the address right?") from error


class ElasticsearchKind:
    """`elasticsearch:http://host:9200#index`."""

    form, texts_beside = "elasticsearch:http://...#index", False
    name = "elasticsearch"

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, index = split_at_hash(place, self.name, "index", _listed)
        return ElasticsearchConnector(where, index, options.vector, self.name)


class OpensearchKind(ElasticsearchKind):
    """`opensearch:http://host:9200#index`."""

    form = "opensearch:http://...#index"
    name = "opensearch"


def _listed(where: str) -> list[str]:
    with _http(where) as http:
        return _indexes(http, without_password(where))
