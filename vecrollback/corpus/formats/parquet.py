"""Parquet: one document a row, nested values included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from vecrollback.corpus.formats.lines import unreadable
from vecrollback.corpus.formats.rows import Raw, ReadOptions, check_columns
from vecrollback.records import Json

# Few: a batch is converted as a whole, and one document may be megabytes long.
_BATCH_ROWS = 256

_VECTOR = 32
"""Numbers from which a list of one length in every row is a vector, and no list of a few measurements."""


def read_parquet(source: Path, fields: ReadOptions) -> Iterator[Raw]:
    """Yield each row; a null is an absent field.

    Dates and times become ISO 8601 strings, durations seconds, decimals numbers where a float holds them exactly and
    strings where not. A column of vectors is left out: it is no metadata, and made by a model that nobody knows here.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(source) as file:
            check_columns(file.schema_arrow.names, fields, source)
            vectors = _vector_columns(file, fields)
            fields.left_out.update(f"column {name!r} of vectors" for name in vectors)
            kept = [name for name in file.schema_arrow.names if name not in vectors]
            for batch in file.iter_batches(_BATCH_ROWS, columns=kept):
                for row in _rows(batch):
                    number += 1
                    yield number, row
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:  # a name of a column may be no text
        raise unreadable(source, error, line=number) from error


def _vector_columns(file: Any, options: ReadOptions) -> list[str]:
    """Columns whose cells are lists of many numbers, all of one length as far as the first rows tell."""
    import pyarrow as pa

    columns = [field.name for field in file.schema_arrow if _holds_floats(pa, field.type)]
    named = {options.id_name(file.schema_arrow.names), options.text_name, "metadata"}
    columns = [name for name in columns if name not in named]
    if not columns:
        return []
    first = next(file.iter_batches(_BATCH_ROWS, columns=columns), None)
    rows = first.to_pylist() if first is not None else []
    lengths = {name: {len(row[name]) for row in rows if row[name] is not None} for name in columns}
    return [name for name in columns if len(lengths[name]) == 1 and min(lengths[name]) >= _VECTOR]


def _holds_floats(pa: Any, kind: Any) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and pa.types.is_floating(kind.value_type)


def _rows(batch: Any) -> list[dict[str, Json] | str]:
    """Convert a batch; when a value in it has no Python counterpart, row by row to find the one."""
    try:
        return [_fields(row) for row in batch.to_pylist(maps_as_pydicts="strict")]
    except (ValueError, KeyError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"a value cannot be read: {error}"]
        return [row for at in range(batch.num_rows) for row in _rows(batch.slice(at, 1))]


def _fields(row: dict[str, Any]) -> dict[str, Json]:
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: Any) -> Json:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Json:
    """Convert what JSON lacks; bytes stay, and are refused with the document."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        # A number only if it reads back as the same decimal; JSON has nothing exact.
        number = float(value)
        return number if Decimal(repr(number)) == value else str(value)
    return value
