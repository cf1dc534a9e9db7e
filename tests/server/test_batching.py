"""Concurrent queries share calls, and nobody gets another's answer.

Covers serving.batching.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.http_server import Server, serving
from vecrollback.errors import EmbeddingError, OverloadedError, UsageError
from vecrollback.records import Result
from vecrollback.serving.batching import QueryBatcher


def answer(query: str, k: int, where: str | None) -> Result:
    return Result("v1", 1, 1, 0, {"query": query, "k": k, "where": where}, [])


class Slow:
    """A searcher that takes a while, and knows what it was asked."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds, self.calls = seconds, list[tuple[list[str], int, str | None]]()
        self._lock = threading.Lock()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, queries: list[str], k: int, where: str | None, canary: bool = False) -> list[Result]:
        with self._lock:
            self.calls.append((queries, k, where))
        self.may_answer.wait()
        time.sleep(self.seconds)
        if "bad" in queries:
            raise UsageError("bad")
        if "down" in queries:
            raise EmbeddingError("down")
        return [answer(query, k, where) for query in queries]


def coalescer(search: Slow, *, threads: int = 2, max_batch: int = 8, max_waiting: int = 1000) -> QueryBatcher:
    return QueryBatcher(search, threads=threads, max_batch=max_batch, max_waiting=max_waiting, seen=lambda _: None)


def test_the_first_query_goes_at_once_and_the_rest_together() -> None:
    search = Slow(0.05)

    async def run() -> None:
        asked = coalescer(search)
        await asyncio.gather(*(asked.ask([f"q{n}"], 10, None) for n in range(7)))

    asyncio.run(run())
    assert [len(queries) for queries, *_ in search.calls] == [1, 6]


def test_every_caller_gets_the_answers_to_its_own_queries() -> None:
    search = Slow(0.001)

    async def one(asked: QueryBatcher, n: int) -> None:
        queries, k, where = [f"{n}-{i}" for i in range(n % 4)], 1 + n % 3, None if n % 2 else f"w{n % 5}"
        assert await asked.ask(queries, k, where) == [answer(query, k, where) for query in queries]

    async def run() -> None:
        asked = coalescer(search)
        await asyncio.gather(*(one(asked, n) for n in range(300)))

    asyncio.run(run())
    assert len(search.calls) < 150
    assert max(len(queries) for queries, *_ in search.calls) <= 8


def test_a_slow_group_does_not_hold_up_another() -> None:
    begun, answered = threading.Event(), threading.Event()

    class Uneven(Slow):
        def __call__(self, queries: list[str], k: int, where: str | None, canary: bool = False) -> list[Result]:
            if where:
                begun.set()
                assert answered.wait(30)
            return super().__call__(queries, k, where)

    async def run() -> None:
        asked = coalescer(Uneven())
        slow = asyncio.create_task(asked.ask(["slow"], 1, "year > 1"))
        assert await asyncio.to_thread(begun.wait, 30)
        await asked.ask(["quick"], 1, None)
        assert not slow.done()
        answered.set()
        await slow

    asyncio.run(run())


def test_one_bad_query_fails_alone_and_a_model_that_is_down_fails_all() -> None:
    async def run(word: str) -> list[object]:
        asked = coalescer(Slow())
        waiting = [asked.ask([query], 1, None) for query in ("first", "a", word, "b")]
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    kinds = [type(one) for one in asyncio.run(run("bad"))]
    assert kinds == [list, list, UsageError, list]
    kinds = [type(one) for one in asyncio.run(run("down"))]
    assert kinds == [list, EmbeddingError, EmbeddingError, EmbeddingError]


def test_beyond_its_bound_it_refuses_at_once_and_recovers() -> None:
    async def run() -> None:
        asked = coalescer(Slow(0.1), max_waiting=3)
        waiting = [asyncio.create_task(asked.ask([str(n)], 1, None)) for n in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError) as refused:
            await asked.ask(["more"], 1, None)
        assert refused.value.retry_after >= 1
        await asyncio.gather(*waiting)
        assert len(await asked.ask(["later"], 1, None)) == 1

    asyncio.run(run())


def test_a_caller_who_leaves_costs_nothing_and_blocks_nobody() -> None:
    search = Slow(0.0)
    search.may_answer.clear()

    async def run() -> None:
        asked = coalescer(search, max_waiting=3)
        first = asyncio.create_task(asked.ask(["first"], 1, None))
        await asyncio.sleep(0)
        gone = asyncio.create_task(asked.ask(["gone"], 1, None))
        await asyncio.sleep(0)
        gone.cancel()
        search.may_answer.set()
        await asyncio.gather(first, asked.ask(["stays"], 1, None), asked.ask(["too"], 1, "w"))

    asyncio.run(run())
    assert not [queries for queries, *_ in search.calls if "gone" in queries]


def test_sixty_four_clients_each_get_their_own_answers(server: Server) -> None:
    alone = {n: server.post("/v1/search", {"query": f"crate {n}", "k": 3}).json()["hits"] for n in range(16)}

    def client(number: int) -> None:
        with server.client() as http:
            for n in range(8):
                asked = (number + n) % 16
                found = http.post("/v1/search", json={"query": f"crate {asked}", "k": 3}).json()["hits"]
                assert [(hit["id"], round(hit["score"], 5)) for hit in found] == [
                    (hit["id"], round(hit["score"], 5)) for hit in alone[asked]
                ]

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(client, range(64)))
    batches = [
        line for line in server.get("/metrics").text.splitlines() if line.startswith("vecrollback_batch_queries")
    ]
    counted = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in batches)}
    assert counted["vecrollback_batch_queries_sum"] > counted["vecrollback_batch_queries_count"]


_SLOW_MODEL = """
import time
import numpy as np

def embed(texts):
    if any("wait" in text for text in texts):
        time.sleep(0.5)
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1, t.count("1") + 1, 1] * 2 for t in texts], np.float32)
"""


def test_a_full_queue_answers_429_with_retry_after_and_no_query_is_lost(tmp_path: Path) -> None:
    from tests.cli.support import shell, write_documents

    (tmp_path / "slow_model.py").write_text(_SLOW_MODEL)
    env = {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "VECROLLBACK_STORE": str(tmp_path / "store")}
    shell("init", env=env)
    shell("ingest", write_documents(tmp_path / "documents.jsonl", 0, 20), env=env)
    shell("reembed", "slow_model:embed", "--name", "v1", "--promote", env=env)
    with serving(tmp_path / "store", "--max-waiting", "4", env=env) as server:

        def client(_: int) -> httpx.Response:
            with server.client() as http:
                return http.post("/v1/search", json={"query": "wait"})

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(client, range(16)))
        statuses = [one.status_code for one in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 4
        refused = next(one for one in answers if one.status_code == 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["type"] == "OverloadedError"
        assert server.post("/v1/search", {"query": "now"}).status_code == 200
