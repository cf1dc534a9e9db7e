"""Haystack's filters in the store's own spelling."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from haystack.errors import FilterError

from vecrollback.records import Json

_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_TOGETHER = {"AND": "$and", "OR": "$or"}
_NOTHING: dict[str, Json] = {"$in": []}
"""The condition of a key that no document meets."""


def to_where(filters: Mapping[str, Any] | None) -> dict[str, Json] | None:
    """A filter as data; None where nothing is filtered.

    Args:
        filters: Comparisons (`field`, `operator`, `value`) and logic (`operator`, `conditions`), nested. A field is
            `meta.KEY`, `KEY` or `id`.

    Raises:
        FilterError: It is not a filter of Haystack, or compares what has no order.

    Example:
        >>> to_where({"field": "meta.year", "operator": ">=", "value": 2024})
        {'year': {'$gte': 2024}}
    """
    return _condition(filters) if filters else None


def _condition(filters: Mapping[str, Any]) -> dict[str, Json]:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter is a dictionary, not a {type(filters).__name__}")
    if "field" in filters:
        return {_key(filters["field"]): _comparison(filters)}
    if "operator" not in filters:
        raise FilterError(f"'operator' key missing in {dict(filters)}")
    if "conditions" not in filters:
        raise FilterError(f"'conditions' key missing in {dict(filters)}")
    operator, conditions = filters["operator"], [_condition(one) for one in filters["conditions"]]
    if not conditions:
        raise FilterError(f"{operator} without conditions")
    if operator == "NOT":  # not all of them
        return {"$not": {"$and": conditions}}
    if operator not in _TOGETHER:
        raise FilterError(f"{operator!r} is not a valid logical operator; use AND, OR or NOT")
    return {_TOGETHER[operator]: conditions}


def _comparison(filters: Mapping[str, Any]) -> dict[str, Json]:
    for name in ("operator", "value"):
        if name not in filters:
            raise FilterError(f"'{name}' key missing in {dict(filters)}")
    operator, value = filters["operator"], filters["value"]
    if operator in ("==", "!="):
        if value is None:
            return {"$exists": operator == "!="}
        return {"$eq" if operator == "==" else "$ne": _plain(value)}
    if operator in _ORDER:
        return _NOTHING if value is None else {_ORDER[operator]: _ordered(value)}
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise FilterError(f"'{operator}' takes a list, not a {type(value).__name__}")
        return {"$in" if operator == "in" else "$nin": [_plain(one) for one in value]}
    raise FilterError(f"{operator!r} is not a valid comparison operator; use ==, !=, >, >=, <, <=, in or not in")


def _key(field: object) -> str:
    if not isinstance(field, str):
        raise FilterError(f"a field is a string, not a {type(field).__name__}")
    return "$id" if field == "id" else field.removeprefix("meta.")


def _ordered(value: Any) -> Json:
    """The value, where it has an order. Strings have one as dates: ISO 8601, in the form that the documents use."""
    if isinstance(value, str):
        try:
            dt.datetime.fromisoformat(value)
        except ValueError:
            raise FilterError(f"{value!r} has no order: a string is compared as an ISO 8601 date") from None
        return value
    if isinstance(value, bool | list | dict):
        raise FilterError(f"a {type(value).__name__} has no order")
    return _plain(value)


def _plain(value: Any) -> Json:
    return value.isoformat() if isinstance(value, dt.datetime | dt.date) else value
