"""The OpenAPI document is true, and nothing that is sent makes a server error or ends a worker."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.support.http_server import Server, make_token, serving


@pytest.mark.parametrize(
    "role", ["admin", *(pytest.param(role, marks=pytest.mark.slow) for role in ("reader", "writer", "operator"))]
)
def test_no_request_that_the_document_describes_makes_a_server_error(own_store: Path, role: str) -> None:
    token = make_token(own_store, role)
    with serving(own_store, token=token) as server:
        before = _changed_by(server)
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        seen = 0
        for found in schema.get_all_operations():
            seen += _try(found.ok(), token)
        assert seen > 100
        assert server.get("/readyz").status_code == 200
        after = _changed_by(server)
        assert role != "reader" or after == before
        assert role in ("operator", "admin") or after[0] == before[0]


def _changed_by(server: Server) -> tuple[Any, Any]:
    """The moves of the pointer, and the newest change of a document."""
    return server.get("/v1/history").json(), server.get("/v1/status").json()["corpus"]["head"]


def _try(operation: Any, token: str) -> int:
    count = 0

    @given(case=operation.as_strategy())
    @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        response = case.call(headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert response.status_code < 500, (operation.label, response.text)
        documented = operation.definition.raw["responses"]
        assert str(response.status_code) in documented or response.status_code == 405, (
            operation.label,
            response.status_code,
        )

    ask()
    return count


def test_every_route_shows_an_example(server: Server) -> None:
    document = server.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                assert schemas[body["$ref"].rpartition("/")[2]]["examples"], (method, path)
            good = next(iter(operation["responses"].values()))["content"]
            assert "example" in next(iter(good.values())) or "application/json" not in good, (method, path)


def test_fuzzed_bodies_never_kill_a_worker(own_store: Path) -> None:
    chance = random.Random(7)
    seeds = [
        {"query": "apples", "k": 3, "where": "year > 2001"},
        {"queries": ["a", "b"]},
        {"documents": [{"id": "x", "text": "y", "metadata": {"a": [1, {"b": None}]}}]},
        {"reason": "r", "to": "v1"},
        {"pair": "v1", "bound": 0.1},
    ]
    paths = ("/v1/search", "/v1/documents", "/v1/rollback", "/v1/promote", "/v1/check", "/v1/tokens", "/v1/restore")
    with serving(own_store, token=make_token(own_store, "admin")) as server:
        before = server.http.get("/v1/status").json()["searchers"]
        for _ in range(150):
            content = mutated(json.dumps(chance.choice(seeds)).encode(), chance)
            headers = {
                "Content-Type": chance.choice(["application/json", "text/plain", "application/x-www-form-urlencoded"])
            }
            response = server.http.post(chance.choice(paths), content=content, headers=headers)
            assert response.status_code < 500, (content, response.text)
        assert [r["pid"] for r in server.http.get("/v1/status").json()["searchers"]] == [r["pid"] for r in before]
        assert not [entry for entry in server.logged() if "traceback" in entry]


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The body with bytes changed, taken out, doubled, or odd values put in."""
    odd = (
        b'"\\ud800"',
        b"1e999",
        b"NaN",
        b"-1",
        b"null",
        b"[" * 500,
        b"\x00",
        b"9" * 5000,
        b"true",
        b'"' + b"x" * 9000 + b'"',
    )
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made))
        kind = chance.randrange(4)
        if kind == 0:
            made[at] = chance.randrange(256)
        elif kind == 1:
            del made[at : at + chance.randint(1, 8)]
        elif kind == 2:
            made[at:at] = made[at : at + 12]
        else:
            made[at : at + chance.randint(0, 6)] = chance.choice(odd)
        if not made:
            made = bytearray(b" ")
    return bytes(made)
