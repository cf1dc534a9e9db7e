"""What a pair needs of a database that holds its vectors: one protocol, and how a database is named and opened.

`pgvector:postgresql://user@host/database#table` names one table, which belongs to one pair. Rows are appended, batch by
batch, and never changed: a snapshot is a number of rows from the first on, in a database as on a disk. So a rollback, a
restore and a check mean there what they mean here (docs/decisions/0047-pairs-in-a-database.md).
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast, runtime_checkable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

from vecrollback.errors import IndexSpecError, UsageError
from vecrollback.indexes.base import Neighbours
from vecrollback.pairs.vectors import schema
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.installed import entry_points_of

__all__ = ["BackendKind", "IndexChoice", "Place", "RowFinder", "VectorBackend", "open_backend", "row_schema"]

_GROUP = "vecrollback.backends"
_BUILT_IN = {
    "pgvector": "pgvector:PgvectorBackendKind",
    "qdrant": "qdrant:QdrantBackendKind",
    "chroma": "chroma:ChromaBackendKind",
    "milvus": "milvus:MilvusBackendKind",
    "lancedb": "lancedb:LanceBackendKind",
}
_SECRET_PARAMETERS = frozenset({"password", "sslpassword", "api_key", "apikey", "token"})
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")

_secrets: dict[str, str] = {}
_backends: dict[tuple[int, str], VectorBackend] = {}
_lock = threading.Lock()


def row_schema(dimension: int) -> pa.Schema:
    """Columns of a row in a database: its number, from 0 in the order of writing, then those of a vectors table."""
    number = pa.field("row", pa.int64(), nullable=False)
    return pa.schema([number, *schema(dimension)])


class VectorBackend(Protocol):
    """One collection of a database, opened: the rows of one pair. Safe to use from many threads.

    A row has the columns of `row_schema`; `row` is its key. Rows that vecrollback no longer answers from stay, because
    older snapshots are made of them; `write` and `delete` hide them from programs that search by a client of their own.
    `vecrollback.testing.BackendConformance` tests all that is said here.

    One whose database may hold the catalog too may have a method `offer_search(connection, schema)` besides: it lays
    out beside the catalog's tables what applications call to get pointer and answers in one statement. One that builds
    indexes of single namespaces says in `namespaces()` for which, and its `search` takes a further `namespace`. One
    that finds rows by what they hold is a `RowFinder` too.

    Raises, everywhere: StorageUnavailableError when the database does not answer, CorruptArtifactError when the
    collection is gone or damaged. Neither message holds a secret.
    """

    @property
    def place(self) -> str:
        """What a person may see: the kind, the address without secrets, the name."""
        ...

    @property
    def atomic(self) -> bool:
        """Whether `write` is all or nothing, so that what a dead writer wrote may be kept."""
        ...

    @property
    def borrows(self) -> bool:
        """Whether vectors may come back as a table of somebody else has them, scaled to unit length."""
        ...

    def create(self, owner: str, dimension: int, metric: Metric) -> None:
        """Lay out an empty collection, in place of one of the same owner.

        Args:
            owner: Who alone may write to it: a store and its pair.
            dimension: Numbers in a vector.
            metric: "cosine" (all vectors are of unit length), "dot" or "l2".

        Raises:
            UsageError: The name belongs to something else, which is left as it is.
        """
        ...

    def owner(self) -> str | None:
        """Who may write to the collection; None when there is none."""
        ...

    def write(self, rows: pa.Table) -> None:
        """Append rows; durable when it returns. Earlier rows of the same documents are hidden from other clients.

        Args:
            rows: Of `row_schema`; numbers go on where the collection ends.

        Raises:
            HeadMovedError: A row of such a number is there: another writer wrote it.
        """
        ...

    def truncate(self, count: int) -> None:
        """Remove the rows numbered `count` and higher, as if they had never been written."""
        ...

    def delete(self, tombstones: Mapping[str, int]) -> None:
        """Hide deleted documents from clients of other programs: rows of a lower seq than the delete's. Idempotent."""
        ...

    def count(self, batch: int | None = None) -> int:
        """The number after the last row; with `batch`, after the last row of a batch up to that one."""
        ...

    def scan(self, columns: Sequence[str], first: int, end: int) -> Iterator[pa.RecordBatch]:
        """The rows numbered from `first` to before `end`, ascending, in batches of these columns."""
        ...

    def take(self, numbers: Numbers, columns: Sequence[str]) -> pa.Table:
        """Rows by number, each number once and ascending; those that are not there are left out."""
        ...

    def search(self, queries: FloatArray, k: int, spec: str, below: int, among: Numbers | None = None) -> Neighbours:
        """Find the nearest rows, hidden ones included.

        Args:
            queries: float32, shape (queries, dimension).
            k: How many to find.
            spec: The index to use, as it was sealed; "exact" compares with every row.
            below: Only rows with a lower number.
            among: Only these rows, and exactly.

        Returns:
            Scores and, as positions, row numbers, each of shape (queries, k), best first; unused places hold -inf and
            -1. Higher is nearer: the inner product, or minus the squared distance for "l2".
        """
        ...

    def specs(self, spec: str) -> list[str]:
        """What to seal, in order, until an index finds enough true neighbours. Raises IndexSpecError."""
        ...

    def seal(self, spec: str) -> None:
        """Build the index of a spec over the rows there are, and drop others. Neither readers nor writers wait.

        A build that was cut off is done again.
        """
        ...

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str | None:
        """Let a name of the database's own stand for this collection's visible rows, for clients that do not ask.

        Args:
            name: The alias, in the same database and schema.
            facts: What such a client may want to know: `store`, `pair`, `epoch`, `embedder`, `fingerprint`. None takes
                the alias away.

        Returns:
            What the database calls it; None where it knows no aliases.

        Raises:
            UsageError: The name belongs to something else, which is left as it is.
        """
        ...

    def drop(self) -> None:
        """Remove the collection, if it is there."""
        ...


@runtime_checkable
class RowFinder(Protocol):
    """A backend that finds rows by what they hold and reads no others, so a catch-up costs by what changed.

    Of one that is none, all rows are read. `columns` never has the vector.
    """

    def matching(
        self, column: Literal["doc_id", "content_hash"], values: Sequence[object], columns: Sequence[str], end: int
    ) -> pa.Table:
        """The rows numbered below `end` that have one of these values in this column, ascending by number."""
        ...

    def made_after(self, seq: int, columns: Sequence[str], end: int) -> pa.Table:
        """The rows numbered below `end` that were made for a later change than this, ascending by number."""
        ...


class BackendKind(Protocol):
    """One database: one file beside this, found by the prefix of a place."""

    def open(self, place: Place) -> VectorBackend:
        """Open a collection, which need not exist yet. Raises UsageError for a name that cannot be one."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """`KIND:ADDRESS#NAME`. `address` may hold secrets; `shown` is the whole place without them."""

    kind: str
    address: str
    name: str
    shown: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read a place; `$NAME` for the address means what the environment says when the place is opened.

        Raises:
            UsageError: It has another form, or names a variable that is not set.

        Example:
            >>> Place.parse("pgvector:postgresql://me:secret@db/app#v1").shown
            'pgvector:postgresql://me@db/app#v1'
        """
        kind, colon, rest = text.partition(":")
        address, mark, name = rest.rpartition("#")
        if not (colon and mark and kind and address and name):
            raise UsageError(
                f"{kind + colon + shown_address(rest)!r} is not a valid backend; use KIND:ADDRESS#NAME",
                hint="for example pgvector:postgresql://user@host/database#v1",
            )
        if variable := _VARIABLE.fullmatch(address):
            value = os.environ.get(variable[1])
            if not value:
                raise UsageError(f"the variable {variable[1]} is not set", hint=f"{kind}:{address}#{name} asks for it")
            return cls(kind, value, name, text)
        return cls(kind, address, name, f"{kind}:{shown_address(address)}#{name}")


def shown_address(address: str) -> str:
    """An address without its password, and without parameters that are secrets."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k.lower() not in _SECRET_PARAMETERS]
    netloc = f"{user.partition(':')[0]}{at}{host}"
    # `urlunsplit` drops the slashes of an address without a host, as of a server behind a socket
    shown = urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, safe="/"), parts.fragment))
    return shown if netloc or "://" in shown else shown.replace(":", "://", 1)


def remember(text: str) -> str:
    """The place without its secrets, for the catalog; this process goes on knowing them. Raises UsageError."""
    place = Place.parse(text)
    kind(place)
    if place.shown != text:
        _secrets[place.shown] = text
    return place.shown


def open_backend(text: str) -> VectorBackend:
    """Open a collection, once per process.

    Args:
        text: The place, with its secrets or as `remember` gave it.

    Returns:
        The collection, which need not exist yet.

    Raises:
        UsageError: The place has another form, or no installed package knows its kind.
        MissingDependencyError: The client of the database is not installed.
    """
    key = os.getpid(), text
    with _lock:
        if key not in _backends:
            place = Place.parse(_secrets.get(text, text))
            _backends[key] = kind(place).open(place)
        return _backends[key]


def kind(place: Place) -> BackendKind:
    """The kind of database that a place names. Raises UsageError."""
    if place.kind in _BUILT_IN:
        module, _, name = _BUILT_IN[place.kind].partition(":")
        return cast(BackendKind, getattr(importlib.import_module(f"vecrollback.pairs.backends.{module}"), name)())
    if point := entry_points_of(_GROUP).get(place.kind):
        third_party = point.load()
        return cast(BackendKind, third_party() if isinstance(third_party, type) else third_party)
    raise UsageError(
        f"{place.kind!r} is not a database that can hold a pair", hint=f"there are: {', '.join(sorted(_BUILT_IN))}"
    )


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """An index of a database: `hnsw`, or `hnsw:m=32,ef_search=200`. `flags`: options without a value."""

    name: str
    options: Mapping[str, int]
    flags: frozenset[str]

    @classmethod
    def parse(cls, spec: str, known: Mapping[str, Sequence[str]]) -> IndexChoice:
        """Read a spec. `known`: the options of each index; a trailing `=` marks those that take a number.

        Raises:
            IndexSpecError: The index or an option of it is not known.

        Example:
            >>> IndexChoice.parse("hnsw:m=32", {"hnsw": ["m="]}).options
            {'m': 32}
        """
        name, _, rest = spec.partition(":")
        options: dict[str, int] = {}
        flags = set()
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if f"{key}{equals}" not in known.get(name, ()) or bool(equals) != (value.isascii() and value.isdigit()):
                name = ""
                break
            if equals:
                options[key] = int(value)
            else:
                flags.add(key)
        if name not in known:
            forms = "; ".join(f"{one} ({', '.join(known[one])})" if known[one] else one for one in known)
            raise IndexSpecError(f"{spec!r} is not a valid index of this database", hint=f"there are: auto; {forms}")
        return cls(name, options, frozenset(flags))
