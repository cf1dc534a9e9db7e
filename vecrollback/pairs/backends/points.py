"""What databases of points have in common: each row is a point, its number is the point's id.

They have no transactions, so a batch that its writer did not finish is removed, and rows are hidden from other clients
right after they were superseded, not with it. Numbers go on without a hole, so a point is found by its id alone, and
where a batch ends is found by halving: the numbers of batches only rise.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from vecrollback.errors import (
    CorruptArtifactError,
    HeadMovedError,
    StorageUnavailableError,
    UsageError,
    VecrollbackError,
)
from vecrollback.indexes.base import Neighbours
from vecrollback.pairs.backend import IndexChoice, Place, row_schema
from vecrollback.pairs.vectors import matrix
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.local import reach

_PAGE = 1_000
_MARK = "vecrollback pair"

Point = Mapping[str, Any]
"""A row by column, `row` and `current` included; its vector only where that was asked for."""


class PointsBackend(ABC):
    """One collection. A subclass says how points are written, read and found."""

    atomic = False
    borrows = False
    known: Mapping[str, Sequence[str]]
    """Indexes and their options, see `IndexChoice.parse`; the first is what `auto` builds."""

    cure: str
    """What to look at when it does not answer."""

    def __init__(self, place: Place) -> None:
        self.place = place.shown
        self.name = place.name
        self._shape: tuple[int, Metric] | None = None
        self._end = 0  # there are rows up to here, by what searches came upon
        # What a client keeps between calls, and of which process; forgotten after a call that failed.
        self._open: tuple[int, Any] | None = None

    # -- what a database has to say -----------------------------------------------------------------------------------

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Raise StorageUnavailableError for whatever its client raises."""
        try:
            with self.turn():
                yield
        except VecrollbackError:
            raise
        except Exception as error:
            self._open = None  # the next call opens it anew
            raise StorageUnavailableError(
                f"{self.place} does not answer: {type(error).__name__}: {str(error)[:200]}", hint=self.cure
            ) from error

    def turn(self) -> AbstractContextManager[object]:
        """What a call waits for: its client may not be used by two at once."""
        return nullcontext()

    @abstractmethod
    def note(self) -> str | None:
        """What the collection keeps of itself; "" when nothing, None when there is no collection."""

    @abstractmethod
    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:
        """Make the empty collection."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the collection, which is there."""

    @abstractmethod
    def size(self) -> int:
        """How many points there are now, exactly."""

    @abstractmethod
    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        """Write points that are not there yet, each with all columns but the vector; durable when it returns."""

    @abstractmethod
    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        """Those of these points that are there, in any order; the vector as an array under `vector`."""

    @abstractmethod
    def erase(self, numbers: Sequence[int]) -> None:
        """Remove points."""

    @abstractmethod
    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        """All rows that have one of these values in `doc_id` or `content_hash`, without their vectors."""

    @abstractmethod
    def rows_after(self, seq: int) -> Sequence[Point]:
        """All rows of a later change than this, without their vectors."""

    @abstractmethod
    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        """Show or hide these rows."""

    @abstractmethod
    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        """Row numbers and scores, best first. Exact where `among` is given or the index is `exact`."""

    def nearest_of_all(self, query: FloatArray, k: int, choice: IndexChoice) -> Sequence[tuple[int, float]] | None:  # noqa: ARG002, not every one has it
        """As `nearest` by the index, of all points whatever they hold; None where that is not quicker."""
        return None

    @abstractmethod
    def build(self, choice: IndexChoice, metric: Metric) -> None:
        """Build an index over all points, in place of another one."""

    # -- the collection -----------------------------------------------------------------------------------------------

    def create(self, owner: str, dimension: int, metric: Metric) -> None:
        with self.reported():
            note = self.note()
            if note is not None:
                if (parsed_note(note) or {}).get("owner") != owner:
                    whose = "another pair" if parsed_note(note) else "something else"
                    raise UsageError(f"{self.place} exists and belongs to {whose}", hint="choose another name")
                self.remove()
            self._shape, self._end = None, 0
            facts = {"kind": _MARK, "owner": owner, "dimension": dimension, "metric": metric}
            self.lay_out(json.dumps(facts), dimension, metric)

    def owner(self) -> str | None:
        with self.reported():
            note = self.note()
        facts = parsed_note(note) if note else None
        return str(facts["owner"]) if facts else None

    def drop(self) -> None:
        with self.reported():
            note = self.note()
            self._shape = None
            if note is not None and parsed_note(note):
                self.remove()

    def _known_shape(self) -> tuple[int, Metric]:
        if self._shape is None:
            facts = parsed_note(self.note() or "")
            if facts is None:
                raise CorruptArtifactError(
                    f"{self.place} is gone", hint="import a bundle of the pair, or re-embed under another name"
                )
            self._shape = facts["dimension"], facts["metric"]
        return self._shape

    # -- rows ---------------------------------------------------------------------------------------------------------

    def write(self, rows: pa.Table) -> None:
        with self.reported():
            self._known_shape()
            numbers = rows["row"].to_pylist()
            # Points of a lower number are there, so the first one tells: a writer that lost its lock ends here.
            if self.points(numbers[:1], vectors=False) or self.size() > numbers[0]:
                raise HeadMovedError(self.place, expected=f"row {numbers[0]} to be free", found="it taken")
            dimension = rows.schema.field("vector").type.list_size
            for first in range(0, rows.num_rows, _PAGE):
                part = rows.slice(first, _PAGE)
                points = [row | {"current": True} for row in part.drop_columns(["vector"]).to_pylist()]
                self.insert(points, matrix(part["vector"], dimension))
                reach("backend.writing")
            self._hide_superseded(list(dict.fromkeys(rows["doc_id"].to_pylist())), numbers[0])

    def _hide_superseded(self, documents: Sequence[str], first: int) -> None:
        for begin in range(0, len(documents), _PAGE):
            older = self.rows_with("doc_id", documents[begin : begin + _PAGE])
            hidden = [one for one in older if one["row"] < first and one["current"]]
            if hidden:
                self.mark(hidden, current=False)

    def truncate(self, count: int) -> None:
        with self.reported():
            # Not by the number of points: what is removed may be the end of a batch that was cut off in the middle.
            end = max(self.size(), count)
            documents: dict[str, None] = {}
            for first in range(count, end, _PAGE):
                numbers = range(first, min(first + _PAGE, end))
                documents |= {one["doc_id"]: None for one in self.points(numbers, vectors=False)}
                self.erase(numbers)
            ids = list(documents)
            for begin in range(0, len(ids), _PAGE):
                rows = self.rows_with("doc_id", ids[begin : begin + _PAGE])
                newest: dict[str, int] = {}
                for one in rows:
                    newest[one["doc_id"]] = max(newest.get(one["doc_id"], 0), one["batch"])
                shown = [one for one in rows if one["batch"] == newest[one["doc_id"]] and not one["current"]]
                if shown:
                    self.mark(shown, current=True)

    def delete(self, tombstones: Mapping[str, int]) -> None:
        with self.reported():
            if self.note() is None:
                return
            ids = list(tombstones)
            for begin in range(0, len(ids), _PAGE):
                rows = self.rows_with("doc_id", ids[begin : begin + _PAGE])
                hidden = [one for one in rows if one["current"] and one["seq"] < tombstones[one["doc_id"]]]
                if hidden:
                    self.mark(hidden, current=False)

    def count(self, batch: int | None = None) -> int:
        with self.reported():
            self._known_shape()
            low, high = 0, self.size()
            if batch is None:
                return high
            while low < high:
                middle = (low + high) // 2
                there = self.points([middle], vectors=False)
                if not there:
                    raise CorruptArtifactError(f"row {middle} of {self.place} is gone", hint="`vecrollback check`")
                if there[0]["batch"] <= batch:
                    low = middle + 1
                else:
                    high = middle
            return low

    def scan(self, columns: Sequence[str], first: int, end: int) -> Iterator[pa.RecordBatch]:
        for begin in range(first, end, _PAGE):
            yield from self._table(range(begin, min(begin + _PAGE, end)), columns).to_batches()

    def take(self, numbers: Numbers, columns: Sequence[str]) -> pa.Table:
        wanted = numbers.tolist()
        parts = [self._table(wanted[begin : begin + _PAGE], columns) for begin in range(0, len(wanted) or 1, _PAGE)]
        return pa.concat_tables(parts)

    def matching(
        self, column: Literal["doc_id", "content_hash"], values: Sequence[object], columns: Sequence[str], end: int
    ) -> pa.Table:
        with self.reported():
            parts = [self.rows_with(column, values[first : first + _PAGE]) for first in range(0, len(values), _PAGE)]
            return self._arranged((one for part in parts for one in part if one["row"] < end), columns)

    def made_after(self, seq: int, columns: Sequence[str], end: int) -> pa.Table:
        with self.reported():
            return self._arranged((one for one in self.rows_after(seq) if one["row"] < end), columns)

    def _table(self, numbers: Sequence[int], columns: Sequence[str]) -> pa.Table:
        with self.reported():
            return self._arranged(self.points(numbers, vectors="vector" in columns) if numbers else (), columns)

    def _arranged(self, points: Iterable[Point], columns: Sequence[str]) -> pa.Table:
        """These columns of some points, ascending by number."""
        dimension, _ = self._known_shape()
        whole = row_schema(dimension)
        page = sorted(points, key=lambda one: int(one["row"]))
        arrays = []
        for name in columns:
            if name == "vector":
                rows = [np.asarray(one["vector"], np.float32) for one in page]
                flat = np.concatenate(rows) if rows else np.empty(0, np.float32)
                arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), dimension))
            else:
                arrays.append(pa.array([one[name] for one in page], whole.field(name).type))
        return pa.table(arrays, schema=pa.schema([whole.field(name) for name in columns]))

    # -- search -------------------------------------------------------------------------------------------------------

    def search(self, queries: FloatArray, k: int, spec: str, below: int, among: Numbers | None = None) -> Neighbours:
        scores = np.full((len(queries), k), -np.inf, np.float32)
        numbers = np.full((len(queries), k), -1, np.int64)
        choice = IndexChoice.parse(spec, self.known)
        wanted = None if among is None else among.tolist()
        with self.reported():
            self._known_shape()
            for at, query in enumerate(queries):
                if wanted == [] or not below:
                    continue
                rows = self._nearest(query, k, choice, below, wanted)[:k]
                numbers[at, : len(rows)] = [number for number, _ in rows]
                scores[at, : len(rows)] = [score for _, score in rows]
        return Neighbours(scores, numbers)

    def _nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        """Without a condition where hardly a row fails it: to look at what each point holds takes most of a search."""
        if among is None and choice.name != "exact" and below >= self._end:
            rows = self.nearest_of_all(query, k, choice)
            if rows is not None:
                later = max((number for number, _ in rows), default=0)
                if later < below and all(number >= 0 for number, _ in rows):
                    return rows
                self._end = max(self._end, later + 1)
        return self.nearest(query, k, choice, below, among)

    def specs(self, spec: str) -> list[str]:
        if spec == "auto":
            return [next(iter(self.known)), "exact"] if next(iter(self.known)) != "exact" else ["exact"]
        IndexChoice.parse(spec, self.known)
        return [spec]

    def seal(self, spec: str) -> None:
        choice = IndexChoice.parse(spec, self.known)
        with self.reported():
            self.build(choice, self._known_shape()[1])

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str | None:  # noqa: ARG002, not every one has it
        """None: this database knows no aliases."""
        return None


def packed(point: Point) -> dict[str, Any]:
    """A row for a database that keeps text and numbers alone: the content hash in hexadecimal."""
    return dict(point) | {"content_hash": point["content_hash"].hex()}


def unpacked(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `packed` made of it."""
    return dict(values) | {"content_hash": bytes.fromhex(values["content_hash"])}


def parsed_note(note: str) -> dict[str, Any] | None:
    """What `create` wrote; None for a collection of somebody else."""
    try:
        facts = json.loads(note)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and facts.get("kind") == _MARK else None
