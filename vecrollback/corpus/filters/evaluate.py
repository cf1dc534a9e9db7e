"""Which documents a filter matches: Arrow's comparisons over the columns it names, batch by batch.

Three values, as in SQL: a comparison with a key that a document lacks is null, and null matches nothing. Values of
different types are unequal and in no order. No planner and no expression language between: a term is one call.

A column holds the values of one type; what else stands under a key is read from the metadata of those rows alone that
have the key there and nothing in the column.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.columns import column_name
from vecrollback.corpus.filters.conditions import (
    DOCUMENT_ID,
    All,
    Condition,
    EmptyList,
    KeyComparison,
    Leaf,
    Like,
    ListHolds,
    Missing,
    Not,
    OneOf,
    Some,
    Value,
    bad_filter,
    kind_of,
    leaves,
)
from vecrollback.records import Json, key_parts

_COMPARE: dict[str, tuple[Any, Callable[[Any, Any], bool]]] = {
    "=": (pc.equal, operator.eq),
    "!=": (pc.not_equal, operator.ne),
    "<": (pc.less, operator.lt),
    "<=": (pc.less_equal, operator.le),
    ">": (pc.greater, operator.gt),
    ">=": (pc.greater_equal, operator.ge),
}
_BESIDE_HIGHER = {"<": "<", "<=": "<", ">": ">=", ">=": ">="}
_BESIDE_LOWER = {"<": "<=", "<=": "<=", ">": ">", ">=": ">"}
_ABSENT = None
"""What JSON calls null counts as missing."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_VALUE = rf'(?P<value>{_STRING}|\[(?:[^\[\]"]|{_STRING})*\]|[^,}}"\[{{]+)'
"""A value of JSON as it is written without spaces: a string, a list without lists in it, or a plain word."""


class OtherValues(NamedTuple):
    """What stands under a key in the metadata alone: of the rows of `mask`, each value once, and which each row has."""

    mask: pa.BooleanArray
    values: list[Json]
    indices: pa.Array

    def decided(self, decisions: Sequence[bool | None]) -> pa.BooleanArray:
        """The decision for each row of the mask, from those for each value."""
        return pa.array(decisions, pa.bool_()).take(self.indices)


class FilteredRows:
    """A batch of rows as a filter sees it.

    Args:
        rows: With `id` and the columns of `columns_of`.
        asked: Rows whose outcome anybody asks for, shape (n,).
        metadata: Reads the metadata of these rows, as JSON.
    """

    def __init__(self, rows: pa.RecordBatch, asked: pa.BooleanArray, metadata: Callable[[], pa.Array]) -> None:
        self._rows, self._asked, self._read_metadata = rows, asked, metadata
        self._metadata: pa.Array | None = None
        self._elsewhere: dict[str, OtherValues | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, key: str) -> pa.Array:
        """What a column says of a key; null where that is nothing."""
        if key == DOCUMENT_ID:
            return pa.array([key_parts(one)[1] for one in self._rows["id"].to_pylist()], pa.string())
        name = column_name(key)
        return self._rows[name] if name in self._rows.schema.names else pa.nulls(len(self._rows), pa.string())

    def elsewhere(self, key: str) -> OtherValues | None:
        """What rows have under the key in their metadata alone; None for none."""
        if key == DOCUMENT_ID:
            return None
        if key not in self._elsewhere:
            self._elsewhere[key] = self._other_values(key)
        return self._elsewhere[key]

    def _other_values(self, key: str) -> OtherValues | None:
        # Documents are not read whole for rows that the columns decide.
        mask = pc.and_(pc.is_null(self.column(key)), self._asked)
        if not pc.any(mask).as_py():
            return None
        if self._metadata is None:
            self._metadata = self._read_metadata()
        written = f"{json.dumps(key, ensure_ascii=False)}:"
        mask = pc.and_(mask, pc.match_substring(self._metadata, written))
        if not pc.any(mask).as_py():
            return None
        objects = self._metadata.filter(mask)
        # Parsing 100,000 objects takes half a second. Where no object is inside another, the value is cut out instead,
        # and each is parsed once: an unescaped quote after a comma or the first brace begins a key of the object.
        flat = pc.equal(pc.count_substring(objects, "{"), 1)
        cut = pc.struct_field(pc.extract_regex(objects, f"[{{,]{re.escape(written)}{_VALUE}"), "value")
        encoded = pc.if_else(flat, cut, None).dictionary_encode()
        values: list[Json] = json.loads(f"[{','.join(encoded.dictionary.to_pylist())}]")
        indices = encoded.indices
        whole = pc.is_null(indices)
        if pc.any(whole).as_py():
            parsed: list[Json] = [json.loads(one).get(key, _ABSENT) for one in objects.filter(whole).to_pylist()]
            places = pa.array(range(len(values), len(values) + len(parsed)), pa.int32())
            indices, values = pc.replace_with_mask(indices, whole, places), values + parsed
        return OtherValues(mask, values, indices)


def columns_of(condition: Condition, schema: pa.Schema) -> list[str]:
    """The columns that the filter reads; keys that no document has are not among them."""
    names = (column_name(leaf.key) for leaf in leaves(condition) if leaf.key != DOCUMENT_ID)
    return list(dict.fromkeys(name for name in names if name in schema.names))


def matches(condition: Condition, rows: FilteredRows) -> pa.BooleanArray:
    """For each row whether it matches: true, false, or null where that depends on a key it lacks."""
    if isinstance(condition, Not):
        inner = matches(condition.condition, rows)
        return pc.invert(pc.fill_null(inner, False) if condition.null_safe else inner)
    if isinstance(condition, Leaf):
        return _leaf(condition, rows)
    combine = pc.and_kleene if isinstance(condition, All) else pc.or_kleene
    return reduce(combine, (matches(one, rows) for one in condition.conditions))


def matches_values(condition: Condition, value_of: Callable[[str], Json]) -> bool | None:
    """Whether one object matches: true, false, or None where that depends on a key it lacks.

    Args:
        condition: A filter.
        value_of: The object's value under a key, None where it has none.
    """
    if isinstance(condition, Not):
        inner = matches_values(condition.condition, value_of)
        if inner is None:
            return True if condition.null_safe else None
        return not inner
    if isinstance(condition, Leaf):
        return _leaf_of(condition, value_of(condition.key))
    outcomes = [matches_values(one, value_of) for one in condition.conditions]
    decisive = isinstance(condition, Some)
    if decisive in outcomes:
        return decisive
    return None if None in outcomes else not decisive


def _leaf_of(leaf: Leaf, value: Json) -> bool | None:
    if not isinstance(leaf, Like):
        return _of_value(leaf, value)
    if not isinstance(value, str):
        return _of_other_type(value, False)
    return bool(_like(leaf, pa.array([value]))[0].as_py())


def _leaf(leaf: Leaf, rows: FilteredRows) -> pa.BooleanArray:
    outcome = _in_column(leaf, rows.column(leaf.key))
    if (elsewhere := rows.elsewhere(leaf.key)) is None:
        return outcome
    values = elsewhere.values
    if isinstance(leaf, Like):  # never a pattern of Python's: Arrow's takes time by the text alone, whatever it is
        strings = pa.array([value if isinstance(value, str) else None for value in values], pa.string())
        matched = _like(leaf, strings).to_pylist()
        decided = [m if isinstance(v, str) else _of_other_type(v, False) for m, v in zip(matched, values, strict=True)]
    else:
        decided = [_of_value(leaf, value) for value in values]
    return pc.replace_with_mask(outcome, elsewhere.mask, elsewhere.decided(decided))


# -- over a column ----------------------------------------------------------------------------------------------------


def _in_column(leaf: Leaf, column: pa.Array) -> pa.BooleanArray:
    if isinstance(leaf, Missing):
        return pc.is_null(column)
    kind = _kind(column.type)
    if isinstance(leaf, KeyComparison):
        if kind_of(leaf.value) != kind:
            return _everywhere(leaf.operator == "!=", column)
        return _compared(leaf.operator, leaf.value, column)
    if isinstance(leaf, Like):
        return _like(leaf, column) if kind == "string" else _everywhere(False, column)
    if isinstance(leaf, ListHolds | EmptyList):
        return _everywhere(False, column)  # a column holds no lists
    values = [_in_columns(value) for value in leaf.values if kind_of(value) == kind and not _is_inexact(value)]
    if any(value == 0 for value in values) and kind == "number":
        values += [0.0, -0.0]  # Arrow tells one from the other
    return pc.if_else(pc.is_valid(column), pc.is_in(column, value_set=pa.array(values, column.type)), None)


def _compared(sign: str, value: Value, column: pa.Array) -> pa.BooleanArray:
    """A column of the value's own type compared with it; an integer that no double equals with the doubles beside."""
    if _is_inexact(value):
        if sign in ("=", "!="):
            return _everywhere(sign == "!=", column)
        # Between it and the nearest double lies no other, so only that double's side matters.
        nearest = float(value)
        sign = _BESIDE_HIGHER[sign] if nearest > value else _BESIDE_LOWER[sign]
        value = nearest
    return _COMPARE[sign][0](column, pa.scalar(_in_columns(value), column.type))


def _everywhere(outcome: bool, column: pa.Array) -> pa.BooleanArray:
    """Say so of every row that has a value."""
    return pc.if_else(pc.is_valid(column), outcome, None)


def _like(leaf: Like, column: pa.Array) -> pa.BooleanArray:
    try:
        return pc.match_like(column, leaf.pattern, ignore_case=leaf.ignore_case)
    except pa.ArrowInvalid as error:  # its automaton is bounded in memory
        raise bad_filter(leaf.at, f"the pattern cannot be used: {str(error)[:100]}", "write a shorter one") from error


def _in_columns(value: Value) -> str | float | bool:
    """The value as a column holds it: numbers are doubles."""
    return float(value) if type(value) is int else value


def _is_inexact(value: Value) -> TypeGuard[int]:
    """Whether it is an integer that no double equals."""
    return type(value) is int and int(float(value)) != value


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "boolean"
    return "number" if pa.types.is_floating(type_) else "string"


# -- over one value of JSON -------------------------------------------------------------------------------------------


def _of_value(leaf: KeyComparison | OneOf | Missing | ListHolds | EmptyList, value: Json) -> bool | None:
    if isinstance(leaf, Missing):
        return value is _ABSENT
    if value is _ABSENT:
        return None
    if isinstance(leaf, EmptyList | ListHolds):
        return isinstance(value, list) and _of_list(leaf, value)
    if isinstance(leaf, OneOf):
        return any(_same(value, wanted) for wanted in leaf.values)
    if not _is_plain(value) or kind_of(value) != kind_of(leaf.value):
        return leaf.operator == "!="
    return _COMPARE[leaf.operator][1](value, leaf.value)


def _of_list(leaf: ListHolds | EmptyList, value: list[Json]) -> bool:
    if isinstance(leaf, EmptyList):
        return not value
    return leaf.quantifier(any(_same(one, wanted) for one in value) for wanted in leaf.values)


def _of_other_type(value: Json, outcome: bool) -> bool | None:
    return None if value is _ABSENT else outcome


def _same(value: Json, wanted: Value) -> bool:
    return _is_plain(value) and kind_of(value) == kind_of(wanted) and bool(value == wanted)


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | int | float)
