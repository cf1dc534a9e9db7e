"""What a connector is: a place that holds vectors, as rows with named fields, streamed in order or taken by number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.effective_config import masked_parameters

BLOCK_ROWS = 8_192

Record = dict[str, Any]
"""The fields of one row, by name, the vector left out."""

_VECTOR_NAMES = ("vector", "embedding", "embeddings", "vec", "dense", "values")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Where id, text and vector stand, as the user says; None: the usual names."""

    id: str | None = None
    text: str | None = None
    vector: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows. `vectors`: (n, dimension), NaN where `sizes` says that the row has another size, 0 for none at all.

    `records`: the fields asked for, row by row; empty when none was.
    """

    vectors: FloatArray
    sizes: Numbers
    records: list[Record] = field(default_factory=list)


class Connector(Protocol):
    """One place, opened for reading only. Row numbers, 0 to count - 1, are stable while it is open.

    Attributes:
        place: Its name in reports, without a password.
        count: How many rows it has.
        dimension: Numbers in most of its vectors; 0 when no row has one.
        metric: What the place says its vectors are compared by; None where it does not say.
        stored: How a number of a vector is kept, `float16` for example.
        fields: What rows have beside the vector, as far as it is declared or the first rows show.
        facts: What else the place says of itself, as JSON.

    A connector whose place gives vectors back rounded may have a method `rounded(vectors)` besides: what would come
    back of these vectors, the same shape. One whose place may have a stamp beside it (`embedders.stamp`) has an
    attribute `stamp`: its text, None where there is none.
    """

    place: str
    count: int
    dimension: int
    metric: Metric | None
    stored: str
    fields: tuple[str, ...]
    facts: dict[str, Json]

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        """Read every row once, in order.

        Args:
            names: The fields that are wanted; None for all, empty for none.
            vectors: Whether vectors are wanted.

        Returns:
            Parts of bounded size, whatever the place holds. Without vectors theirs have shape (n, 0).
        """
        ...

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        """Read these rows, in the order asked for.

        Args:
            rows: int64, shape (n,), each from 0 to count - 1, also twice.
            names: As in `scan`.
            vectors: As in `scan`.
        """
        ...

    def close(self) -> None:
        """Let go of the place. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How a place is to be opened. `texts`: rows beside a file of vectors alone; `vector`: the field of the vectors.

    `texts_only`: no vector will be asked for, so what holds them may be damaged.
    """

    texts: Path | None = None
    vector: str | None = None
    texts_only: bool = False


class ConnectorKind(Protocol):
    """One system that keeps vectors: which places are its own, and how one is opened.

    A place that begins with `NAME:`, the name of the kind's entry point, goes to the kind without being claimed.
    `vecrollback.testing.ConnectorConformance` tests what is said here.

    Attributes:
        form: How such a place is written, for messages: `lancedb:PATH#table`.
        texts_beside: Whether the texts stand in a file beside: the place holds vectors alone.

    Example:
        >>> from vecrollback.connectors.parquet import ParquetKind
        >>> kind = ParquetKind()
        >>> kind.form, kind.claims("rows.parquet"), kind.claims("rows.csv")
        ('parquet:FILE', True, False)
    """

    form: str
    texts_beside: bool

    def claims(self, place: str, /) -> bool:
        """Whether a place without the kind's prefix is of this kind: by its ending, or by a scheme of its own.

        Decided by the string alone, without looking whether anything is there.
        """
        ...

    def open(self, place: str, options: OpenOptions, /) -> Connector:
        """Open a place, with or without the prefix.

        Raises:
            UsageError: Nothing is there, or it holds no vectors; it says what is there instead.
            MissingDependencyError: The package that reads such a place is not installed.
        """
        ...


def file_of(place: str, name: str) -> Path:
    """The path that a place names, with the prefix `NAME:` or without."""
    return Path(place.removeprefix(f"{name}:")).expanduser()


def ends_in(place: str, *suffixes: str) -> bool:
    """Whether a place is a file of one of these endings, in capital letters or small."""
    return Path(place).suffix.lower() in suffixes


def split_at_hash(
    place: str, name: str, what: str, listing: Callable[[str], Sequence[str]] | None = None
) -> tuple[str, str]:
    """Where a database is and what of it is meant, of `NAME:WHERE#WHAT`.

    Raises UsageError when either is missing; with `listing`, which lists what is there, it says that.
    """
    bare = place.removeprefix(f"{name}:")
    where, mark, inside = bare.rpartition("#")
    if mark and inside and where:
        return where, inside
    hint = f"write it after a #: {name}:...#{what}"
    # What cannot be listed is not what was asked: it has no name of what is meant, which comes first.
    with suppress(VecrollbackError, OSError):
        if listing is not None and (address := where or bare):
            hint += f"; there: {named(sorted(listing(address)))}"
    raise UsageError(f"{without_password(place)} names no {what}", hint=hint)


def without_password(place: str) -> str:
    """A place for a message, without what may be a password."""
    shown = masked_parameters(place)
    head, at, tail = shown.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at and "://" in head else shown


def expanded(where: str) -> str:
    """The address of a server as it is; of a folder with the home directory written out."""
    return where if where.startswith(("http://", "https://")) else str(Path(where).expanduser())


def guess_vector(candidates: Sequence[str], every: Sequence[str], choice: str | None, place: str) -> str:
    """Find the field that holds the vectors.

    Args:
        candidates: The fields that can.
        every: All fields, for the message.
        choice: What the user named; None to guess by usual names.
        place: The place, for the message.

    Raises:
        UsageError: There is none, or several and none of a usual name; it names the fields.

    Example:
        >>> guess_vector(["embedding", "other"], ["id", "embedding", "other"], None, "here")
        'embedding'
    """
    if choice is not None:
        if choice not in candidates:
            what = "holds no vectors" if choice in every else "does not exist"
            raise UsageError(f"{place}: the field {choice!r} {what}", hint=f"fields here: {named(every)}")
        return choice
    usual = [name for name in _VECTOR_NAMES if name in candidates]
    if usual or len(candidates) == 1:
        return (usual or list(candidates))[0]
    what = f"several fields hold vectors: {named(candidates)}" if candidates else "no field holds vectors"
    raise UsageError(f"{place}: {what}", hint=f"name it with --vector-field; fields here: {named(every)}")


def stamp_name(collection: str, vector: str, candidates: Sequence[str]) -> str:
    """What the stamp of vectors is filed under, in a collection of which several fields may hold vectors.

    Args:
        collection: The name of the collection.
        vector: The field of the vectors.
        candidates: All fields that hold vectors.

    Returns:
        The collection alone for the field that is taken where nobody names one.

    Example:
        >>> [stamp_name("docs", name, ["embedding", "title_embedding"]) for name in ("embedding", "title_embedding")]
        ['docs', 'docs#title_embedding']
    """
    usual = next((name for name in _VECTOR_NAMES if name in candidates), None)
    return collection if vector == usual or len(candidates) == 1 else f"{collection}#{vector}"


def guess(usual: Sequence[str], fields: Sequence[str], choice: str | None, place: str, option: str) -> str | None:
    """The field a user named, which must exist, or the first usual name that there is."""
    if choice is not None:
        if choice not in fields:
            raise UsageError(
                f"{place}: field {choice!r} does not exist", hint=f"correct {option}; fields here: {named(fields)}"
            )
        return choice
    return next((name for name in usual if name in fields), None)


def named(fields: Sequence[str], limit: int = 30) -> str:
    """Field names for a message."""
    text = ", ".join(fields[:limit]) or "none"
    return f"{text}, ..." if len(fields) > limit else text


def stacked(rows: Sequence[Any], dimension: int) -> tuple[FloatArray, Numbers]:
    """Put vectors that come one by one into an array.

    Args:
        rows: A sequence of numbers each, None where a row has no vector.
        dimension: Numbers in most vectors.

    Returns:
        float32, shape (n, dimension), NaN where a row is of another size; and int64, shape (n,): the size of each row.

    Example:
        >>> vectors, sizes = stacked([[1.0, 2.0], None, [3.0]], 2)
        >>> vectors[0].tolist(), sizes.tolist()
        ([1.0, 2.0], [2, 0, 1])
    """
    sizes = np.fromiter((0 if row is None else len(row) for row in rows), np.int64, len(rows))
    if (sizes == dimension).all() and len(rows):
        return np.asarray(rows, dtype=np.float32), sizes
    vectors = np.full((len(rows), dimension), np.nan, np.float32)
    # One by one: NumPy makes no matrix of rows of different lengths.
    for at in np.flatnonzero(sizes == dimension).tolist():
        vectors[at] = rows[at]
    return vectors, sizes


def majority(sizes: Mapping[int, int]) -> int:
    """The most frequent size of a vector, given how many rows have each; 0 when no row has one.

    Example:
        >>> majority({0: 50, 384: 40, 128: 2})
        384
    """
    return max((size for size in sizes if size), key=lambda size: sizes[size], default=0)
