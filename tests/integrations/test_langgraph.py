"""LangGraph's store over a store and over a client says what its own store in memory says.

Covers integrations.langgraph.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

pytest.importorskip("langgraph.store.base", reason="needs langgraph-checkpoint: pip install 'vecrollback[langgraph]'")

from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from tests.support.docstrings import run_examples
from vecrollback import Document, Store, connect
from vecrollback.errors import UsageError
from vecrollback.integrations import langgraph
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.langgraph import VecrollbackStore

PLACES = [("users", "anna"), ("users", "bob"), ("users", "anna", "notes"), ("teams", "a/b"), ("users",)]
FILTERS: list[dict[str, Any] | None] = [
    None,
    {"kind": "tea"},
    {"n": {"$gte": 3}},
    {"n": {"$lt": 5, "$ne": 2}, "kind": "tea"},
    {"ok": True},
    {"nobody": 1},
]


def _value(n: int) -> dict[str, Any]:
    return {"text": f"note {n}", "n": n, "kind": ("tea", "jam")[n % 2], "ok": n % 3 == 0, "deep": {"list": [n, None]}}


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        key = lambda one: (one.namespace, one.key)  # noqa: E731
        pairs = zip(sorted(ours, key=key), sorted(theirs, key=key), strict=True)
        return len(ours) == len(theirs) and all(_same(*pair) for pair in pairs)
    if theirs is None:
        return ours is None
    return (ours.namespace, ours.key, ours.value) == (theirs.namespace, theirs.key, theirs.value)


def test_it_answers_as_langgraphs_own_store_does(backend: Backend) -> None:
    ours, theirs, chance = VecrollbackStore(backend, fields=["text"]), InMemoryStore(), random.Random(7)
    for n in range(12):
        ops: list[Any] = []
        for _ in range(4):
            place, key = chance.choice(PLACES), f"k{chance.randrange(3)}"
            value = None if chance.random() < 0.25 else _value(chance.randrange(8))
            ops.append(PutOp(place, key, value))
        ops += [GetOp(chance.choice(PLACES), f"k{m}") for m in range(3)]
        prefix = chance.choice([(), ("users",), ("users", "anna"), ("teams",), ("nobody",)])
        ops.append(SearchOp(prefix, filter=FILTERS[n % len(FILTERS)], limit=100))
        for mine, other in zip(ours.batch(ops), theirs.batch(ops), strict=True):
            assert _same(mine, other)
    again = InMemoryStore()  # that one goes on listing namespaces whose last item is gone
    for item in theirs.search((), limit=100):
        again.put(item.namespace, item.key, item.value)
    for options in (
        {},
        {"prefix": ("users",)},
        {"prefix": ("*", "anna")},
        {"suffix": ("notes",)},
        {"max_depth": 1},
        {"prefix": ("users",), "max_depth": 2, "limit": 2},
        {"offset": 1, "limit": 2},
    ):
        assert ours.list_namespaces(**options) == again.list_namespaces(**options)


def test_items_are_found_by_meaning_where_they_are_indexed(backend: Backend) -> None:
    memory = VecrollbackStore(backend, fields=["text"])
    memory.put(("users", "anna"), "drink", {"text": "Prefers green tea.", "secret": "plums"})
    memory.put(("users", "anna"), "jam", {"text": "Boils plums with sugar."})
    memory.put(("users", "bob"), "drink", {"text": "Prefers black tea."})
    memory.put(("users", "bob"), "hidden", {"text": "green tea"}, index=False)
    memory.put(("users", "bob"), "other", {"text": "bread", "more": "green tea"}, index=["more"])
    found = memory.search(("users", "anna"), query="green tea", limit=1)
    assert [(item.key, item.namespace) for item in found] == [("drink", ("users", "anna"))]
    assert found[0].score is not None and found[0].score > 0.3
    assert {item.key for item in memory.search(("users",), query="green tea", limit=2)} == {"other", "drink"}
    assert "hidden" not in {item.key for item in memory.search((), query="green tea", limit=10)}
    assert [item.key for item in memory.search(("users", "bob"))] == ["drink", "hidden", "other"]
    assert [item.key for item in memory.search(("users", "bob"), limit=1, offset=1)] == ["hidden"]
    one, two = (memory.search((), query="green tea", limit=1, offset=n)[0].key for n in (0, 1))
    assert (one, two) == tuple(item.key for item in memory.search((), query="green tea", limit=2))


def test_times_and_deletes(backend: Backend) -> None:
    memory = VecrollbackStore(backend)
    memory.put(("a",), "k", {"n": 1})
    first = memory.get(("a",), "k")
    memory.put(("a",), "k", {"n": 2})
    second = memory.get(("a",), "k")
    assert first is not None and second is not None
    assert second.created_at == first.created_at and second.updated_at > first.updated_at
    memory.delete(("a",), "k")
    assert memory.get(("a",), "k") is None
    assert memory.search((), query="n 2") == []
    with pytest.raises(InvalidNamespaceError):
        memory.put((), "k", {"n": 1})
    with pytest.raises(UsageError, match="nested"):
        memory.search(("a",), filter={"deep": {"list": [1]}})


def test_awaited_calls(backend: Backend) -> None:
    async def work() -> None:
        memory = VecrollbackStore(backend, namespace="agents")
        await memory.aput(("a",), "k", {"text": "green tea"})
        assert (await memory.aget(("a",), "k")) is not None
        assert [item.key for item in await memory.asearch(("a",), query="tea")] == ["k"]
        assert await memory.alist_namespaces() == [("a",)]
        await memory.abatch([PutOp(("a",), "k", None)])
        assert await memory.abatch([GetOp(("a",), "k"), ListNamespacesOp()]) == [None, []]

    asyncio.run(work())


def test_a_memory_survives_a_change_of_the_model_and_the_way_back(tmp_path: Any) -> None:
    with connect(tmp_path / "store", create=True, embedder="hash:64?seed=1") as store:
        memory = VecrollbackStore(store, fields=["text"])
        memory.put(("a",), "tea", {"text": "Steep green tea."})
        memory.put(("a",), "jam", {"text": "Boil plums with sugar."})
        store.promote(store.reembed("hash:64?seed=2", name="v2").wait())
        memory.put(("a",), "bread", {"text": "Let the dough rise."})
        assert [item.key for item in memory.search(("a",), query="green tea", limit=1)] == ["tea"]
        store.rollback(reason="a test")
        assert [item.key for item in memory.search(("a",), query="plums", limit=1)] == ["jam"]
        memory.put(("a",), "soup", {"text": "Simmer leeks."})
        assert [item.key for item in memory.search(("a",), query="dough", limit=1)] == ["bread"]
        assert [item.key for item in memory.search(("a",), query="leeks", limit=1)] == ["soup"]


def test_examples(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"connect": connect, "Document": Document}
    run_examples(Store, names)
    with names["store"]:
        run_examples(langgraph.VecrollbackStore, {**names, "VecrollbackStore": VecrollbackStore})
