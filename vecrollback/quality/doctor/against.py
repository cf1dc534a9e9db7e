"""What differs between two states of one index, row by row and without embedding anything.

The older one may be a snapshot, an export or a backup, of any system: rows are matched by their ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from vecrollback.errors import UsageError
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.records import Json
from vecrollback.records.arrays import Numbers, cosines

_SAME = 1e-5
"""1 - cosine up to which two vectors are one, kept in different formats: half precision keeps 1e-7, bfloat16 4e-6."""

_SHOWN = 10_000


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """Rows of one kind: how many, and the first ids."""

    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """What an index has become.

    Attributes:
        older: The place that it was compared with.
        unchanged: Rows with the same text and vector.
        new: Ids that the older one does not have.
        gone: Ids that only the older one has.
        changed: Text and vector are others.
        embedded_anew: The text is the same, the vector another one: another model, or other settings.
        stale: The text is another one, the vector the same: it was not embedded again.
    """

    older: str
    unchanged: int
    new: ChangedRows
    gone: ChangedRows
    changed: ChangedRows
    embedded_anew: ChangedRows
    stale: ChangedRows

    def as_json(self) -> dict[str, Json]:
        """What `doctor --against --json` prints under `against`."""
        return asdict(self)


def compare_sources(source: ForeignIndex, older: ForeignIndex) -> SourceDifference:
    """Compare an index with an older state of it. Memory: about 100 bytes and an id for each row of the older one.

    Raises:
        UsageError: Their rows have no ids, or vectors of different sizes.
    """
    for one in (source, older):
        if one.id_field is None:
            raise UsageError(f"{one.place} has no ids to find its rows by", hint="--id-field names the field of the id")
    if source.dimension != older.dimension:
        raise UsageError(
            f"{source.place} has vectors of {source.dimension} numbers, {older.place} of {older.dimension}",
            hint="they cannot be states of one index",
        )
    places = {older.id_of(record, row): row for row, record in _records(older)}
    seen = np.zeros(older.count, np.bool_)
    found: dict[str, list[str]] = {name: [] for name in ("new", "changed", "embedded_anew", "stale")}
    unchanged, first = 0, 0
    for _, part in source.parts():
        ids = [source.id_of(record, first + n) for n, record in enumerate(part.records)]
        texts = [source.text_of(record) for record in part.records]
        first += len(ids)
        here = [n for n, id_ in enumerate(ids) if id_ in places]
        found["new"] += [id_ for id_ in ids if id_ not in places]
        rows: Numbers = np.array([places[ids[n]] for n in here], np.int64)
        seen[rows] = True
        before_texts, before = older.texts(rows), older.vectors(rows)
        with np.errstate(all="ignore"):
            own = part.vectors[here][:, : source.dimension]
            near = np.where((own == before).all(axis=1), 1.0, np.nan_to_num(cosines(own, before), nan=0.0))
        for n, text, cosine in zip(here, before_texts, near.tolist(), strict=True):
            kind = _KINDS[texts[n] == text, cosine >= 1 - _SAME]
            if kind:
                found[kind].append(ids[n])
            else:
                unchanged += 1
    gone = [id_ for id_, row in places.items() if not seen[row]]
    differences = {name: ChangedRows(len(ids), tuple(ids[:_SHOWN])) for name, ids in (found | {"gone": gone}).items()}
    return SourceDifference(older.place, unchanged, **differences)


_KINDS = {(True, True): "", (True, False): "embedded_anew", (False, True): "stale", (False, False): "changed"}
"""By whether the text, and whether the vector, is the same."""


def _records(source: ForeignIndex) -> Iterator[tuple[int, dict[str, object]]]:
    fields = [source.root_of(source.id_field)] if source.id_field else []
    row = 0
    for part in source.connector.scan(fields, vectors=False):
        for record in part.records:
            yield row, record
            row += 1
