"""`lancedb:PATH#table`: a LanceDB table, read through pylance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from vecrollback.connectors.arrow_rows import ArrowConnector, vector_columns
from vecrollback.connectors.base import Connector, OpenOptions, split_at_hash, stamp_name
from vecrollback.embedders.stamp import STAMPS
from vecrollback.errors import UsageError
from vecrollback.records import Metric
from vecrollback.records.arrays import Numbers


class LanceColumns:
    """One version of a table, whatever is written to it meanwhile."""

    def __init__(self, folder: Path, table: str, vector: str | None = None) -> None:
        import lance

        self.place = f"lancedb:{folder}#{table}"
        if not (folder / f"{table}.lance").is_dir():
            there = ", ".join(sorted(path.stem for path in folder.glob("*.lance"))) or "none"
            raise UsageError(f"{self.place}: there is no such table", hint=f"tables in {folder}: {there}")
        try:
            self._dataset: Any = lance.dataset(str(folder / f"{table}.lance"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.place}: it cannot be read: {error}", hint="open it with LanceDB first") from error
        self.schema, self.count = self._dataset.schema, int(self._dataset.count_rows())
        self.stamp = _stamp(folder, stamp_name(table, vector, vector_columns(self.schema)) if vector else table)

    def metric(self, vector: str) -> Metric | None:
        """The metric of the column's index; None without one."""
        for index in self._dataset.describe_indices():
            if vector not in index.field_names:
                continue
            name = (getattr(index, "details", None) or {}).get("metric_type", "").lower()
            if name in ("l2", "cosine", "dot"):
                return cast(Metric, name)
        return None

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Left to itself, Lance reads so far ahead that the memory of a pass grows with the table.
        readahead = {"batch_readahead": 2, "fragment_readahead": 1}
        yield from self._dataset.scanner(columns=list(names), scan_in_order=True, **readahead).to_batches()

    def take(self, rows: Numbers, names: Sequence[str]) -> pa.Table:
        return self._dataset.take(rows.tolist(), columns=list(names))

    def close(self) -> None:
        self._dataset = None


def _stamp(folder: Path, name: str) -> str | None:
    """The stamp that a guard has left under a name."""
    import lance

    if not (folder / f"{STAMPS}.lance").is_dir():
        return None
    rows = lance.dataset(str(folder / f"{STAMPS}.lance")).to_table().to_pylist()
    return next((row["stamp"] for row in rows if row["collection"] == name), None)


def _tables(where: str) -> list[str]:
    return [path.stem for path in Path(where).expanduser().glob("*.lance")]


class LanceConnectorKind:
    """`lancedb:PATH#table`."""

    form, texts_beside = "lancedb:PATH#table", False

    def claims(self, _place: str) -> bool:
        return False  # a folder says nothing of what is in it

    def open(self, place: str, options: OpenOptions) -> Connector:
        folder, table = split_at_hash(place, "lancedb", "table", _tables)
        return ArrowConnector(LanceColumns(Path(folder).expanduser(), table, options.vector), options.vector)
