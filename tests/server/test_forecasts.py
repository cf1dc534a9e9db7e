"""Forecasts over HTTP, and by both clients: of models that whoever runs the server has named, and of no other."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.support.http_server import Server
from tests.support.openai_server import OpenAIServer
from tests.support.topics import documents
from vecrollback import AsyncClient, Client, connect
from vecrollback.errors import UsageError


def test_a_profile_that_is_not_there_or_is_changed_by_the_caller_is_refused(server: Server, store: Path) -> None:
    def refused(model: str) -> bool:
        answer = server.post("/v1/forecast", {"model": model, "sample": "5%", "keep": "v9"})
        return answer.status_code == 400 and "neither a pair nor a profile" in answer.text

    assert refused("profile:better")
    with OpenAIServer() as own, OpenAIServer() as other:
        (store / "vecrollback.toml").write_text(f'[embedder.better]\nmodel = "m"\nbase_url = "{own.url}"\n')
        assert not refused("profile:better")
        own.requests.clear()
        assert refused(f"profile:better?base_url={other.url}")
        assert own.requests == other.requests == []


def test_a_forecast_of_a_pairs_model(server: Server, store: Path) -> None:
    with connect(store) as opened:
        opened.upsert(documents(300))
        opened.upsert(documents(300, seed=1), namespace="kb-7")
        for name in ("v1", "v2"):
            opened.catch_up(name)
        wanted = opened.forecast("v1", sample="50%", seed=1)
        of_store = list(inspect.signature(opened.forecast).parameters)
        with Client(server.url) as client:
            found = client.forecast("v1", sample="50%", seed=1)
            assert (found.difference, found.slices, found.kind) == (wanted.difference, wanted.slices, "generated")
            assert {one.value for one in found.slices if one.by == "namespace"} == {"", "kb-7"}
            with pytest.raises(UsageError, match="neither a pair nor a profile"):
                client.forecast("os:system")
            assert client.forecast(opened.pair("v2"), sample="60", seed=1).sample == 60

    assert list(inspect.signature(Client.forecast).parameters)[1:] == [one for one in of_store if one != "progress"]

    async def awaited() -> object:
        async with AsyncClient(server.url) as client:
            return (await client.forecast("v1", sample="50%", seed=1)).difference

    assert asyncio.run(awaited()) == wanted.difference
    answer = server.post("/v1/forecast", {"model": "v1", "sample": "60", "wait": False})
    assert answer.status_code == 202
    assert answer.json()["job"]["kind"] == "forecast"
