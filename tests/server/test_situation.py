"""The situation over HTTP: in the status, on its own, in the numbers, and through both clients, in the same words."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from tests.support.http_server import QUERIES, Server, serving
from vecrollback import AsyncClient, Client, connect
from vecrollback.records import LINES


def test_status_situation_metrics_and_both_clients_tell_the_same(server: Server, store: Path) -> None:
    assert server.post("/v1/search", {"query": QUERIES[0]}).status_code == 200
    body = server.get("/v1/situation").json()
    assert [line["name"] for line in body["lines"]] == [*LINES, "queries"]
    inside = server.get("/v1/status").json()["situation"]
    assert {**inside, "at": ""} == {**body, "at": ""}
    with Client(server.url) as client:
        seen = client.situation()

    async def ask() -> str:
        async with AsyncClient(server.url) as client:
            return (await client.situation()).verdict

    assert (seen.verdict, asyncio.run(ask())) == (body["verdict"], body["verdict"])
    assert [(line.name, line.state) for line in seen.lines] == [(one["name"], one["state"]) for one in body["lines"]]
    with connect(store) as here:  # what every line but that of the server's own queries rests on is in the store
        assert here.situation().lines == seen.lines[:-1]
    page = server.get("/metrics").text.splitlines()
    for line in seen.lines:
        for state in ("ok", "note", "alert", "unknown"):
            number = f'vecrollback_situation{{line="{line.name}",state="{state}"}} {float(line.state == state)}'
            assert number in page


def test_the_situation_and_the_metrics_answer_while_the_catalog_cannot_be_read(own_store: Path) -> None:
    with serving(own_store) as server:
        assert server.post("/v1/search", {"query": QUERIES[0]}).status_code == 200
        with sqlite3.connect(own_store / "catalog.db") as database:
            for table in ("alias", "pair", "corpus"):
                database.execute(f"alter table {table} rename to gone_{table}")
        body = server.get("/v1/situation").json()
        assert body["verdict"] in ("Not known", "Not well")
        assert {line["name"]: line["state"] for line in body["lines"]}["live"] == "unknown"
        page = server.get("/metrics")
        assert page.status_code == 200
        assert 'vecrollback_situation{line="live",state="unknown"} 1.0' in page.text
        assert "vecrollback_well 0.0" in page.text
        assert "vecrollback_queries_total" in page.text
