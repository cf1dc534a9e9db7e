"""Who may do what, and that it is written down.

Covers store.tokens.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import cli_json, refusal
from tests.support.http_server import Server, make_token, serving, wait_for
from vecrollback.store.tokens import ROLES

_ROUTES: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/search", {"query": "apples"}, "reader"),
    ("POST", "/v1/embed", {"texts": []}, "reader"),
    ("POST", "/v1/documents/list", {}, "reader"),
    ("POST", "/v1/documents/get", {"ids": []}, "reader"),
    ("POST", "/v1/documents/count", {}, "reader"),
    ("GET", "/v1/documents/namespaces", None, "reader"),
    ("GET", "/v1/bridges", None, "reader"),
    ("GET", "/v1/status", None, "reader"),
    ("GET", "/v1/pairs", None, "reader"),
    ("GET", "/v1/history", None, "reader"),
    ("GET", "/v1/check?pair=v1", None, "reader"),
    ("GET", "/v1/whoami", None, "reader"),
    ("GET", "/v1/reports", None, "reader"),
    ("GET", "/v1/series", None, "reader"),
    ("GET", "/metrics", None, "reader"),
    ("GET", "/v1/incidents", None, "reader"),
    ("GET", "/v1/incidents/99", None, "reader"),
    ("GET", "/v1/report", None, "reader"),
    ("GET", "/v1/policy", None, "reader"),
    ("GET", "/v1/approvals", None, "reader"),
    ("GET", "/v1/freeze", None, "reader"),
    ("POST", "/v1/metrics", {"values": []}, "writer"),
    ("POST", "/v1/documents", {"documents": []}, "writer"),
    ("DELETE", "/v1/documents", {"ids": []}, "writer"),
    ("POST", "/v1/documents/wait", {"seq": 0}, "writer"),
    ("POST", "/v1/documents/namespaces/drop", {"namespace": "nobody"}, "writer"),
    ("POST", "/v1/bridges", {"source": "nobody", "target": "v1"}, "operator"),
    ("POST", "/v1/corpus/rollback", {"to": "nobody", "reason": "x"}, "operator"),
    ("POST", "/v1/ask-model", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/promote", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/rollback", {"to": "nobody", "reason": "x"}, "operator"),
    ("POST", "/v1/restore", {"ref": "nobody@1", "reason": "x"}, "operator"),
    ("POST", "/v1/check", {"level": "quick"}, "operator"),
    ("POST", "/v1/compare", {"query": "apples", "a": "v1", "b": "v2"}, "operator"),
    ("GET", "/v1/map?pair=v1", None, "operator"),
    ("GET", "/v1/jobs", None, "operator"),
    ("GET", "/v1/jobs/nobody", None, "operator"),
    ("GET", "/v1/jobs/nobody/events", None, "operator"),
    ("POST", "/v1/jobs/nobody/cancel", None, "operator"),
    ("POST", "/v1/jobs/nobody/pause", None, "operator"),
    ("POST", "/v1/jobs/nobody/resume", None, "operator"),
    ("POST", "/v1/approvals/99", {"decision": "approve"}, "operator"),
    ("POST", "/v1/freeze", {"reason": "x", "until": "2126-01-01T00:00:00Z"}, "operator"),
    ("DELETE", "/v1/freeze", None, "operator"),
    ("GET", "/v1/tokens", None, "admin"),
    ("POST", "/v1/tokens", {"role": "reader"}, "admin"),
    ("DELETE", "/v1/tokens/nobody", None, "admin"),
    ("GET", "/v1/audit", None, "admin"),
]


@pytest.fixture(scope="module")
def tokens(store: Path) -> dict[str, str]:
    return {role: make_token(store, role, f"{role}-1") for role in ROLES}


@pytest.fixture(scope="module")
def guarded(store: Path, tokens: dict[str, str]) -> Iterator[Server]:
    with serving(store) as running:
        yield running


def ask(server: Server, method: str, path: str, body: Any, token: str | None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return server.http.request(method, path, json=body, headers=headers).status_code


@pytest.mark.parametrize("role", ROLES)
def test_a_token_opens_what_its_role_reaches_and_nothing_more(
    guarded: Server, tokens: dict[str, str], role: str
) -> None:
    for method, path, body, needed in _ROUTES:
        status = ask(guarded, method, path, body, tokens[role])
        allowed = ROLES.index(role) >= ROLES.index(needed)  # type: ignore[arg-type]
        assert (status != 403) is allowed, (role, method, path, status)
        assert status < 500
        assert status != 401


def test_every_route_is_in_the_table(guarded: Server) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in guarded.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    listed = {(method, path.partition("?")[0].replace("/jobs/nobody", "/jobs/{job}")) for method, path, *_ in _ROUTES}
    listed = {(method, path.replace("/tokens/nobody", "/tokens/{name}")) for method, path in listed}
    listed = {(method, path.replace("/99", "/{number}")) for method, path in listed}
    assert documented == listed | {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.mark.parametrize("token", [None, "vr_wrong", "x" * 5000])
def test_without_a_known_token_nothing_opens(guarded: Server, token: str | None) -> None:
    for method, path, body, _ in _ROUTES:
        assert ask(guarded, method, path, body, token) == 401
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200
    assert guarded.get("/v1/status").headers["WWW-Authenticate"] == "Bearer"


def test_what_a_token_changed_is_written_down_with_its_name(own_store: Path) -> None:
    writer, operator = make_token(own_store, "writer", "anna"), make_token(own_store, "operator", "olaf")
    with serving(own_store) as server:
        body = {"documents": [{"id": "x", "text": "secret text"}]}
        assert ask(server, "POST", "/v1/documents", body, writer) == 200
        assert ask(server, "POST", "/v1/rollback", {"reason": "worse"}, operator) == 200
        wait_for("the line", lambda: _lines(server, "/v1/rollback"))  # it is written once the answer is sent
        [line], log = _lines(server, "/v1/rollback"), server.logged()
    assert cli_json("history", "--limit", "1", "--store", own_store)["moves"][0]["actor"] == "olaf"
    first = cli_json("audit", "--store", own_store)["entries"][0]
    assert (first["actor"], first["action"], first["subject"]) == ("anna", "documents.upsert", "x")
    assert any((e.get("actor"), e.get("action")) == ("anna", "documents.upsert") for e in log)
    assert line["actor"] == "olaf"
    assert not [e for e in log if "secret" in json.dumps(e) or writer in json.dumps(e) or "worse" in json.dumps(e)]


def _lines(server: Server, path: str) -> list[dict[str, Any]]:
    return [entry for entry in server.logged() if entry["message"] == "request" and entry["path"] == path]


def test_tokens_are_made_listed_and_revoked(own_store: Path) -> None:
    at = ("--store", own_store)
    made = cli_json("token", "create", "--role", "reader", "--name", "shop", *at)
    assert made["secret"].startswith("vr_")
    assert refusal("token", "create", "--role", "reader", "--name", "shop", *at, code=2)["type"] == "UsageError"
    assert refusal("token", "create", "--role", "king", *at, code=2)["type"] == "UsageError"
    assert refusal("token", "create", "--role", "reader", "--name", " ", *at, code=2)["type"] == "UsageError"
    assert refusal("token", "revoke", "nobody", *at, code=2)["type"] == "UnknownNameError"
    content = b"".join(path.read_bytes() for path in own_store.glob("catalog.db*"))
    assert made["secret"].encode() not in content
    with serving(own_store) as server:
        look = lambda: ask(server, "GET", "/v1/status", None, made["secret"])  # noqa: E731
        assert look() == 200
        cli_json("token", "revoke", "shop", *at)
        wait_for("the revocation", lambda: look() == 401, 3)
        assert ask(server, "GET", "/v1/status", None, None) == 401  # a store that ever had a token stays shut
    [listed] = cli_json("token", "list", *at)["tokens"]
    assert (listed["name"], listed["role"]) == ("shop", "reader")
    assert listed["revoked_at"]


def test_the_first_token_closes_a_running_server(own_store: Path) -> None:
    with serving(own_store) as server:
        made = server.post("/v1/tokens", {"role": "admin", "name": "root"})
        assert made.status_code == 201
        wait_for("the door to close", lambda: ask(server, "GET", "/v1/status", None, None) == 401, 3)
        assert ask(server, "GET", "/v1/status", None, made.json()["secret"]) == 200


def test_others_are_not_served_without_a_token(own_store: Path) -> None:
    told = refusal("serve", "--host", "0.0.0.0", "--port", "0", "--store", own_store, code=2)
    assert "token create" in told["hint"]
    with sqlite3.connect(own_store / "catalog.db") as connection:
        assert connection.execute("SELECT count(*) FROM token").fetchone() == (0,)
