"""A pair over a collection that an application made, in a database of points: its vectors stay, and nothing is changed.

`KIND:ADDRESS#NAME<COLLECTION(KEY,VECTOR)`. Two collections stand beside the application's: `NAME_rows` with every row
of the pair but its vector, and `NAME` with the vectors that are not the application's, those written later. A vector
that the application changes or removes is a row that is not what was acknowledged: a check names its batch.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from vecrollback.errors import UsageError
from vecrollback.pairs.backend import IndexChoice, Place
from vecrollback.pairs.backends.points import Point, PointsBackend, parsed_note
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray

_FORM = re.compile(r"(?P<name>[^<>()]+)<(?P<collection>[^<>()]+)\((?P<key>[^<>(),]*),(?P<vector>[^<>(),]*)\)")
_SAME = 1e-6
"""Cosine distance up to which a vector is the one that the application has: more than rounding, less than a change."""
_PAGE = 1_000
_BORROWED = 1
"""Which of the two numbers that stand for a vector in `NAME_rows` says that the application has it."""


class Lender(ABC):
    """An application's own collection. Ids are what the application calls its rows, as text."""

    def __init__(self, place: Place, collection: str, key: str, vector: str) -> None:
        self.place, self.address = place.shown, place.address
        self.collection, self.key, self.vector = collection, key, vector

    @abstractmethod
    def vectors(self, ids: Sequence[str]) -> Mapping[str, FloatArray]:
        """Those of these rows that are there."""

    @abstractmethod
    def nearest(self, query: FloatArray, k: int) -> Sequence[str]:
        """The rows that its own index finds."""

    @abstractmethod
    def natural_key(self) -> str:
        """The field by which it finds a row; "" for any."""

    def require(self) -> None:
        """Raise UsageError where rows cannot be found by `key`."""
        if (natural := self.natural_key()) and self.key != natural:
            raise UsageError(
                f"{self.place}: rows are found by {natural!r} there, not by {self.key!r}",
                hint=f"--id-field {natural}, or adopt a copy",
            )


class BorrowedPoints(PointsBackend):
    """As the backend of its database, but for rows whose vectors are the application's."""

    borrows = True

    def __init__(self, place: Place, backend: Callable[[Place], PointsBackend], lender: Callable[..., Lender]) -> None:
        match = _FORM.fullmatch(place.name)
        if match is None:
            raise UsageError(
                f"{place.shown} is not a valid place", hint=f"{place.kind}:ADDRESS#NAME<COLLECTION(KEY,VECTOR)"
            )
        super().__init__(place)
        self.name = match["name"]
        self._own = backend(replace(place, name=match["name"]))
        self._rows = backend(replace(place, name=f"{match['name']}_rows"))
        self.lender = lender(place, match["collection"], match["key"], match["vector"])
        self.known, self.cure = self._own.known, self._own.cure

    def require_lender(self) -> None:
        """Raise UsageError unless the application's rows are found by the key that the place names."""
        with self.reported():
            self.lender.require()

    def turn(self) -> AbstractContextManager[object]:
        return self._own.turn()

    def note(self) -> str | None:
        return self._rows.note()

    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:
        left = self._own.note()
        if left is not None and (parsed_note(left) or {}).get("owner") != (parsed_note(note) or {}).get("owner"):
            raise UsageError(f"{self.name} in {self.place} belongs to something else", hint="choose another --name")
        if left is not None:
            self._own.remove()
        self._own.lay_out(note, dimension, metric)
        self._rows.lay_out(note, 2, "l2")

    def remove(self) -> None:
        if self._own.note() is not None:
            self._own.remove()
        self._rows.remove()

    def size(self) -> int:
        return self._rows.size()

    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        theirs = self._borrowed([one["doc_id"] for one in points if one["ordinal"] == 0])
        same = np.array(
            [
                one["ordinal"] == 0 and self._same(theirs.get(one["doc_id"]), vector)
                for one, vector in zip(points, vectors, strict=True)
            ],
            np.bool_,
        )
        # the rows first: what a dead writer left is counted, and removed, by them
        self._rows.insert(points, np.stack([np.ones(len(same)), same], axis=1).astype(np.float32))
        if not same.all():
            self._own.insert([one for one, lent in zip(points, same, strict=True) if not lent], vectors[~same])

    def _same(self, theirs: FloatArray | None, vector: FloatArray) -> bool:
        if theirs is None or theirs.shape != vector.shape:
            return False
        return bool(1 - theirs @ vector < _SAME) if self._unit() else bool(np.array_equal(theirs, vector))

    def _unit(self) -> bool:
        """Whether the pair's vectors are of unit length, whatever the application's are."""
        return self._known_shape()[1] == "cosine"

    def _borrowed(self, ids: Sequence[str]) -> dict[str, FloatArray]:
        """The application's vectors as the pair has them."""
        theirs = self.lender.vectors(list(dict.fromkeys(ids))) if ids else {}
        if not self._unit():
            return {id_: np.asarray(one, np.float32) for id_, one in theirs.items()}
        lengths = {id_: float(np.linalg.norm(one)) or 1.0 for id_, one in theirs.items()}
        return {id_: (np.asarray(one, np.float64) / lengths[id_]).astype(np.float32) for id_, one in theirs.items()}

    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        rows = self._rows.points(numbers, vectors=vectors)
        if not vectors:
            return rows
        theirs = self._borrowed([one["doc_id"] for one in rows if one["vector"][_BORROWED]])
        own = [one["row"] for one in rows if not one["vector"][_BORROWED]]
        ours = {one["row"]: one["vector"] for one in (self._own.points(own, vectors=True) if own else ())}
        # one that is gone is left out here, and a check says so
        whole = [(one, theirs.get(one["doc_id"]) if one["vector"][_BORROWED] else ours.get(one["row"])) for one in rows]
        return [dict(one) | {"vector": vector} for one, vector in whole if vector is not None]

    def erase(self, numbers: Sequence[int]) -> None:
        if there := [one["row"] for one in self._own.points(numbers, vectors=False)]:
            self._own.erase(there)
        self._rows.erase(numbers)

    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        return self._rows.rows_with(column, values)

    def rows_after(self, seq: int) -> Sequence[Point]:
        return self._rows.rows_after(seq)

    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        self._rows.mark(points, current=current)
        if there := self._own.points([one["row"] for one in points], vectors=False):
            self._own.mark(there, current=current)

    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        if among is not None or choice.name == "exact":
            numbers = range(below) if among is None else among
            found: list[tuple[int, float]] = []
            for first in range(0, len(numbers), _PAGE):
                found += self._scored(self.points(numbers[first : first + _PAGE], vectors=True), query)
                found = sorted(found, key=lambda one: (-one[1], one[0]))[:k]
            return found
        rows = self._rows.rows_with("doc_id", self.lender.nearest(query, k))
        every = self._rows.points([one["row"] for one in rows if one["row"] < below], vectors=True) if rows else ()
        numbers = [one["row"] for one in every if one["vector"][_BORROWED]]
        found = self._scored(self.points(numbers, vectors=True), query) if numbers else []
        if self._own.size():
            found += [one for one in self._own.nearest(query, k, choice, below, None) if one[0] < below]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:k]

    def _scored(self, points: Sequence[Point], query: FloatArray) -> list[tuple[int, float]]:
        rows = [one for one in points if one["ordinal"] >= 0]
        if not rows:
            return []
        vectors = np.asarray([one["vector"] for one in rows], np.float32)
        euclidean = self._known_shape()[1] == "l2"
        scores = -((vectors - query) ** 2).sum(axis=1) if euclidean else vectors @ query
        return list(zip([int(one["row"]) for one in rows], scores.tolist(), strict=True))

    def build(self, choice: IndexChoice, metric: Metric) -> None:
        if self._own.size():
            self._own.build(choice, metric)

    def alias(self, name: str, facts: Mapping[str, Json] | None) -> str | None:  # noqa: ARG002
        """No collection holds what is live, so the name stands for none."""
        self._own.alias(name, None)
        return None


def borrowing(place: Place, backend: Callable[[Place], PointsBackend], lender: Callable[..., Lender]) -> PointsBackend:
    """The backend of a place: over a collection of an application where the place names one."""
    return BorrowedPoints(place, backend, lender) if "<" in place.name else backend(place)


def number_or_text(ids: Sequence[str], *, numbers: bool) -> list[Any]:
    """Ids as a database wants them; those that cannot be numbers are left out where it has numbers."""
    if not numbers:
        return list(ids)
    return [int(one) for one in ids if one.removeprefix("-").isascii() and one.removeprefix("-").isdigit()]
