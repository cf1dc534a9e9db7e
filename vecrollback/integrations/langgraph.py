"""LangGraph's store, the memory of agents, over a store or a client. Needs the extra `langgraph`.

An item is a document: its value is kept whole, and the text of the fields that count is what the live pair embeds. So a
memory survives a change of the model, and a rollback of it, like every other document.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any

from vecrollback.errors import MissingDependencyError, UsageError

if find_spec("langgraph") is None or find_spec("langgraph.store") is None:
    raise MissingDependencyError("langgraph-checkpoint", "langgraph")

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from langgraph.store.base.embed import get_text_at_path, tokenize_path

from vecrollback.integrations.backend import Backend, read, remove
from vecrollback.integrations.writing import write
from vecrollback.records import Document, Json

_ITEM, _PREFIXES = "langgraph", "langgraph_prefixes"
"""Keys of the metadata: the item, and where it is. The value's own plain entries stand beside them, for filters."""

_AT_ONCE = 10_000
"""Hits of one query at most."""


class VecrollbackStore(BaseStore):
    """A `BaseStore` whose items are found by meaning, with the model of the pair that is live at that moment.

    What is put is found by the time the call returns. A search with a query finds the items that are indexed; one
    without lists all, by namespace and key.

    Args:
        store_or_client: An open `Store` or `Client`. It stays yours to close.
        namespace: The namespace of the documents, which has nothing to do with those of LangGraph. Nothing but items of
            this class should be in it.
        fields: Which parts of a value are embedded, as LangGraph writes paths; "$" is all of it.

    Example:
        >>> memory = VecrollbackStore(store, namespace="memory", fields=["text"])
        >>> memory.put(("users", "anna"), "drink", {"text": "Prefers green tea.", "sure": True})
        >>> [item.key for item in memory.search(("users",), query="which tea", filter={"sure": True})]
        ['drink']
    """

    __slots__ = ("_backend", "_fields", "_namespace")

    def __init__(
        self, store_or_client: Backend, *, namespace: str | None = None, fields: Sequence[str] = ("$",)
    ) -> None:
        self._backend, self._namespace, self._fields = store_or_client, namespace, tuple(fields)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r}, namespace={self._namespace!r}, fields={self._fields!r})"

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Answer what is asked, then write: all operations read the store as it was before this call.

        Args:
            ops: LangGraph's operations. Of two that put the same key the later one counts.

        Returns:
            A result for each: an item, items, namespaces, or None.

        Raises:
            UsageError: A filter compares a nested value.
        """
        asked = list(ops)
        items = self._items([(op.namespace, op.key) for op in asked if isinstance(op, GetOp)])
        results: list[Result] = []
        puts: dict[str, PutOp] = {}
        for op in asked:
            if isinstance(op, PutOp):
                puts[_id(op.namespace, op.key)] = op
                results.append(None)
            elif isinstance(op, GetOp):
                results.append(items.get(_id(op.namespace, op.key)))
            elif isinstance(op, SearchOp):
                results.append(self._search(op))
            else:
                results.append(self._list(op))
        self._write(puts)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """The same, on a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _items(self, places: Sequence[tuple[tuple[str, ...], str]]) -> dict[str, Item]:
        documents = read(self._backend, [_id(*place) for place in places], self._namespace) if places else []
        return {document.id: Item(**_facts(document.metadata)) for document in documents}

    def _search(self, op: SearchOp) -> list[SearchItem]:
        where = _where(op.namespace_prefix, op.filter)
        if op.query:
            count = min(op.offset + op.limit, _AT_ONCE)
            hits = self._backend.search(op.query, count, where, self._namespace).hits if count else []
            return [SearchItem(**_facts(hit.metadata), score=hit.score) for hit in hits[op.offset :]]
        documents = self._backend.documents(where, limit=op.offset + op.limit, namespace=self._namespace)
        return [SearchItem(**_facts(document.metadata)) for document in islice(documents, op.offset, None)]

    def _list(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        places = {tuple(facts["namespace"]) for facts in self._every(conditions)}
        matching = {place for place in places if all(_matches(place, one) for one in conditions)}
        cut = {place[: op.max_depth] for place in matching} if op.max_depth else matching
        return sorted(cut)[op.offset : op.offset + op.limit]

    def _every(self, conditions: Sequence[MatchCondition]) -> Iterator[dict[str, Any]]:
        begin: tuple[str, ...] = ()
        for one in conditions:
            if one.match_type == "prefix" and "*" not in one.path:
                begin = max(begin, tuple(one.path), key=len)
        for document in self._backend.documents(_where(begin, None), namespace=self._namespace):
            yield _facts(document.metadata)

    def _write(self, puts: Mapping[str, PutOp]) -> None:
        if gone := [id_ for id_, op in puts.items() if op.value is None]:
            remove(self._backend, gone, self._namespace)
        kept = {id_: op for id_, op in puts.items() if op.value is not None}
        before = self._items([(op.namespace, op.key) for op in kept.values()])
        write(self._backend, [self._document(id_, op, before.get(id_)) for id_, op in kept.items()], self._namespace)

    def _document(self, id_: str, op: PutOp, before: Item | None) -> Document:
        value, now = dict(op.value or {}), dt.datetime.now(dt.UTC)
        fields = self._fields if op.index is None else op.index or ()
        texts = [text for field in fields for text in _texts(value, field)]
        item: dict[str, Json] = {
            "namespace": list(op.namespace),
            "key": op.key,
            "value": value,
            "created_at": (before.created_at if before else now).isoformat(),
            "updated_at": now.isoformat(),
        }
        plain = {key: one for key, one in value.items() if isinstance(one, str | int | float | bool)}
        prefixes: list[Json] = [json.dumps(op.namespace[:depth]) for depth in range(len(op.namespace) + 1)]
        return Document(id_, "\n".join(texts), {**plain, _ITEM: item, _PREFIXES: prefixes})


def _id(namespace: tuple[str, ...], key: str) -> str:
    """The document of an item: sorts by namespace and key."""
    return json.dumps([*namespace, key], ensure_ascii=False)


def _facts(metadata: Mapping[str, Json]) -> dict[str, Any]:
    item: Any = metadata[_ITEM]
    times = {name: dt.datetime.fromisoformat(item[name]) for name in ("created_at", "updated_at")}
    return {"namespace": tuple(item["namespace"]), "key": item["key"], "value": item["value"], **times}


def _texts(value: dict[str, Any], field: str) -> list[str]:
    if field == "$":
        return [json.dumps(value, ensure_ascii=False)]
    return list(get_text_at_path(value, tokenize_path(field)))


def _where(prefix: tuple[str, ...], filters: Mapping[str, Any] | None) -> dict[str, Any]:
    conditions: dict[str, Any] = {_PREFIXES: {"$contains": json.dumps(prefix)}}
    for key, wanted in (filters or {}).items():
        operators = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
        if any(not name.startswith("$") or isinstance(one, Mapping | list | tuple) for name, one in operators.items()):
            raise UsageError(
                f"the filter of {key!r} compares a nested value",
                hint="it may compare texts, numbers, true and false",
            )
        conditions[key] = {"$exists": False} if operators.get("$eq", key) is None else dict(operators)
    return conditions


def _matches(place: tuple[str, ...], condition: MatchCondition) -> bool:
    path = condition.path
    part = place[: len(path)] if condition.match_type == "prefix" else place[max(0, len(place) - len(path)) :]
    return len(part) == len(path) and all(wanted in ("*", one) for wanted, one in zip(path, part, strict=True))
