"""A store on an event loop: the same answers as `Store`, from few threads, whoever leaves and whatever moves."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docstrings import run_examples
from tests.support.operations import words
from vecrollback import AsyncStore, Document, Store, connect
from vecrollback.errors import BadQueryError, NoPairServesError, StoreClosedError, UsageError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with connect(tmp_path / "store", create=True, embedder="hash:64?seed=1") as opened:
        opened.upsert([Document(f"d{n}", words(n), {"n": n}) for n in range(50)], visible=True)
        yield opened


def test_the_example_of_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"connect": connect, "Document": Document}
    run_examples(Store, names)
    run_examples(AsyncStore, {"connect": connect, "AsyncStore": AsyncStore})


def test_every_method_takes_what_the_method_of_a_store_takes() -> None:
    shared = [n for n, m in vars(AsyncStore).items() if inspect.isfunction(m) and n[0] != "_" and n != "aclose"]
    assert len(shared) == 13
    for name in shared:
        assert (
            inspect.signature(getattr(AsyncStore, name)).parameters
            == inspect.signature(getattr(Store, name)).parameters
        )


def test_a_hundred_callers_need_two_threads_and_get_their_own_answers(store: Store) -> None:
    before = {thread.ident for thread in threading.enumerate()}

    async def ask() -> list[str]:
        opened = AsyncStore(store)
        results = await asyncio.gather(*(opened.search(words(n % 50), k=1) for n in range(100)))
        fresh = [thread for thread in threading.enumerate() if thread.ident not in before]
        assert len([one for one in fresh if one.name.startswith("vecrollback-search")]) <= 2
        await opened.aclose()
        return [result.hits[0].id for result in results]

    assert asyncio.run(ask()) == [f"d{n % 50}" for n in range(100)]


def test_what_is_written_is_read(store: Store) -> None:
    async def work() -> None:
        async with AsyncStore(store) as opened:
            written = await opened.upsert([Document("new", words(1000), {"n": -1})], visible=True)
            await opened.wait(written.head)
            assert (await opened.search(words(1000), k=1)).hits[0].id == "new"
            assert (await opened.search([words(1), words(2)], k=1))[1].hits[0].id == "d2"
            assert await opened.search([]) == []
            made = await opened.embed_queries([words(3)])
            assert (await opened.search(made, k=1))[0].hits[0].id == "d3"
            assert (await opened.embed_documents([words(3)])).fingerprint == made.fingerprint
            assert (await opened.search(words(4), k=1, mode="keyword")).answered_by == "keyword"
            assert (await opened.get(["d7"]))["d7"].text == words(7)
            assert await opened.count({"n": {"$lt": 10}}) == 11
            assert [one.id async for one in opened.documents({"n": {"$lt": 2}})] == ["d0", "d1", "new"]
            await opened.upsert([Document("other", "text")], namespace="kb")
            assert await opened.namespaces() == {"": 51, "kb": 1}
            assert (await opened.drop_namespace("kb")).deleted == 1
            assert (await opened.delete(["new"])).deleted == 1
            assert (await opened.live()).epoch == store.live().epoch
            assert (await opened.status())["store"] == store.status()["store"]
            assert opened.uri == store.uri

    asyncio.run(work())
    with pytest.raises(StoreClosedError):
        store.count()


def test_a_move_is_seen_by_the_next_query_and_no_answer_is_mixed(store: Store) -> None:
    store.reembed("hash:64?seed=2", name="v2").wait()
    first = store.live().name

    async def work() -> None:
        opened = AsyncStore(store)
        for target in ("v2", first, "v2"):
            asked = [asyncio.create_task(opened.search(words(n), k=1)) for n in range(20)]
            await asyncio.to_thread(store.promote, target, override=True, reason="a test")
            assert {(await one).hits[0].id for one in asked} == {f"d{n}" for n in range(20)}
            assert (await opened.search(words(5), k=1)).pair == target
        await opened.aclose()

    asyncio.run(work())


def test_one_bad_query_fails_alone_and_whoever_leaves_costs_nothing(store: Store) -> None:
    async def work() -> None:
        async with AsyncStore(store) as opened:
            left = asyncio.create_task(opened.search(words(1), k=1))
            good = [asyncio.create_task(opened.search(words(n), k=1)) for n in range(5)]
            blank = asyncio.create_task(opened.search(" ", k=1))
            torn = asyncio.create_task(opened.search("half \ud800", k=1))
            await asyncio.sleep(0)
            left.cancel()
            assert [(await one).hits[0].id for one in good] == [f"d{n}" for n in range(5)]
            with pytest.raises(UsageError, match="blank"):
                await blank
            with pytest.raises(BadQueryError):
                await torn
            with pytest.raises(UsageError, match="k is 0"):
                await opened.search("words", k=0)

    asyncio.run(work())


def test_without_a_pair_the_answer_says_why(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncStore(connect(tmp_path / "empty", create=True)) as opened:
            assert "no pair is live" in (await opened.search("words")).reason
            with pytest.raises(NoPairServesError):
                await opened.live()

    asyncio.run(work())
