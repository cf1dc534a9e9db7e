"""Which documents a filter matches: Arrow's comparisons over the columns it names, batch by batch.

Three values, as in SQL: a comparison with a key that a document lacks is null, and null matches nothing. No planner
and no expression language between: a term is one call.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.filters.conditions import (
    KINDS,
    All,
    Condition,
    KeyComparison,
    Leaf,
    Like,
    Missing,
    Not,
    OneOf,
    Value,
    bad_filter,
    leaves,
)

_COMPARE: dict[str, Any] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_PLURAL = {"string": "strings", "number": "numbers", "boolean": "true or false"}
_SAMPLE = {"string": "'2020'", "number": "2020", "boolean": "true"}


def columns_of(condition: Condition, schema: pa.Schema) -> list[str]:
    """The columns that the filter reads; keys that no document has are not among them.

    Raises BadFilterError for a value of another type than the key's.
    """
    names: dict[str, None] = {}
    for leaf in leaves(condition):
        if leaf.key in schema.names:
            names[leaf.key] = None
            _check_type(leaf, _kind(schema.field(leaf.key).type))
    return list(names)


def matches(condition: Condition, rows: pa.RecordBatch) -> pa.BooleanArray:
    """For each row whether it matches: true, false, or null where that depends on a key it lacks."""
    if isinstance(condition, Not):
        inner = matches(condition.condition, rows)
        return pc.invert(pc.fill_null(inner, False) if condition.null_safe else inner)
    if isinstance(condition, Leaf):
        return _leaf(condition, rows)
    combine = pc.and_kleene if isinstance(condition, All) else pc.or_kleene
    return reduce(combine, (matches(one, rows) for one in condition.conditions))


def _leaf(leaf: Leaf, rows: pa.RecordBatch) -> pa.BooleanArray:
    if leaf.key not in rows.schema.names:
        return pa.array([True] * len(rows)) if isinstance(leaf, Missing) else pa.nulls(len(rows), pa.bool_())
    column = rows[leaf.key]
    if isinstance(leaf, Missing):
        return pc.is_null(column)
    if isinstance(leaf, KeyComparison):
        return _COMPARE[leaf.operator](column, pa.scalar(leaf.value, column.type))
    if isinstance(leaf, Like):
        return _like(leaf, column)
    values = [*leaf.values, *(-0.0 for value in leaf.values if value == 0 and isinstance(value, float))]
    values += [0.0 for value in leaf.values if value == 0 and isinstance(value, float)]  # Arrow tells it from -0.0
    return pc.if_else(pc.is_valid(column), pc.is_in(column, value_set=pa.array(values, column.type)), None)


def _like(leaf: Like, column: pa.Array) -> pa.BooleanArray:
    try:
        return pc.match_like(column, leaf.pattern, ignore_case=leaf.ignore_case)
    except pa.ArrowInvalid as error:  # its automaton is bounded in memory
        raise bad_filter(leaf.at, f"the pattern cannot be used: {str(error)[:100]}", "write a shorter one") from error


def _check_type(leaf: Leaf, kind: str) -> None:
    for value in _values(leaf):
        if KINDS[type(value)] != kind:
            raise bad_filter(
                leaf.at,
                f"{leaf.key!r} holds {_PLURAL[kind]}, and {str(value)[:60]!r} is a {KINDS[type(value)]}",
                f"compare it with a {kind}, such as {_SAMPLE[kind]}",
            )


def _values(leaf: Leaf) -> tuple[Value, ...]:
    if isinstance(leaf, KeyComparison):
        return (leaf.value,)
    if isinstance(leaf, OneOf):
        return leaf.values[:1]  # they are of one kind
    return (leaf.pattern,) if isinstance(leaf, Like) else ()


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "boolean"
    return "number" if pa.types.is_floating(type_) or pa.types.is_integer(type_) else "string"
