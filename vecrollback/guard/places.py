"""Where a team keeps its vectors, as the guard sees it: a few rows drawn at random, and a stamp beside them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from vecrollback.connectors import Record
from vecrollback.connectors.base import guess_vector, named, without_password
from vecrollback.errors import UsageError
from vecrollback.records.arrays import FloatArray

FORMS = (
    "a Chroma collection, (QdrantClient, name), (connection or engine of PostgreSQL, table), a LanceDB table, "
    "(sqlite3 connection, table), a folder with a FAISS index, or a place like chroma:PATH#collection"
)


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """A few rows. `vectors`: float32, each of the size that it has; `records`: their other fields, row by row."""

    records: list[Record] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)


class GuardedPlace(Protocol):
    """One collection of one system. It is never changed; the stamp stands beside it.

    Attributes:
        name: What messages call it, without a password.
    """

    name: str

    def read(self) -> str | None:
        """The stamp; None when there is none."""
        ...

    def write(self, stamp: str | None) -> None:
        """Keep a stamp instead of the one that is there; None removes it."""
        ...

    def count(self) -> int:
        """How many rows there are."""
        ...

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows:
        """So many rows drawn at random, or all where there are fewer; rows without a vector left out."""
        ...


_ROOM = "vecrollback.guard"
_BY_PREFIX = {
    "chroma": "chroma:open_place",
    "qdrant": "qdrant:open_place",
    "postgresql": "pgvector:open_place",
    "postgres": "pgvector:open_place",
    "postgresql+psycopg": "pgvector:open_place",
    "postgresql+psycopg2": "pgvector:open_place",
    "postgresql+asyncpg": "pgvector:open_place",
    "lancedb": "lancedb:open_place",
    "sqlite": "sqlite:open_place",
    "faiss": "folder:FolderPlace",
}
_BY_PACKAGE = {
    "chromadb": "chroma:ChromaCollection",
    "qdrant_client": "qdrant:QdrantPoints",
    "psycopg": "pgvector:PgvectorRows",
    "psycopg2": "pgvector:PgvectorRows",
    "sqlalchemy": "pgvector:PgvectorRows",
    "lancedb": "lancedb:LanceRows",
    "sqlite3": "sqlite:SqliteRows",
}


def open_place(collection: Any) -> GuardedPlace:
    """The place that an object of another library, or a string, stands for.

    Args:
        collection: One of `FORMS`.

    Raises:
        UsageError: It is none of them.
    """
    if isinstance(collection, str | os.PathLike):
        text = os.fspath(collection)
        opener = _BY_PREFIX.get(text.partition(":")[0], "folder:FolderPlace")
        return cast(GuardedPlace, _named(opener)(text))
    parts = collection if isinstance(collection, tuple) else (collection,)
    for kind in type(parts[0]).__mro__:
        if opener := _BY_PACKAGE.get(kind.__module__.partition(".")[0], ""):
            try:
                return cast(GuardedPlace, _named(opener)(*parts))
            except TypeError as error:
                raise UsageError(
                    f"a {kind.__name__} alone names no collection: {error}", hint=f"give {FORMS}"
                ) from None
    raise UsageError(f"a {type(parts[0]).__name__} is not a collection that can be guarded", hint=f"give {FORMS}")


def choose_vector(candidates: Sequence[str], every: Sequence[str], choice: str, place: str) -> str:
    """The field that holds the vectors; `choice` is what the caller names, "" to take the only or the usual one.

    Raises UsageError when there is no such field, or several and none of a usual name.
    """
    try:
        return guess_vector(candidates, every, choice or None, place)
    except UsageError as error:
        hint = f"name one: guard((..., vector), embedder); fields that hold vectors: {named(candidates)}"
        raise UsageError(error.message, hint=hint) from None


def draw(count: int, size: int, chance: np.random.Generator) -> list[int]:
    """Numbers of so many of the rows, ascending."""
    return sorted(int(row) for row in chance.choice(count, min(size, count), replace=False)) if count else []


def rows_of(records: list[Record], vectors: list[Any]) -> DrawnRows:
    """Rows from what a library gives one by one; those without a vector are left out, and no others."""
    kept = [n for n, vector in enumerate(vectors) if vector is not None and len(vector)]
    return DrawnRows([records[n] for n in kept], [np.asarray(vectors[n], np.float32) for n in kept])


def shown(text: str) -> str:
    """A place for a message."""
    return without_password(text)


def _named(opener: str) -> Any:
    module, _, name = opener.partition(":")
    return getattr(importlib.import_module(f"{_ROOM}.{module}"), name)
