"""An agent searches and moves a store by the Model Context Protocol, over stdio and HTTP, and never a stale model.

Covers integrations.mcp.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitResult

from tests.cli.support import start
from tests.support import forked_command
from tests.support.http_server import QUERIES, make_token
from tests.support.spawner import spawner
from vecrollback import Document, connect
from vecrollback.store import payloads

ROOT = Path(__file__).parents[2]
READING = {"search", "document", "status", "compare", "incidents"}


@asynccontextmanager
async def agent(store: Path, *options: str, **asked: Any) -> AsyncIterator[Client]:
    """A client whose server is a process of its own, as an agent's program starts it."""
    forked = ["-SE", forked_command.__file__, spawner().address]
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[*(forked if sys.platform == "linux" else ["-m"]), "vecrollback", "mcp", "--store", str(store), *options],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "VECROLLBACK_ACTOR": "agent"},
    )
    async with Client(parameters, read_timeout_seconds=60, **asked) as client:
        yield client


def read(result: CallToolResult) -> Any:
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)  # type: ignore[union-attr]


def error(result: CallToolResult) -> str:
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


def test_an_agent_reads_what_the_store_says(store_path: Path) -> None:
    async def ask() -> None:
        async with agent(store_path) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == READING
            found = read(await client.call_tool("search", {"query": QUERIES[0], "k": 3}))
            with connect(store_path) as store:
                assert found == payloads.result(store.search(QUERIES[0], 3))
            late = read(await client.call_tool("search", {"query": "apples", "where": {"year": {"$gte": 2058}}}))
            assert {hit["id"] for hit in late["hits"]} == {"d58", "d59"}
            with connect(store_path) as store:
                store.upsert([Document("d0", "medlars of the other house")], visible=True, namespace="other")
            other = read(
                await client.call_tool("search", {"query": "medlars", "namespace": "other", "mode": "keyword"})
            )
            assert [hit["text"] for hit in other["hits"]] == ["medlars of the other house"]
            theirs = read(await client.call_tool("document", {"id": "d0", "namespace": "other"}))
            assert theirs["text"] == "medlars of the other house"
            one = read(await client.call_tool("document", {"id": found["hits"][0]["id"]}))
            assert one["text"] == found["hits"][0]["text"]
            assert read(await client.call_tool("status", {}))["rollback"]["target"] == "v1@1"
            both = read(await client.call_tool("compare", {"a": "v1", "b": "v2", "query": QUERIES[0]}))
            assert (both["a"]["pair"], both["b"]["pair"]) == ("v1", "v2")
            assert read(await client.call_tool("incidents", {})) == {"incidents": []}

    asyncio.run(ask())


def test_an_answer_never_comes_from_a_pair_that_was_left(store_path: Path) -> None:
    async def ask() -> None:
        async with agent(store_path) as client:
            assert read(await client.call_tool("search", {"query": "pears"}))["pair"] == "v2"
            with connect(store_path, actor="somebody") as store:
                for pair in ("v1", "v2", "v1"):
                    store.restore(f"{pair}@1", reason="there and back", catch_up=False)
                    answer = read(await client.call_tool("search", {"query": "pears"}))
                    assert (answer["pair"], answer["current"]) == (pair, True)
                store.upsert([Document("new", "medlars of crate 99")])
                store.catch_up("v1")
                store.delete(["d0"])
                found = read(await client.call_tool("search", {"query": "medlars of crate 99", "k": 100}))
                assert found["hits"][0]["id"] == "new"
                assert "d0" not in {hit["id"] for hit in found["hits"]}

    asyncio.run(ask())


def test_errors_carry_the_hint(store_path: Path) -> None:
    async def ask() -> None:
        async with agent(store_path) as client:
            said = error(await client.call_tool("search", {"query": "a", "where": {"year": {"$above": 1}}}))
            assert "BadFilterError" in said
            assert "hint: " in said
            assert "$gte" in said
            said = error(await client.call_tool("document", {"id": "nowhere"}))
            assert "there is no document 'nowhere'" in said
            assert "hint: " in said
            assert "golden" in error(await client.call_tool("compare", {"a": "v1", "b": "v2"}))

    asyncio.run(ask())


def test_an_operator_needs_a_yes_that_names_the_move(store_path: Path) -> None:
    async def ask() -> None:
        async with agent(store_path, "--operator") as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == READING | {"check", "promote", "rollback"}
            assert tools["rollback"].annotations is not None
            assert tools["rollback"].annotations.destructive_hint
            assert "confirmation" not in tools["rollback"].input_schema["properties"]
            assert read(await client.call_tool("check", {"pair": "v1"}))["verdict"] == "pass"
            asked = {"reason": "answers got worse"}
            words = "roll back to v1@1 from v2@1 at epoch 2"
            said = error(await client.call_tool("rollback", asked))
            assert "nothing was moved" in said
            assert f'hint: ask one, then call this tool again with confirm="{words}"' in said
            with connect(store_path, actor="somebody") as store:  # the pointer moves before the yes comes
                store.restore("v1@1", reason="there", catch_up=False)
                store.restore("v2@1", reason="and back", catch_up=False)
            said = error(await client.call_tool("rollback", asked | {"confirm": words}))
            assert "at epoch 4" in said
            now = {"confirm": words.replace("epoch 2", "epoch 4")}
            moved = read(await client.call_tool("rollback", asked | now))
            assert (moved["from"], moved["to"], moved["move"]["actor"]) == ("v2@1", "v1@1", "agent")
            assert moved["check"]["verdict"] == "pass"
            [incident] = read(await client.call_tool("incidents", {"limit": 1}))["incidents"]
            assert incident["reason"] == "answers got worse"
            said = error(await client.call_tool("promote", {"pair": "v2", "reason": "once more"}))
            assert "promote v2@1 in place of v1@1 at epoch 5" in said

    asyncio.run(ask())


def test_where_the_client_can_ask_a_person_their_word_counts_alone(store_path: Path) -> None:
    questions: list[str] = []
    answers = [ElicitResult(action="decline"), ElicitResult(action="accept", content={"yes": False})]
    answers.append(ElicitResult(action="accept", content={"yes": True}))

    async def person(_: Any, parameters: Any) -> ElicitResult:
        questions.append(parameters.message)
        return answers[len(questions) - 1]

    async def ask() -> None:
        async with agent(store_path, "--operator", elicitation_callback=person) as client:
            asked = {"reason": "worse", "confirm": "roll back to v1@1 from v2@1 at epoch 2"}  # an agent's own words
            assert "decline" in error(await client.call_tool("rollback", asked))
            assert "said no" in error(await client.call_tool("rollback", asked))
            assert read(await client.call_tool("status", {}))["alias"]["live"]["pair"] == "v2"
            assert read(await client.call_tool("rollback", asked))["to"] == "v1@1"

    asyncio.run(ask())
    assert questions == ["Shall vecrollback roll back to v1@1 from v2@1 at epoch 2?"] * 3


def test_over_http_tokens_and_roles_count(store_path: Path) -> None:
    reader, operator = make_token(store_path, "reader"), make_token(store_path, "operator", "olga")

    async def ask(url: str) -> None:
        async with httpx.AsyncClient() as http:
            refused = await http.post(url, json={})
            assert refused.status_code == 401
            assert "token create" in refused.json()["error"]["hint"]
        for token, may in ((reader, False), (operator, True)):
            async with (
                httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                assert read(await client.call_tool("search", {"query": "plums", "k": 1}))["pair"] == "v2"
                asked = {"reason": "worse", "confirm": "roll back to v1@1 from v2@1 at epoch 2"}
                moved = await client.call_tool("rollback", asked)
                if may:
                    assert read(moved)["move"]["actor"] == "olga"
                else:
                    assert "needs operator" in error(moved)

    with start("mcp", "--store", store_path, "--http", "--port", "0", "--operator", "--json") as process:
        try:
            assert process.stdout is not None
            asyncio.run(ask(json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]))
        finally:
            process.terminate()
            assert process.wait(30) == 0
