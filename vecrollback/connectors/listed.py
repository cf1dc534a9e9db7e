"""Rows that a format lets nobody read one by one: they are held in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vecrollback.connectors.base import BLOCK_ROWS, Part, Record, guess_vector, majority, stacked
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_SHOWN_ROWS = 100


class ListedRows:
    """A connector to a list of rows.

    Args:
        place: Its name in reports.
        records: The fields of each row, the vector left out.
        vectors: The vector of each row, None where it has none.
        metric: What the place says its vectors are compared by.
        stored: How it keeps a number.
        facts: What else it says.
    """

    def __init__(
        self,
        place: str,
        records: Sequence[Record],
        vectors: Sequence[Any],
        *,
        metric: Metric | None = None,
        stored: str = "float64",
        facts: Mapping[str, Json] | None = None,
    ) -> None:
        self.place, self._records, self.count = place, records, len(records)
        self.metric, self.stored, self.facts = metric, stored, dict(facts or {})
        self.dimension = majority(Counter(0 if one is None else len(one) for one in vectors))
        if not self.dimension:
            raise UsageError(f"{place}: no row has a vector", hint="name the field of the vectors with --vector-field")
        self._vectors, self._sizes = stacked(vectors, self.dimension)
        self.fields = tuple(dict.fromkeys(name for record in records[:_SHOWN_ROWS] for name in record))

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        for first in range(0, self.count, BLOCK_ROWS):
            yield self.take(np.arange(first, min(first + BLOCK_ROWS, self.count)), names, vectors=vectors)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        array: FloatArray = np.empty((len(rows), 0), np.float32)
        sizes: Numbers = np.zeros(len(rows), np.int64)
        if vectors:
            array, sizes = self._vectors[rows], self._sizes[rows]
        records = [] if names == () else [self._record(row, names) for row in rows.tolist()]
        return Part(array, sizes, records)

    def close(self) -> None:
        """Nothing is open."""

    def _record(self, row: int, names: Collection[str] | None) -> Record:
        record = self._records[row]
        return dict(record) if names is None else {name: record[name] for name in record if name in names}


def split_rows(
    rows: Sequence[Mapping[str, Any]], choice: str | None, place: str
) -> tuple[list[Record], list[Any], str]:
    """Rows with a field of numbers each, as fields and vectors; and the name of that field.

    Raises:
        UsageError: No field of the first rows holds lists of numbers, or several do and none of a usual name.
    """
    first = rows[:_SHOWN_ROWS]
    every = list(dict.fromkeys(name for row in first for name in row))
    candidates = [name for name in every if any(is_vector(row.get(name)) for row in first)]
    name = guess_vector(candidates, every, choice, place)
    records = [{key: value for key, value in row.items() if key != name} for row in rows]
    return records, [row.get(name) if is_vector(row.get(name)) else None for row in rows], name


def is_vector(value: Any) -> bool:
    """Whether a value is a list of numbers, and not a short list of, say, years."""
    numbers = (int, float)
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(one, numbers) and not isinstance(one, bool) for one in value)
    )
