"""A canary over HTTP: the key of a request decides who answers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.http_server import Server, serving
from tests.support.waiting import wait_for
from vecrollback import Client, connect


@pytest.fixture
def server(own_store: Path) -> object:
    (own_store / "vecrollback.toml").write_text("[canary]\nshadow = 50\nsteps = [40, 100]\nbake_seconds = 0\n")
    with serving(own_store) as running:
        yield running


def _pair(server: Server, key: str | None, **headers: str) -> str:
    body = {"query": "crate 7", "k": 3} | ({"key": key} if key else {})
    told = server.post("/v1/search", body, headers=headers).json()
    assert told["canary"] == (told["pair"] == "v1")
    return str(told["pair"])


def test_a_key_in_body_or_header_is_drawn_alike_and_stop_is_for_everybody(own_store: Path, server: Server) -> None:
    keys = [f"caller-{n}" for n in range(60)]
    with connect(own_store, actor="tester") as store:
        store.canaries.start("v1", reason="again")
        store.canaries.advance(override=True, reason="a test")
        wait_for("the candidate to be open", lambda: any(_pair(server, key) == "v1" for key in keys))
        drawn = {key: _pair(server, key) for key in keys}
        assert set(drawn.values()) == {"v1", "v2"}
        assert {key: _pair(server, None, **{"X-Vecrollback-Key": key}) for key in keys} == drawn
        assert {_pair(server, None) for _ in range(5)} == {"v2"}
        with Client(server.url) as client:
            for key in keys[:10]:
                assert client.search("crate 7", key=key).pair == drawn[key]
            chosen = next(key for key, pair in drawn.items() if pair == "v1")
            assert {result.pair for result in client.search(["crate 1", "crate 2"], key=chosen)} == {"v1"}
        store.canaries.stop(reason="enough")
        assert {_pair(server, key) for key in keys} == {"v2"}


@pytest.mark.parametrize("key", ["", "x" * 201, 7])
def test_a_key_that_is_none_is_refused(key: object, server: Server) -> None:
    assert server.post("/v1/search", {"query": "crate 7", "key": key}).status_code == 422
