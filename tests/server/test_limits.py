"""What a server refuses, and what every answer carries.

Covers server.middleware, server.run, server.settings, serving.thread_pools.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from tests.cli.support import refusal
from tests.support.http_server import Server, serving
from vecrollback.server.middleware import RequestGuard
from vecrollback.server.run import bound
from vecrollback.server.settings import ListenAddress, ServerSettings


def test_every_answer_carries_the_security_headers(server: Server) -> None:
    for path in ("/healthz", "/v1/status", "/nothing", "/openapi.json"):
        headers = server.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Request-Id"]
        assert "server" not in headers


def test_no_other_origin_is_let_in(server: Server) -> None:
    elsewhere = {"Origin": "https://example.com"}
    allowed = server.http.options("/v1/search", headers=elsewhere | {"Access-Control-Request-Method": "POST"})
    assert not [name for name in allowed.headers if name.startswith("access-control")]
    assert server.post("/v1/rollback", {"reason": "x"}, headers=elsewhere).status_code == 403
    for broken in ("http://[::1", "null", "nonsense", ""):
        assert server.post("/v1/rollback", {"reason": "x"}, headers={"Origin": broken}).status_code == 403, broken
    own = {"Origin": server.url}
    assert server.post("/v1/search", {"query": "apples"}, headers=own).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "user@localhost", "local host"])
def test_a_name_that_is_not_this_machine_is_refused(server: Server, host: str) -> None:
    assert server.get("/v1/status", headers={"Host": host}).status_code in (400, 421)
    assert server.get("/v1/status", headers={"Host": "localhost:1"}).status_code == 200


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(own_store: Path) -> None:
    with serving(own_store, "--max-body", "2048") as server:
        large = b'{"query": "' + b"a" * 4096 + b'"}'
        json = {"Content-Type": "application/json"}
        refused = server.http.post("/v1/search", content=large, headers=json)
        assert (refused.status_code, "--max-body" in refused.json()["error"]["hint"]) == (413, True)
        chunked = (large[at : at + 512] for at in range(0, len(large), 512))
        refused = server.http.post("/v1/search", content=chunked, headers=json)
        assert (refused.status_code, "--max-body" in refused.json()["error"]["hint"]) == (413, True)
        assert server.post("/v1/search", {"query": "apples"}).status_code == 200


def test_limits_of_the_command_line_hold(own_store: Path) -> None:
    with serving(own_store, "--max-k", "5", "--max-batch", "2") as server:
        assert server.post("/v1/search", {"query": "a", "k": 6}).status_code == 400
        refused = server.post("/v1/search", {"queries": ["a"] * 3, "k": 5})
        assert (refused.status_code, "--max-batch" in refused.json()["error"]["hint"]) == (400, True)
        assert server.post("/v1/search", {"queries": ["a"] * 2, "k": 5}).status_code == 200


def test_a_port_that_is_taken_is_refused_with_the_cure(server: Server, store: Path) -> None:
    port = server.url.rpartition(":")[2]
    assert "--port 0" in refusal("serve", "--port", port, "--store", store, code=2)["hint"]


def test_what_nobody_expected_is_told_without_internals(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("/secret/place")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(RequestGuard(broken, ServerSettings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get("/")

    response = asyncio.run(ask())
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "FailedError"
    assert "secret" not in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-Id"] in response.text
    assert "/secret/place" in caplog.text


def test_answers_are_sent_without_delay() -> None:
    with bound(ListenAddress("127.0.0.1", 0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal("serve", "--store", tmp_path / "none", code=2)["type"] == "StoreNotFoundError"
