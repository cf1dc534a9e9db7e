"""LlamaIndex's filters in the store's own spelling."""

from __future__ import annotations

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from vecrollback.errors import BadFilterError
from vecrollback.integrations.llama_index.conversion import REF
from vecrollback.records import Json

_OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains",
    FilterOperator.ANY: "$any",
    FilterOperator.ALL: "$all",
}
_LIKE = {FilterOperator.TEXT_MATCH: "$like", FilterOperator.TEXT_MATCH_INSENSITIVE: "$ilike"}

_OF_THE_PAGE = ("doc_id", "document_id")
"""Names that LlamaIndex gives, in every vector store, to what it calls `ref_doc_id` as well."""


def to_where(filters: MetadataFilters | None) -> dict[str, Json] | None:
    """A filter as data; None where nothing is filtered.

    As in LlamaIndex, NOT means that none of the filters matches, and a document without the key matches `!=` and `nin`.

    Example:
        >>> to_where(MetadataFilters(filters=[MetadataFilter(key="year", value=2024, operator=FilterOperator.GTE)]))
        {'year': {'$gte': 2024}}
    """
    if filters is None or not filters.filters:
        return None
    conditions = [_condition(one) for one in filters.filters]
    if filters.condition == FilterCondition.NOT:
        return {"$not": {"$or": conditions}}
    if len(conditions) == 1:
        return conditions[0]
    return {"$or" if filters.condition == FilterCondition.OR else "$and": conditions}


def _condition(one: MetadataFilter | MetadataFilters) -> dict[str, Json]:
    if isinstance(one, MetadataFilters):
        return to_where(one) or {}
    if one.key in _OF_THE_PAGE:
        one = one.model_copy(update={"key": REF})
    if one.operator == FilterOperator.IS_EMPTY:
        return {"$or": [{one.key: {"$exists": False}}, {one.key: ""}, {one.key: {"$eq": []}}]}
    if one.value is None:  # LlamaIndex's own store lets `==` match nothing, and `!=` everything
        raise BadFilterError(
            f"{one.key!r} {one.operator.value} None: no value is compared with None",
            hint="FilterOperator.IS_EMPTY asks for nodes without a value",
        )
    if one.operator in _LIKE:
        text = str(one.value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return {one.key: {_LIKE[one.operator]: f"%{text}%"}}
    return {one.key: {_OPERATORS[one.operator]: one.value}}
