"""Bridges over HTTP, and by both clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.http_server import Server
from tests.support.topics import documents
from vecrollback import AsyncClient, Client, connect
from vecrollback.errors import PairStateError, UsageError


def test_bridges_are_learned_and_listed(server: Server, store: Path) -> None:
    with Client(server.url) as client:
        assert client.bridges() == []
        with pytest.raises(PairStateError, match="texts in common"):
            client.bridge("v2", "v1")
        with connect(store) as opened:
            opened.upsert(documents(250))
            for name in ("v1", "v2"):
                opened.catch_up(name)
        bridge = client.bridge("v2", "v1")
        assert client.bridges() == [bridge]

    async def listed() -> object:
        async with AsyncClient(server.url) as client:
            again = await client.bridge("v2", "v1")
            assert again.number > bridge.number
            return await client.bridges() == [again]

    assert asyncio.run(listed())
    with Client(server.url) as client, pytest.raises(UsageError, match="the model of pair 'v1' answers"):
        client.catch_up("v1", by="bridge")
    answer = server.post("/v1/bridges", {"source": "v2", "target": "v1", "wait": False})
    assert answer.status_code == 202
    assert answer.json()["job"]["kind"] == "bridge"
    assert server.post("/v1/search", {"query": "words"}).json()["answered_by"] == "pair"
