"""Every route that takes a body, given bodies that nobody meant: a refusal in JSON, never a server error.

Changed are bytes of the route's own example, and values in it: of another type, endless, deep, or no text at all.
`pytest -m slow -s tests/server/test_every_body.py`; the seed is printed and taken from VECROLLBACK_SEED.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.test_openapi import mutated
from tests.support.http_server import Server, make_token, serving

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    10**400,
    1e308,
    "",
    "\ud800",
    "\0",
    "../../etc/passwd",
    "v1@²",
    "x" * 200_000,
    "year=" + "1+" * 1_000 + "1",
    [],
    {},
    [[[[[[[[[[1]]]]]]]]]],
    {"a": {"b": {"c": [{}] * 50}}},
    ["v1"] * 2_000,
    "9999-99-99T99:99:99Z",
    "openai:m?base_url=http://169.254.169.254/v1",
    "tests.support.models:slow",
)
_MOST_BYTES = 1 << 30
"""What a worker may have taken at its largest, models included."""


def bodies(server: Server) -> list[tuple[str, str, Any]]:
    """Method, path and example of every route with a body. Names in paths are those of a pair, a job, an incident."""
    document = server.get("/openapi.json").json()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                example = schema["examples"][0]
                found.append((method.upper(), _filled(path), example))
    return found


def _filled(path: str) -> str:
    names = {"number": "1", "id": "1"}
    while "{" in path:
        begin, end = path.index("{"), path.index("}")
        path = path[:begin] + names.get(path[begin + 1 : end].split(":", maxsplit=1)[0], "v1") + path[end + 1 :]
    return path


def odd_body(example: Any, chance: random.Random) -> bytes:
    """The example with bytes or values changed."""
    if chance.random() < 0.4:
        return mutated(json.dumps(example).encode(), chance)
    made = copy.deepcopy(example)
    for _ in range(chance.randint(1, 2)):
        made = _with_odd_value(made, chance)
    return json.dumps(made).encode()


def _with_odd_value(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {**value, chance.choice(["", "\ud800", "x" * 5_000, "__proto__"]): chance.choice(ODD)}
        return {**value, key: _with_odd_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.6:
        at = chance.randrange(len(value))
        return [*value[:at], _with_odd_value(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def _throw(server: Server, chance: random.Random, count: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    routes = bodies(server)
    assert len(routes) > 30
    for method, path, example in routes:
        for _ in range(count):
            content = odd_body(example, chance)
            response = server.http.request(method, path, content=content, headers={"Content-Type": "application/json"})
            statuses[response.status_code] += 1
            assert response.status_code < 500, (method, path, content[:400], response.text[:400])
            if response.status_code >= 400:
                assert {"type", "message", "hint"} <= set(_error(response)), (
                    method,
                    path,
                    content[:400],
                    response.text[:400],
                )
    return statuses


def _error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    return dict(body.get("error")) if isinstance(body.get("error"), dict) else dict(body)


def _assert_well(server: Server) -> None:
    assert server.get("/healthz").status_code == 200
    assert not [entry for entry in server.logged() if "traceback" in entry]
    [peak] = [
        int(line.split()[1]) << 10
        for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    assert peak < _MOST_BYTES


def test_an_odd_body_is_refused_by_every_route(own_store: Path) -> None:
    with serving(own_store, token=make_token(own_store, "admin")) as server:
        _throw(server, random.Random(3), 3)
        _assert_well(server)


@pytest.mark.slow
def test_many_odd_bodies_are_refused_by_every_route(own_store: Path) -> None:
    seed = os.environ.get("VECROLLBACK_SEED") or str(random.randrange(10**6))
    count = int(os.environ.get("VECROLLBACK_FUZZ", "100"))
    with serving(own_store, token=make_token(own_store, "admin")) as server:
        statuses = _throw(server, random.Random(seed), count)
        print(f"seed {seed}: {sum(statuses.values())} bodies, {dict(sorted(statuses.items()))}")
        _assert_well(server)
