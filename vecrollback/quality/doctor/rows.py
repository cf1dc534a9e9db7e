"""What the fields of a row mean: id, text, the recorded model, ingest batch and time, and everything else."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from vecrollback.connectors.base import Record
from vecrollback.quality.purity.contracts import KEYS, recorded_model
from vecrollback.records import Json

ID_NAMES = ("id", "_id", "uuid", "doc_id", "chunk_id", "langchain_id", "id_", "node_id", "rowid")
TEXT_NAMES = ("text", "document", "content", "page_content", "pageContent", "chunk", "body")
BATCH_NAMES = ("ingest_batch", "batch", "batch_id", "ingest_id", "job_id", "run_id")
TIME_NAMES = ("embedded_at", "indexed_at", "ingested_at", "inserted_at", "updated_at", "created_at", "timestamp")
NESTED = (
    "metadata",
    "meta",
    "cmetadata",
    "vmetadata",
    "metadata_",
    "langchain_metadata",
    "payload",
    "properties",
    "_source",
    "fields",
)
"""Fields that hold other fields: as an object, or as JSON in a string."""
TELLING = frozenset((*KEYS, *BATCH_NAMES, *TIME_NAMES, *NESTED))
"""Fields that say something of where a row came from."""

_MILLISECONDS = 1e11
"""A number above this cannot be a time in seconds since 1970."""


def value_of(record: Record, name: str | None) -> Any:
    """A field by name, or by a path into nested ones: `metadata.source`."""
    if name is None or name in record:
        return record.get(name) if name else None
    first, dot, rest = name.partition(".")
    inner = inner_of(record, first) if dot else None
    return value_of(dict(inner), rest) if inner is not None else None


def inner_of(record: Record, name: str) -> Mapping[str, Any] | None:
    """The object in a field, also where it is JSON in a string; None for anything else."""
    value = record.get(name)
    if isinstance(value, str) and value.startswith("{") and name in NESTED:
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def flat(record: Record) -> dict[str, Any]:
    """The fields of a row, with those of its nested ones beside them."""
    fields = dict(record)
    for name in NESTED:
        if (inner := inner_of(record, name)) is not None:
            fields = {**inner, **fields}
    return fields


def usual(record: Record, names: Sequence[str]) -> Any:
    """The first of these fields that says something, here or in the nested metadata; None when none does."""
    places = [record, *(inner for name in NESTED if (inner := inner_of(record, name)) is not None)]
    values = (place[name] for name in names for place in places if name in place)
    return next((value for value in values if value is not None and value != ""), None)


def model_of(record: Record) -> str | None:
    """The model that the row names."""
    inners = (inner_of(record, name) for name in NESTED)
    return recorded_model(record) or next((found for inner in inners if (found := recorded_model(inner))), None)


def id_of(record: Record, name: str | None, row: int) -> str:
    """The id as a string; a row without one is called by its number."""
    if name is None:
        return str(row)
    value = value_of(record, name)
    return f"#{row}" if value is None else str(value)


def text_of(record: Record, name: str | None) -> str | None:
    value = value_of(record, name)
    return value if isinstance(value, str) else None


def seconds_of(record: Record) -> float:
    """When the row says that it was written, in unix seconds; NaN when it does not."""
    value = usual(record, TIME_NAMES)
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return math.nan
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = float(value)
        return number / 1000 if number > _MILLISECONDS else number
    return math.nan


def metadata_of(record: Record, used: Sequence[str | None]) -> dict[str, Json]:
    """Everything else, as JSON holds it; nested metadata is merged in. A null is an absent field."""
    fields = {name: value for name, value in record.items() if name not in used}
    for name in NESTED:
        if (inner := inner_of(fields, name)) is not None:
            del fields[name]
            fields |= {key: value for key, value in inner.items() if f"{name}.{key}" not in used}
    return {str(name): held for name, value in fields.items() if (held := plain(value)) is not None}


def plain(value: Any) -> Json:
    """A value as JSON holds it; None for what JSON has no right spelling of."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else _spell(value)


def _spell(value: Any) -> Json:
    """What JSON lacks. Bytes have no right spelling and are left out."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return str(value) if isinstance(value, UUID) else None
