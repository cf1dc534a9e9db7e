"""The clients do what a store does, and raise what it raises.

Covers client.
"""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.support.docstrings import run_examples
from tests.support.http_server import QUERIES, make_token, serving
from tests.support.waiting import wait_for
from vecrollback import AsyncClient, Client, Document, WriteResult, connect
from vecrollback.errors import (
    AccessDeniedError,
    BadDocumentError,
    BadFilterError,
    NoRollbackTargetError,
    QuarantinedError,
    UnknownCallerError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from vecrollback.pairs.time_travel import TimeTravel
from vecrollback.quality.evaluation import Golden
from vecrollback.store.store import Store
from vecrollback.switching.canary import Canaries
from vecrollback.switching.gates import Gates
from vecrollback.switching.incidents.incidents import Incidents

_LONG_ONLY_LOCAL = {"status", "progress", "embedder", "actor", "seed", "trigger", "approval", "policy"}


def test_a_client_answers_what_the_store_answers(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        assert client.search(QUERIES[0], 3) == store.search(QUERIES[0], 3)
        assert client.search(QUERIES[0], 50, "year > 2050") == store.search(QUERIES[0], 50, "year > 2050")
        several = client.search(list(QUERIES), k=2)
        assert [[hit.id for hit in one.hits] for one in several] == [
            [hit.id for hit in one.hits] for one in store.search(list(QUERIES), k=2)
        ]
        assert client.pairs() == store.pairs()
        assert client.history() == store.history()
        assert client.status()["corpus"] == store.status()["corpus"]
        assert client.report("v1") == store.report("v1")


def test_the_examples_of_the_clients_run(own_store: Path) -> None:
    with serving(own_store) as server:
        for client in (Client, AsyncClient):
            run_examples(client, {"Client": Client, "AsyncClient": AsyncClient, "url": server.url})


def test_a_client_writes_and_operates(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client:
        assert client.upsert([Document("x", "sloes", {"year": 1999})]) == WriteResult(61, written=1)
        assert client.delete(["x"]) == WriteResult(62, deleted=1)
        done = client.rollback(reason="worse")
        assert (done.source, done.target, done.searchers.expected, done.trouble) == ("v2@1", "v1@1", 1, "")
        assert done.caught_up is not None
        assert done.report is not None
        assert done.report.verdict == "pass"
        assert client.check("v1", sample=5).certificate is not None
        assert client.promote("v2", reason="no fault", override=True).target == "v2@1"
        assert client.restore("v1@1", reason="this one", catch_up=False).epoch == 5
        assert {job.state for job in client.jobs()} == {"done"}
        assert client.cancel(client.jobs()[0].id).state == "done"


def test_a_client_takes_the_documents_back(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client:
        head = client.upsert([Document("x", "sloes")]).head
        client.upsert([Document("x", "damsons")])
        plan = client.plan_corpus_rollback(head)
        assert (plan.changed, plan.to, plan.head) == (("x",), head, head + 1)
        done = client.rollback_corpus(head, reason="a faulty import")
        assert (done.head, done.trouble, done.plan.changed) == (head + 2, "", ("x",))
        assert {one.lag for one in done.caught_up} == {0}
        assert client.get(["x"])["x"].text == "sloes"
        assert client.search("sloes", 1).hits[0].id == "x"
        with pytest.raises(UsageError, match="not to"):
            client.plan_corpus_rollback(10**6)


def test_errors_come_back_as_what_they_were(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client:
        with pytest.raises(BadFilterError):
            client.search("a", where="nonsense >")
        with pytest.raises(BadFilterError, match="not a valid operator") as refused:
            client.search("a", where={"year": {"$above": 2000}})
        assert "$gte" in refused.value.hint
        as_data = client.search("apples", k=50, where={"year": {"$gte": 2050}})
        assert as_data == client.search("apples", k=50, where="year >= 2050")
        assert as_data.hits
        with pytest.raises(UsageError):
            client.search(" ")
        with pytest.raises(BadDocumentError) as bad:
            client.upsert([Document(" ", "blank")])
        assert bad.value.reason
        with pytest.raises(BadDocumentError):
            client.upsert([Document("a", "\ud800")])
        with pytest.raises(UsageError):
            client.delete("d1")
        with pytest.raises(UnknownNameError) as unknown:
            client.promote("v9")
        assert unknown.value.hint
        client.rollback(reason="worse", catch_up=False)
        with pytest.raises(NoRollbackTargetError):
            client.rollback(reason="more")
        with pytest.raises(QuarantinedError):
            client.promote("v2")
        reader = make_token(own_store, "reader")
        wait_for("the door to close", lambda: _refused(client), 3)
        with Client(server.url, reader) as limited, pytest.raises(AccessDeniedError):
            limited.delete(["d1"])
        url = server.url
    with Client(url) as gone, pytest.raises(UnreachableError):
        gone.status()


def _refused(client: Client) -> bool:
    try:
        client.status()
    except UnknownCallerError:
        return True
    return False


def test_the_async_client_does_the_same(own_store: Path) -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client:
            results = await asyncio.gather(*(client.search(query, 2) for query in QUERIES * 4))
            assert {one.pair for one in results} == {"v2"}
            assert [len(one.hits) for one in await client.search(["a", "b"], 2)] == [2, 2]
            assert (await client.upsert([Document("x", "sloes")])).head == 61
            assert (await client.delete(["x"])).head == 62
            assert (await client.rollback(reason="worse")).target == "v1@1"
            assert [pair.name for pair in await client.pairs()] == ["v1", "v2"]
            with pytest.raises(QuarantinedError):
                await client.promote("v2")

    with serving(own_store) as server:
        asyncio.run(run(server.url))


def _public(kind: type) -> dict[str, inspect.Signature]:
    functions = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}


def test_both_clients_and_the_store_take_the_same_arguments() -> None:
    one, other, store = _public(Client), _public(AsyncClient), _public(Store)
    travel, canaries = _public(TimeTravel), _public(Canaries)
    store |= {"plan_corpus_rollback": travel["plan"], "rollback_corpus": travel["rollback"]}
    store |= {"start_canary": canaries["start"], "advance_canary": canaries["advance"]}
    store |= {"stop_canary": canaries["stop"], "canary": canaries["status"], "gates": _public(Gates)["look"]}
    golden, incidents = _public(Golden), _public(Incidents)
    store |= {"golden": golden["list"], "add_golden": golden["add"], "incident": incidents["get"]}
    store |= {"close_incident": incidents["close"]}
    assert set(one) - {"close"} == set(other) - {"aclose"}
    for name in set(one) - {"close"}:
        assert str(one[name]) == str(other[name]).replace("AsyncIterator", "Iterator")
    # The store has these in a part of it, or the other way round: what `test_operations` shows.
    of_http = {"incidents", "approvals", "policy", "remove_golden", "freeze", "unfreeze", "approve", "current_freeze"}
    of_http |= {"catch_up", "repair", "forecast"}
    for name in set(one) - {"close", "cancel", "pause", "resume"} - of_http:
        taken = [p for p in store[name].parameters if p not in _LONG_ONLY_LOCAL]
        assert list(one[name].parameters) == taken, name
