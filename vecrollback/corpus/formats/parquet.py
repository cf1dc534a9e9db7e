"""Parquet: one document a row, nested values included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from vecrollback.corpus.formats.lines import unreadable
from vecrollback.corpus.formats.rows import Raw, RowFields, check_columns
from vecrollback.records import Json

# Few: a batch is converted as a whole, and one document may be megabytes long.
_BATCH_ROWS = 256


def read_parquet(source: Path, fields: RowFields) -> Iterator[Raw]:
    """Yield each row; a null is an absent field.

    Dates and times become ISO 8601 strings, durations seconds, decimals numbers where a float holds them exactly and
    strings where not.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(source) as file:
            check_columns(file.schema_arrow.names, fields, source)
            for batch in file.iter_batches(_BATCH_ROWS):
                for row in _rows(batch):
                    number += 1
                    yield number, row
    except (OSError, pa.ArrowException) as error:
        raise unreadable(source, error, line=number) from error


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
