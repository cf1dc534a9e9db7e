"""Filters as data: `{"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}, "$or": [...]}`.

A key with a plain value must equal it; several keys, and several operators of one key, must all hold. `$ne`, `$nin`
and `$not` are the exact opposites of `$eq`, `$in` and what they hold: they match documents that lack the key.
`$contains`, `$any` and `$all` are about values that are lists; the one list that `$eq` and `$ne` take is the empty one.
`$id` stands for the document's own id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from vecrollback.corpus.filters.conditions import (
    DOCUMENT_ID,
    All,
    Budget,
    Condition,
    EmptyList,
    KeyComparison,
    Like,
    ListHolds,
    Missing,
    Not,
    OneOf,
    Some,
    Value,
    bad_filter,
    check_comparison,
    check_key,
    check_number,
    check_string,
)
from vecrollback.records import Json

_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPPOSITES = {"$ne": "$eq", "$nin": "$in"}
_IN_LISTS = {"$contains": all, "$any": any, "$all": all}
_PATTERNS = {"$like": False, "$ilike": True}
_OF_KEYS = ("$eq", "$ne", *_ORDER, "$in", "$nin", *_IN_LISTS, *_PATTERNS, "$exists", "$not")
_TOGETHER = ("$and", "$or", "$not")
_EXAMPLE = '{"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}}'


def read_data(text: str) -> Condition:
    """The tree of a filter written as JSON. Raises BadFilterError with the path, fact and cure."""
    try:
        # Python's own integers have a limit of digits, and its error is a ValueError too.
        data = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise bad_filter("", "nested too deep", "write it with fewer levels") from None
    except ValueError as error:
        raise bad_filter("", f"not valid JSON: {error}", _EXAMPLE) from None
    return _DataReader().object(data, "", 0)


class _DataReader:
    def __init__(self) -> None:
        self._budget = Budget()

    def object(self, data: Json, path: str, depth: int) -> Condition:
        self._budget.depth(depth, path)
        if not isinstance(data, Mapping) or not data:
            raise bad_filter(path, "expected an object with at least one key", _EXAMPLE)
        return _all([self._entry(key, value, f"{path}[{_short(key)}]", depth) for key, value in data.items()])

    def _entry(self, key: str, value: Json, path: str, depth: int) -> Condition:
        if key == "$not":
            return Not(self.object(value, path, depth + 1), null_safe=True)
        if key in _TOGETHER:
            if not isinstance(value, list) or not value:
                raise bad_filter(path, f"{key} takes a list of filters", f'{{"{key}": [{_EXAMPLE}]}}')
            members = [self.object(one, f"{path}[{number}]", depth + 1) for number, one in enumerate(value)]
            return _all(members) if key == "$and" else Some(tuple(members))
        if key.startswith("$") and key != DOCUMENT_ID:
            hint = f"use {', '.join(_TOGETHER)}, or {DOCUMENT_ID} for the document's own id"
            raise bad_filter(path, f"{_short(key)} is not a valid operator here", hint)
        return self._key(check_key(key, path), value, path, depth)

    def _key(self, key: str, wanted: Json, path: str, depth: int) -> Condition:
        self._budget.depth(depth, path)
        if not isinstance(wanted, Mapping):
            return self._equal(key, wanted, path)
        if not wanted:
            raise bad_filter(path, "expected a value, or an operator", '{"$exists": true} for any value')
        names = wanted.items()
        return _all([self._operator(key, name, value, f"{path}[{_short(name)}]", depth) for name, value in names])

    def _operator(self, key: str, name: str, value: Json, path: str, depth: int) -> Condition:
        if name in _OPPOSITES:
            return Not(self._operator(key, _OPPOSITES[name], value, path, depth), null_safe=True)
        if name in _ORDER:
            self._budget.term(path)
            return check_comparison(KeyComparison(key, _ORDER[name], self._value(value, path), path))
        if name == "$not":
            return Not(self._key(key, value, path, depth + 1), null_safe=True)
        if name in _IN_LISTS:
            return self._in_list(key, name, value, path)
        if name in _PATTERNS:
            self._budget.term(path)
            if not isinstance(value, str):
                raise bad_filter(path, f"{name} takes a pattern", f'{{"title": {{"{name}": "Annual%"}}}}')
            return Like(key, self._budget.pattern(check_string(value, path), path), _PATTERNS[name], path)
        read = {"$eq": self._equal_or_empty, "$in": self._one_of, "$exists": self._exists}.get(name)
        if read is None:
            raise bad_filter(path, f"{_short(name)} is not a valid operator", f"use one of {', '.join(_OF_KEYS)}")
        return read(key, value, path)

    def _equal(self, key: str, value: Json, path: str) -> Condition:
        self._budget.term(path)
        return Missing(key, path) if value is None else KeyComparison(key, "=", self._value(value, path), path)

    def _equal_or_empty(self, key: str, value: Json, path: str) -> Condition:
        if value == []:
            self._budget.term(path)
            return EmptyList(key, path)
        return self._equal(key, value, path)

    def _exists(self, key: str, value: Json, path: str) -> Condition:
        self._budget.term(path)
        if not isinstance(value, bool):
            raise bad_filter(path, "$exists takes true or false", '{"year": {"$exists": false}}')
        return Not(Missing(key, path), null_safe=True) if value else Missing(key, path)

    def _one_of(self, key: str, wanted: Json, path: str) -> Condition:
        self._budget.term(path)
        if not isinstance(wanted, list):
            raise bad_filter(path, "$in and $nin take a list of values", '{"lang": {"$in": ["en", "de"]}}')
        values = tuple(self._value(one, path) for one in wanted if one is not None)
        condition = OneOf(key, values, path)
        return Some((condition, Missing(key, path))) if None in wanted else condition

    def _in_list(self, key: str, name: str, wanted: Json, path: str) -> Condition:
        """`$contains` one value, `$any` or `$all` of several."""
        self._budget.term(path)
        if name == "$contains":
            return ListHolds(key, (self._value(wanted, path),), all, path)
        if not isinstance(wanted, list):
            raise bad_filter(path, f"{name} takes a list of values", f'{{"tags": {{"{name}": ["a", "b"]}}}}')
        return ListHolds(key, tuple(self._value(one, path) for one in wanted), _IN_LISTS[name], path)

    def _value(self, value: Json, path: str) -> Value:
        self._budget.value(path)
        if isinstance(value, str):
            return check_string(value, path)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return check_number(value, path)
        if value is None:
            raise bad_filter(path, "null has no order", '{"$exists": false} for documents that lack the key')
        raise bad_filter(path, "expected a string, a number, true or false", '{"$in": [...]} for one of several values')


def _all(conditions: list[Condition]) -> Condition:
    return All(tuple(conditions)) if len(conditions) > 1 else conditions[0]


def _short(key: str) -> str:
    return repr(key) if len(key) <= 40 else f"{key[:40]!r}..."


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")
