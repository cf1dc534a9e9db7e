"""`lancedb:FOLDER#table`: the rows of a pair in a table that LanceDB opens, on a local disk.

Beside a pair in the store's own files, which are Lance tables too, this is for teams whose programs read LanceDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vecrollback.errors import UsageError
from vecrollback.pairs.backend import IndexChoice, Place, VectorBackend, row_schema
from vecrollback.pairs.backends.borrowed_points import Lender, borrowing, number_or_text
from vecrollback.pairs.backends.points import Point, PointsBackend
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray
from vecrollback.storage import LocalFileStore
from vecrollback.storage.forks import hold_off_forks

_METRICS: dict[Metric, str] = {"cosine": "dot", "dot": "dot", "l2": "l2"}
"""Vectors of a cosine pair are of unit length, so the inner product ranks them alike."""
_NOTE = b"vecrollback"
_MOST_PARTITIONS = 4_096


class LanceBackendKind:
    """`lancedb:FOLDER#table`."""

    def open(self, place: Place) -> VectorBackend:
        if "://" in place.address:
            raise UsageError(f"{place.shown} is not a folder", hint="lancedb:FOLDER#table is on a local disk")
        if not place.name.partition("<")[0].replace("_", "").replace("-", "").isalnum():
            raise UsageError(f"{place.name!r} is not a valid name for a table")
        return borrowing(place, LanceBackend, LanceLender)


class LanceBackend(PointsBackend):
    """One table. Lance syncs nothing by itself: each write ends with its files on disk."""

    cure = "is the folder there, and may it be read?"

    known: Mapping[str, Sequence[str]] = {"ivf_flat": ["partitions=", "probes="], "exact": []}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._folder = Path(place.address).expanduser() / f"{place.name}.lance"

    def turn(self) -> AbstractContextManager[object]:
        return hold_off_forks()

    def _dataset(self) -> Any:
        import lance

        return lance.dataset(str(self._folder))

    def _settle(self) -> None:
        LocalFileStore(self._folder).settle_all()

    def note(self) -> str | None:
        if not (self._folder / "_versions").exists():
            return None
        metadata = self._dataset().schema.metadata or {}
        return str(metadata.get(_NOTE, b"").decode())

    def lay_out(self, note: str, dimension: int, metric: Metric) -> None:  # noqa: ARG002, the index says it
        import lance

        fields = [*row_schema(dimension), pa.field("current", pa.bool_(), nullable=False)]
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        lance.write_dataset(pa.schema(fields, metadata={_NOTE: note}).empty_table(), str(self._folder))
        self._settle()

    def remove(self) -> None:
        LocalFileStore(self._folder).remove("")

    def size(self) -> int:
        return int(self._dataset().count_rows())

    def insert(self, points: Sequence[Point], vectors: FloatArray) -> None:
        import lance

        dataset = self._dataset()
        dimension = vectors.shape[1]
        rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimension)
        columns = [
            rows if field.name == "vector" else pa.array([one[field.name] for one in points], field.type)
            for field in dataset.schema
        ]
        lance.write_dataset(pa.table(columns, schema=dataset.schema), dataset, mode="append")
        self._settle()

    def points(self, numbers: Sequence[int], *, vectors: bool) -> Sequence[Point]:
        dataset = self._dataset()
        columns = [field.name for field in dataset.schema if vectors or field.name != "vector"]
        table = dataset.to_table(columns=columns, filter=_among(numbers))
        rows: list[dict[str, Any]] = table.drop_columns(["vector"] if vectors else []).to_pylist()
        if vectors:
            flat = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
            rows = [one | {"vector": vector} for one, vector in zip(rows, flat, strict=True)]
        return rows

    def erase(self, numbers: Sequence[int]) -> None:
        self._dataset().delete(_among(numbers))
        self._settle()

    def rows_with(self, column: str, values: Sequence[Any]) -> Sequence[Point]:
        literals = (f"X'{one.hex()}'" if isinstance(one, bytes) else _literal(one) for one in values)
        return self._rows_where(f"{column} IN ({', '.join(literals)})") if values else ()

    def rows_after(self, seq: int) -> Sequence[Point]:
        return self._rows_where(f"seq > {seq}")

    def _rows_where(self, condition: str) -> list[Point]:
        dataset = self._dataset()
        columns = [field.name for field in dataset.schema if field.name != "vector"]
        return list(dataset.to_table(columns=columns, filter=condition).to_pylist())

    def mark(self, points: Sequence[Point], *, current: bool) -> None:
        self._dataset().update({"current": str(current).lower()}, where=_among([one["row"] for one in points]))
        self._settle()

    def nearest(
        self, query: FloatArray, k: int, choice: IndexChoice, below: int, among: Sequence[int] | None
    ) -> Sequence[tuple[int, float]]:
        metric = _METRICS[self._known_shape()[1]]
        near: dict[str, Any] = {"column": "vector", "q": query, "k": k, "metric": metric}
        if among is not None or choice.name == "exact":
            near["use_index"] = False
        else:
            near["nprobes"] = choice.options.get("probes", 20)
        where = _among(among) if among is not None else f"row < {below}"
        table = self._dataset().to_table(
            columns=["row", "_distance"], filter=f"({where}) AND ordinal >= 0", prefilter=True, nearest=near
        )
        distances = table["_distance"].to_numpy()
        scores = -distances if metric == "l2" else 1 - distances
        return list(zip(table["row"].to_pylist(), scores.tolist(), strict=True))

    def build(self, choice: IndexChoice, metric: Metric) -> None:
        dataset, rows = self._dataset(), self.size()
        dataset.create_scalar_index("row", "BTREE", replace=True)
        dataset = self._dataset()
        if choice.name == "ivf_flat" and rows:
            partitions = choice.options.get("partitions", round(rows**0.5) or 1)
            dataset.create_index(
                "vector",
                "IVF_FLAT",
                metric=_METRICS[metric],
                num_partitions=max(1, min(partitions, rows, _MOST_PARTITIONS)),
                replace=True,
            )
        self._settle()


class LanceLender(Lender):
    """A table that an application made."""

    def _dataset(self) -> Any:
        import lance

        return lance.dataset(str(Path(self.address).expanduser() / f"{self.collection}.lance"))

    def vectors(self, ids: Sequence[str]) -> Mapping[str, FloatArray]:
        dataset = self._dataset()
        numbers = pa.types.is_integer(dataset.schema.field(self.key).type)
        names = [str(one) if numbers else _literal(one) for one in number_or_text(ids, numbers=numbers)]
        if not names:
            return {}
        table = dataset.to_table(columns=[self.key, self.vector], filter=f"`{self.key}` IN ({', '.join(names)})")
        rows = table[self.vector].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
        return dict(zip(map(str, table[self.key].to_pylist()), rows.astype(np.float32), strict=True))

    def nearest(self, query: FloatArray, k: int) -> Sequence[str]:
        near = {"column": self.vector, "q": query, "k": k}
        return list(map(str, self._dataset().to_table(columns=[self.key], nearest=near)[self.key].to_pylist()))

    def natural_key(self) -> str:
        return ""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _among(numbers: Sequence[int]) -> str:
    """A condition for these rows; a run of them is said in short."""
    if not numbers:
        return "false"
    ordered = sorted(set(numbers))
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"row >= {ordered[0]} AND row <= {ordered[-1]}"
    return f"row IN ({', '.join(map(str, ordered))})"
