"""How a source is to be read: which rows are meant, and what of a row was embedded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from vecrollback.connectors import Connector, Part, Record
from vecrollback.corpus.filters import matches_values, read_filter
from vecrollback.errors import UsageError
from vecrollback.quality.doctor import rows as meaning
from vecrollback.records import Json
from vecrollback.records.arrays import Numbers


@dataclass(frozen=True, slots=True)
class SourceReading:
    """What a user says of a source beside its place.

    Attributes:
        where: A filter over the rows, as searches have one: only rows that match are examined.
        template: What was embedded of a row: `{title}\\n\\n{body}`.
        layout: The application that wrote the rows, a name of `layouts.NAMES`.
    """

    where: str | None = None
    template: str | None = None
    layout: str | None = None


class ChosenRows:
    """Some rows of a connector as a connector of their own; closing it closes nothing.

    Args:
        connector: The whole place, which stays open.
        rows: int64, ascending: the numbers of the rows that are meant.
    """

    def __init__(self, connector: Connector, rows: Numbers) -> None:
        self._connector, self._rows = connector, rows
        self.place, self.count = connector.place, len(rows)
        self.dimension, self.metric, self.stored = connector.dimension, connector.metric, connector.stored
        self.fields, self.facts = connector.fields, connector.facts
        self.rounded = getattr(connector, "rounded", None)
        self.stamp = getattr(connector, "stamp", None)

    def scan(self, names: Collection[str] | None, *, vectors: bool = True) -> Iterator[Part]:
        """The whole place is streamed: many have no quick way to single rows."""
        first = 0
        for part in self._connector.scan(names, vectors=vectors):
            low, high = np.searchsorted(self._rows, [first, first + len(part.vectors)])
            here = self._rows[low:high] - first
            first += len(part.vectors)
            if len(here):
                records = [part.records[row] for row in here.tolist()] if part.records else []
                yield Part(part.vectors[here], part.sizes[here], records)

    def take(self, rows: Numbers, names: Collection[str] | None, *, vectors: bool = True) -> Part:
        return self._connector.take(self._rows[rows], names, vectors=vectors)

    def close(self) -> None:
        """The place belongs to whoever opened it."""


def rows_where(connector: Connector, where: str, id_field: str | None) -> Numbers:
    """The rows that match a filter; one pass without vectors.

    Raises:
        BadFilterError: The filter is not valid.
        UsageError: No row matches.
    """
    condition = read_filter(where)
    found: list[int] = []
    for row, record in enumerate(_records(connector)):
        if matches_values(condition, _Values(record, id_field, row).value):
            found.append(row)
    if not found:
        raise UsageError(
            f"{connector.place}: no row matches {where!r}", hint=f"fields here: {', '.join(connector.fields)}"
        )
    return np.array(found, np.int64)


def rows_by(connector: Connector, field: str) -> dict[str, Numbers]:
    """The rows by the value of a field, those of the most frequent value first; rows without one under "".

    Raises:
        UsageError: No row has the field.
    """
    groups: dict[str, list[int]] = {}
    for row, record in enumerate(_records(connector)):
        value = _Values(record, None, row).value(field)
        groups.setdefault("" if value is None else str(value), []).append(row)
    if not groups or set(groups) == {""}:
        raise UsageError(
            f"{connector.place}: no row has a field {field!r}", hint=f"fields here: {', '.join(connector.fields)}"
        )
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {value: np.array(rows, np.int64) for value, rows in ordered}


class _Values:
    """The values of a row as a filter asks for them: by name, by path, or inside of nested fields."""

    def __init__(self, record: Record, id_field: str | None, row: int) -> None:
        self._record, self._id_field, self._row = record, id_field, row

    def value(self, key: str) -> Json:
        if key == "$id":
            return meaning.id_of(self._record, self._id_field, self._row)
        value = meaning.value_of(self._record, key)
        return meaning.plain(meaning.flat(self._record).get(key) if value is None else value)


def _records(connector: Connector) -> Iterator[Record]:
    for part in connector.scan(None, vectors=False):
        yield from part.records or [{}] * len(part.vectors)
