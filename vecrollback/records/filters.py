"""What a `where` may be, and its one form as text."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from vecrollback.errors import BadFilterError
from vecrollback.records.documents import Json

Where = str | Mapping[str, Json]
"""A filter over the metadata: SQL, or data such as `{"year": {"$gte": 2020}}`."""

_EXAMPLE = 'pass SQL such as "year >= 2020", or data such as {"year": {"$gte": 2020}}'


def where_text(where: Where | None) -> str | None:
    """A filter as one string, which can be compared, kept as a key and sent; None where nothing is filtered.

    Data becomes its JSON, which begins with a brace, as no SQL does. Dates and times become ISO 8601 strings, scalars
    of NumPy plain numbers. Raises BadFilterError for what cannot be written as JSON.
    """
    if not where:
        return None
    if isinstance(where, str):
        return where
    if not isinstance(where, Mapping):
        raise BadFilterError(f"where: {type(where).__name__} is not a valid filter", hint=_EXAMPLE)
    try:
        return json.dumps(where, sort_keys=True, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadFilterError(f"where: the filter cannot be written as JSON: {error}", hint=_EXAMPLE) from None


def _plain(value: object) -> Json:
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__}")
