"""Haystack's filters in the store's own spelling, as far as it answers what Haystack's own store would.

What `haystack.utils.filters.document_matches_filter` says is what a filter means. The store compares the plain values
of one key. So it cannot say what is about a key inside another, the text of a document or a list, and it compares dates
as strings: that is the order of time where all of them are written in one form, and only there.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from haystack.dataclasses import Document as HaystackDocument
from haystack.errors import FilterError

from vecrollback.integrations.haystack.conversion import REST
from vecrollback.records import Json

Condition = dict[str, Json]

_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_EVERY: Condition = {"$not": {"$id": {"$in": []}}}
_NONE: Condition = {"$id": {"$in": []}}
_FIELDS = {field.name for field in fields(HaystackDocument)}
_ANY_DATE = "____-__-__%"
_LIKE_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ].*)?", re.DOTALL)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d(?:[Tt ]\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?)?)([Zz]|[+-]\d\d(?::?\d\d)?)?")


class UnanswerableFilterError(FilterError):
    """The store cannot answer this filter as Haystack's own would. `fact` says what in it."""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@dataclass(frozen=True, slots=True)
class StoreFilter:
    """A filter as the store takes it.

    Attributes:
        where: The filter as data; None where nothing is filtered.
        unclear: What is true of documents about which the store may say something else than Haystack: they hold a date
            in another form than the filter, say. None where there can be none.
        doubt: What is unclear about them, in words.
    """

    where: Condition | None
    unclear: Condition | None = None
    doubt: str = ""


def to_store_filter(filters: Mapping[str, Any] | None) -> StoreFilter:
    """A filter of Haystack in the store's spelling.

    Args:
        filters: Comparisons (`field`, `operator`, `value`) and logic (`operator`, `conditions`), nested. A field is
            `meta.KEY`, `KEY` or `id`.

    Raises:
        UnanswerableFilterError: The store cannot answer it as Haystack's own would.
        FilterError: It is not a filter of Haystack, or compares what has no order.

    Example:
        >>> to_store_filter({"field": "meta.year", "operator": ">=", "value": 2024}).where
        {'year': {'$gte': 2024}}
    """
    if not filters:
        return StoreFilter(None)
    reader = _FilterReader()
    where = reader.condition(filters, negated=False)
    doubts, unclear = zip(*reader.unclear.values(), strict=True) if reader.unclear else ((), ())
    return StoreFilter(None if where is _EVERY else where, _some(unclear), "; ".join(dict.fromkeys(doubts)))


def with_plain_values(filters: Any) -> Any:
    """The same filter as JSON has it: dates and times are ISO 8601 strings, as in documents, and numbers plain ones."""
    if isinstance(filters, Mapping):
        return {key: with_plain_values(value) for key, value in filters.items()}
    if isinstance(filters, list):
        return [with_plain_values(one) for one in filters]
    if isinstance(filters, np.generic):
        return filters.item()
    return filters.isoformat() if isinstance(filters, dt.date) else filters  # a datetime is a date


class _FilterReader:
    """Reads one filter, and notes in `unclear` about which documents the store would be, each time with a doubt."""

    def __init__(self) -> None:
        self.unclear: dict[str, tuple[str, Condition]] = {}

    def condition(self, filters: Mapping[str, Any], *, negated: bool) -> Condition:
        if not isinstance(filters, Mapping):
            raise FilterError(f"a filter is a dictionary, not a {type(filters).__name__}")
        for name in ("operator", "value" if "field" in filters else "conditions"):
            if name not in filters:
                raise FilterError(f"'{name}' key missing in {dict(filters)}")
        if "field" in filters:
            return self._comparison(filters["field"], filters["operator"], with_plain_values(filters["value"]), negated)
        sign = filters["operator"]
        if sign not in ("AND", "OR", "NOT"):
            raise FilterError(f"{sign!r} is not a valid logical operator; use AND, OR or NOT")
        members = [self.condition(one, negated=negated or sign == "NOT") for one in filters["conditions"]]
        if sign == "NOT":  # not all of them
            return _opposite(_all(members))
        return _all(members) if sign == "AND" else _some(members) or _NONE

    def _comparison(self, field: object, sign: object, value: Json, negated: bool) -> Condition:
        if sign not in ("==", "!=", "in", "not in", *_ORDER):
            raise FilterError(f"{sign!r} is not a valid comparison operator; use ==, !=, >, >=, <, <=, in or not in")
        key = _key(field)
        if sign in ("in", "not in"):
            if not isinstance(value, list):
                raise FilterError(f"'{sign}' takes a list, not a {type(value).__name__}")
            values = [equal for one in value for equal in self._equals(key, one)]
            return {key: {"$in" if sign == "in" else "$nin": values}}
        if sign in _ORDER:
            return self._ordered(key, str(sign), value, negated)
        if value is None:
            return {key: {"$exists": sign == "!="}}
        first, *more = self._equals(key, value)
        if more:
            return {key: {"$in" if sign == "==" else "$nin": [first, *more]}}
        return {key: {"$eq" if sign == "==" else "$ne": first}}

    def _equals(self, key: str, value: Json) -> list[Json]:
        """The values that equal this one: to Python, and so to Haystack, True is 1."""
        if isinstance(value, list | tuple | dict | set):
            raise UnanswerableFilterError(f"{_shown(key)} is compared with a {type(value).__name__}")
        if isinstance(value, str) and _LIKE_DATE.fullmatch(value) and (_is_date(value) or _DATE.fullmatch(value)):
            self._note_other_dates(key, value, {key: {"$like": _ANY_DATE}})
        if isinstance(value, bool | int | float) and value in (0, 1):
            return [value, int(value) if isinstance(value, bool) else bool(value)]
        return [value]

    def _ordered(self, key: str, sign: str, value: Json, negated: bool) -> Condition:
        if value is None:
            return _NONE
        if isinstance(value, str):
            self._note_other_dates(key, value, {key: {"$exists": True}})
            return {key: {_ORDER[sign]: value}}
        if not isinstance(value, int | float):
            raise FilterError(f"a {type(value).__name__} has no order")
        if negated:  # of these Haystack says that they have no order; not that they are not in it
            kinds: list[Condition] = [{key: {"$gte": 0}}, {key: {"$lt": 0}}, {key: {"$in": [True, False]}}]
            doubt = f"documents hold something else than a number in {_shown(key)}"
            self._note(doubt, {"$and": [{key: {"$exists": True}}, {"$not": {"$or": kinds}}]})
        number = int(value) if isinstance(value, bool) else value
        compared: Condition = {key: {_ORDER[sign]: number}}
        flags: list[Json] = [flag for flag in (False, True) if _COMPARE[sign](flag, number)]
        return {"$or": [compared, {key: {"$in": flags}}]} if flags else compared

    def _note_other_dates(self, key: str, value: str, among: Condition) -> None:
        """Documents that hold a date in another form are unclear: their strings do not tell which is earlier."""
        if not _is_date(value):
            raise UnanswerableFilterError(f"{value!r} has no order: it is not an ISO 8601 date")
        found = _DATE.fullmatch(value)
        if found is None:
            raise UnanswerableFilterError(f"{value!r} is not written as YYYY-MM-DD, with or without THH:MM:SS")
        form = re.sub(r"\d", "_", found[1]) + (found[2] or "")
        doubt = f"documents hold {_shown(key)} in another form than {value!r}"
        self._note(doubt, {"$and": [among, {"$not": {key: {"$like": form}}}]})

    def _note(self, doubt: str, unclear: Condition) -> None:
        self.unclear.setdefault(repr(unclear), (doubt, unclear))


def _is_date(value: str) -> bool:
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _key(field: object) -> str:
    """The one key of the store's that Haystack would look at."""
    if not isinstance(field, str):
        raise FilterError(f"a field is a string, not a {type(field).__name__}")
    if field == "id":
        return "$id"
    root, dot, key = field.partition(".")
    if not dot and field not in _FIELDS:
        root, key = "meta", field
    if root == "meta" and "." in key:
        raise UnanswerableFilterError(f"{field!r} is a key inside another")
    if root != "meta" or not key or key.startswith("$") or key == REST:
        known = "a field of the document" if root in _FIELDS else "neither a field of a document nor under `meta.`"
        raise UnanswerableFilterError(f"{field!r} is {known}, not a key of its metadata")
    return key


def _shown(key: str) -> str:
    return repr("id" if key == "$id" else f"meta.{key}")


def _all(conditions: Sequence[Condition]) -> Condition:
    if any(one is _NONE for one in conditions):
        return _NONE
    rest: list[Json] = [one for one in conditions if one is not _EVERY]
    return {"$and": rest} if rest else _EVERY


def _some(conditions: Sequence[Condition]) -> Condition | None:
    """None of nothing at all."""
    if any(one is _EVERY for one in conditions):
        return _EVERY
    rest: list[Json] = [one for one in conditions if one is not _NONE]
    if rest:
        return {"$or": rest}
    return _NONE if conditions else None


def _opposite(condition: Condition) -> Condition:
    constant = {id(_EVERY): _NONE, id(_NONE): _EVERY}.get(id(condition))
    return constant if constant is not None else {"$not": condition}
