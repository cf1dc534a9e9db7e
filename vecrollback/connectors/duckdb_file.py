"""`duckdb:FILE#table`: a table or view of a DuckDB file with a column of numbers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from vecrollback.connectors.arrow_rows import ArrowConnector, MemoryColumns
from vecrollback.connectors.base import Connector, OpenOptions, named, split_at_hash
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.records import Metric

_METRICS: dict[str, Metric] = {"cosine": "cosine", "ip": "dot", "l2sq": "l2"}


def _read(path: Path, table: str) -> MemoryColumns:
    """All rows, in the order of the file; the file is opened for reading only."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependencyError("duckdb", "duckdb") from error
    place = f"duckdb:{path}#{table}"
    if not path.is_file():
        raise UsageError(f"{place}: there is no such file", hint="duckdb:FILE#table")
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise UsageError(f"{place}: it cannot be read: {error}", hint="is it open elsewhere?") from error
    with connection:
        names = [name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()]
        if table not in names:
            raise UsageError(f"{place}: there is no such table", hint=f"tables: {named(names)}")
        quoted = table.replace('"', '""')
        rows: pa.Table = connection.sql(f'SELECT * FROM "{quoted}"').to_arrow_table()
        statements = connection.execute("SELECT sql FROM duckdb_indexes() WHERE table_name = ?", [table]).fetchall()
    return MemoryColumns(place, rows, _metrics([str(text).lower() for (text,) in statements], rows.column_names))


def _metrics(statements: list[str], columns: list[str]) -> dict[str, Metric]:
    """By column, what an index of the extension vss says; nothing without one."""
    metrics: dict[str, Metric] = {}
    for text in (one for one in statements if "hnsw" in one):
        metric: Metric = next((metric for name, metric in _METRICS.items() if f"'{name}'" in text), "l2")
        metrics.update((name, metric) for name in columns if name.lower() in text)
    return metrics


def _tables(where: str) -> list[str]:
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependencyError("duckdb", "duckdb") from error
    path = Path(where).expanduser()
    if not path.is_file():
        raise UsageError(f"duckdb:{path}: there is no such file", hint="duckdb:FILE#table")
    with duckdb.connect(str(path), read_only=True) as connection:
        return [name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()]


class DuckdbKind:
    """`duckdb:FILE#table`."""

    form, texts_beside = "duckdb:FILE#table", False

    def claims(self, _place: str) -> bool:
        return False  # a file says nothing of the table that is meant

    def open(self, place: str, options: OpenOptions) -> Connector:
        path, table = split_at_hash(place, "duckdb", "table", _tables)
        return ArrowConnector(_read(Path(path).expanduser(), table), options.vector)
