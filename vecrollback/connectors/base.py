"""What a reader of a vector source is: rows of vectors and named fields, streamed in order or taken by number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vecrollback.arrays import FloatArray, Numbers
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric

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
    """One source, opened for reading only.

    `place`: its name in reports, without a password. `fields`: what rows have beside the vector, as far as it is
    declared or the first rows show. `stored`: how a number of a vector is kept, `float16` for example. `facts`: what
    else the source says of itself. Row numbers are stable while it is open.
    """

    place: str
    count: int
    dimension: int
    metric: Metric | None
    stored: str
    fields: tuple[str, ...]
    facts: dict[str, Json]

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        """Every row once, in order, in parts of bounded size; `names`: fields wanted, None for all."""
        ...

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        """These rows, in the order asked for."""
        ...

    def close(self) -> None: ...


def guess_vector(candidates: Sequence[str], every: Sequence[str], wanted: str | None, place: str) -> str:
    """The field that holds the vectors. `candidates`: those that can. Raises UsageError naming what there is."""
    if wanted is not None:
        if wanted not in candidates:
            what = "holds no vectors" if wanted in every else "does not exist"
            raise UsageError(f"{place}: the field {wanted!r} {what}", hint=f"fields here: {named(every)}")
        return wanted
    usual = [name for name in _VECTOR_NAMES if name in candidates]
    if usual or len(candidates) == 1:
        return (usual or list(candidates))[0]
    what = f"several fields hold vectors: {named(candidates)}" if candidates else "no field holds vectors"
    raise UsageError(f"{place}: {what}", hint=f"name it with --vector-field; fields here: {named(every)}")


def guess(usual: Sequence[str], fields: Sequence[str], wanted: str | None, place: str, option: str) -> str | None:
    """The field a user named, which must exist, or the first usual name that there is."""
    if wanted is not None:
        if wanted not in fields:
            raise UsageError(
                f"{place}: there is no field {wanted!r}", hint=f"correct {option}; fields here: {named(fields)}"
            )
        return wanted
    return next((name for name in usual if name in fields), None)


def named(fields: Sequence[str], limit: int = 30) -> str:
    """Field names for a message."""
    shown = ", ".join(fields[:limit]) or "none"
    return f"{shown}, ..." if len(fields) > limit else shown


def stacked(rows: Sequence[Any], dimension: int) -> tuple[FloatArray, Numbers]:
    """Vectors that come one by one, None where a row has none, as (n, dimension), and the size of each."""
    sizes = np.fromiter((0 if row is None else len(row) for row in rows), np.int64, len(rows))
    if (sizes == dimension).all() and len(rows):
        return np.asarray(rows, dtype=np.float32), sizes
    vectors = np.full((len(rows), dimension), np.nan, np.float32)
    for at in np.flatnonzero(sizes == dimension).tolist():
        vectors[at] = rows[at]
    return vectors, sizes


def majority(sizes: Mapping[int, int]) -> int:
    """The most frequent size of a vector, given how many rows have each; 0 when no row has one."""
    return max((size for size in sizes if size), key=lambda size: sizes[size], default=0)
