"""`chroma:PATH#collection` and `chroma:http://host:port#collection`: a collection of Chroma."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from vecrollback.connectors.base import (
    Connector,
    OpenOptions,
    Part,
    Record,
    expanded,
    split_at_hash,
    stacked,
    without_password,
)
from vecrollback.connectors.copied import copy_of_folder
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import MissingDependencyError, UnreachableError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import Numbers

_PAGE, _TRIES = 1_000, 5
_METRICS: dict[str, Metric] = {"cosine": "cosine", "l2": "l2", "ip": "dot"}


class ChromaConnector:
    """Keeps the ids in memory: Chroma finds a row by nothing else.

    A local database is opened in a copy, because opening one writes to it.
    """

    stored = "float32"
    fields: tuple[str, ...] = ("id", "document", "metadata", "uri")

    def __init__(self, where: str, collection: str, *, texts_only: bool = False) -> None:
        self.place = without_password(f"chroma:{where}#{collection}")
        self._copy, client = _client(where, self.place, texts_only=texts_only)
        try:
            self._collection = _collection(client, collection, self.place)
        except BaseException:
            self.close()
            raise
        self._ids = self._all_ids()
        self.count = len(self._ids)
        first = [] if texts_only else self._collection.get(limit=1, include=["embeddings"])["embeddings"]
        self.dimension = len(first[0]) if len(first) else 0
        configured = self._collection.configuration_json
        space = (configured.get("hnsw") or configured.get("spann") or {}).get("space")
        self.metric: Metric | None = _METRICS.get(str(space))
        self.facts: dict[str, Json] = {
            "collection_metadata": dict(self._collection.metadata or {}),
            "embedding_function": configured.get("embedding_function"),
        }
        self.stamp = _stamp(client, str(self._collection.id))

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, _PAGE):
            yield self._get(self._ids.slice(first, _PAGE).to_pylist(), names, vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        parts = [
            self._get(self._ids.take(pa.array(rows[first : first + _PAGE])).to_pylist(), names, vectors)
            for first in range(0, max(1, len(rows)), _PAGE)
        ]
        return Part(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            [record for part in parts for record in part.records],
        )

    def close(self) -> None:
        self._collection = None
        if self._copy is not None:
            self._copy.cleanup()

    def _all_ids(self) -> pa.Array:
        """Every id. Pages overlap by one: a row that is deleted meanwhile moves the others, of which one was missed."""
        for _ in range(_TRIES):
            ids: list[str] = []
            while page := self._collection.get(limit=_PAGE, offset=max(0, len(ids) - 1), include=[])["ids"]:
                if ids and page[0] != ids[-1]:
                    break
                if ids and len(page) == 1:
                    return pa.array(ids, pa.string())
                ids += page[1:] if ids else page
            else:
                if not ids:
                    return pa.array(ids, pa.string())
        raise UnreachableError(
            f"{self.place}: rows were deleted each of the {_TRIES} times that its ids were read",
            hint="read it while nobody deletes, or from a copy",
        )

    def _get(self, ids: list[str], names: Collection[str] | None, vectors: bool) -> Part:
        include = [part for name, part in _PARTS.items() if names is None or name in names]
        include += ["embeddings"] if vectors else []
        page: dict[str, Any] = {"ids": []}
        if ids:
            # Chroma refuses an id given twice, and answers in an order of its own.
            page = self._collection.get(ids=list(dict.fromkeys(ids)), include=include)
        place = {id_: at for at, id_ in enumerate(page["ids"])}
        at = [place.get(id_, -1) for id_ in ids]
        embeddings = page["embeddings"] if vectors and ids else [[]] * len(place)
        rows, sizes = stacked([embeddings[n] if n >= 0 else None for n in at], self.dimension if vectors else 0)
        records = [_record(page, id_, n) for id_, n in zip(ids, at, strict=True)]
        return Part(rows, sizes, records if names != () else [])


_PARTS = {"document": "documents", "metadata": "metadatas", "uri": "uris"}


def _record(page: dict[str, Any], id_: str, at: int) -> Record:
    """One row; what was deleted since it was counted has an id alone."""
    values = {name: page[part][at] for name, part in _PARTS.items() if page.get(part) is not None and at >= 0}
    return {"id": id_, **{name: value for name, value in values.items() if value is not None}}


def _client(where: str, place: str, *, texts_only: bool = False) -> tuple[Any, Any]:
    """A folder to clean up, if any, and the opened database. `texts_only`: without the vectors of a local one."""
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingDependencyError("chromadb", "chroma") from error
    settings = Settings(anonymized_telemetry=False)
    if where.startswith(("http://", "https://")):
        parts = urlsplit(where)
        try:
            return None, chromadb.HttpClient(
                parts.hostname or "localhost", parts.port or 8000, ssl=parts.scheme == "https", settings=settings
            )
        except Exception as error:  # whatever its HTTP library raises
            raise UsageError(f"{place}: no Chroma answers there: {error}", hint="is the address right?") from error
    if not (Path(where) / "chroma.sqlite3").is_file():
        raise UsageError(
            f"{place}: {where} does not hold a chroma.sqlite3", hint="give the folder of a PersistentClient"
        )
    copy = copy_of_folder(Path(where), place)
    if texts_only:  # Chroma answers nothing while a file of its graphs is damaged; its texts are in SQLite
        for segment in filter(Path.is_dir, Path(copy.name).iterdir()):
            shutil.rmtree(segment)
    return copy, chromadb.PersistentClient(copy.name, settings=settings)


def _collection(client: Any, name: str, place: str) -> Any:
    there = [one if isinstance(one, str) else one.name for one in client.list_collections()]
    if name not in there:
        raise UsageError(f"{place}: there is no such collection", hint=f"collections: {', '.join(there) or 'none'}")
    # Only vectors are read: without this the library would set up the collection's embedding function.
    return client.get_collection(name, embedding_function=None)


def _stamp(client: Any, own: str) -> str | None:
    """The stamp that a guard has left for the collection of this id."""
    if STAMPS not in [one if isinstance(one, str) else one.name for one in client.list_collections()]:
        return None
    stamps = client.get_collection(STAMPS, embedding_function=None).get(ids=[own], include=["metadatas"])["metadatas"]
    return str(stamps[0]["stamp"]) if stamps else None


def _collections(where: str) -> list[str]:
    copy, client = _client(expanded(where), f"chroma:{where}")
    try:
        return [one if isinstance(one, str) else one.name for one in client.list_collections()]
    finally:
        if copy is not None:
            copy.cleanup()


class ChromaKind:
    """`chroma:PATH#collection` and `chroma:http://host:port#collection`."""

    form, texts_beside = "chroma:PATH#collection", False

    def claims(self, _place: str) -> bool:
        return False

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, collection = split_at_hash(place, "chroma", "collection", _collections)
        return ChromaConnector(expanded(where), collection, texts_only=options.texts_only)
