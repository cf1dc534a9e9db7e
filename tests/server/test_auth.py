"""Who may do what, and that it is written down.

Covers store.tokens.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.support import cli_json, refusal
from tests.support.http_server import Server, make_token, serving
from tests.support.waiting import wait_for
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
    ("GET", "/v1/situation", None, "reader"),
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
    ("GET", "/v1/incidents/99/markdown", None, "reader"),
    ("GET", "/v1/snapshots", None, "reader"),
    ("GET", "/v1/snapshots/tags", None, "reader"),
    ("GET", "/v1/golden", None, "reader"),
    ("GET", "/v1/canary", None, "reader"),
    ("GET", "/v1/drills", None, "reader"),
    ("GET", "/v1/unembedded", None, "reader"),
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
    ("POST", "/v1/incidents/99/close", {}, "operator"),
    ("POST", "/v1/snapshots", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/snapshots/tags", {"name": "x", "ref": "nobody@1"}, "operator"),
    ("DELETE", "/v1/snapshots/tags/nobody", None, "operator"),
    ("POST", "/v1/golden", {}, "operator"),
    ("DELETE", "/v1/golden/nobody", None, "operator"),
    ("GET", "/v1/gates?pair=nobody", None, "operator"),
    ("POST", "/v1/canary", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/canary/advance", {}, "operator"),
    ("POST", "/v1/canary/stop", {"reason": "x"}, "operator"),
    ("POST", "/v1/drills", {"chaos": "nobody"}, "operator"),
    ("POST", "/v1/catch-up", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/forecast", {"model": "nobody"}, "operator"),
    ("POST", "/v1/repair", {"pair": "nobody"}, "operator"),
    ("POST", "/v1/unembedded/accept", {"pair": "nobody", "documents": ["a"], "reason": "x"}, "operator"),
    ("POST", "/v1/unembedded/withdraw", {"pair": "nobody", "documents": ["a"]}, "operator"),
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


def asking_from(address: str, server: Server) -> httpx.Client:
    """A client at another address of this machine."""
    transport = httpx.HTTPTransport(verify=False, local_address=address)  # loading certificates takes long
    return httpx.Client(transport=transport, base_url=server.url, timeout=60)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


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
    listed = {(method, path.replace("/tags/nobody", "/tags/{name}")) for method, path in listed}
    listed = {(method, path.replace("/golden/nobody", "/golden/{query}")) for method, path in listed}
    listed = {(method, path.replace("/99", "/{number}")) for method, path in listed}
    assert documented == listed | {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.mark.parametrize("token", [None, "vr_wrong", "x" * 5000])
def test_without_a_known_token_nothing_opens(guarded: Server, token: str | None) -> None:
    for number, (method, path, body, _) in enumerate(_ROUTES):
        # From an address for each few of them: many wrong tokens of one are answered ever later.
        with asking_from(f"127.0.1.{number // 2 + 1}", guarded) as http:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            assert http.request(method, path, json=body, headers=headers).status_code == 401
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200
    assert guarded.get("/v1/status").headers["WWW-Authenticate"] == "Bearer"


def test_wrong_tokens_are_answered_ever_later_and_right_ones_at_once(guarded: Server, tokens: dict[str, str]) -> None:
    start = time.monotonic()
    with asking_from("127.0.2.1", guarded) as http:
        for _ in range(7):
            assert http.get("/v1/whoami", headers=bearer("vr_wrong")).status_code == 401
        assert time.monotonic() - start > 0.6  # 0.2 and 0.4 after five free ones
        assert http.get("/v1/whoami", headers=bearer(tokens["reader"])).json()["name"] == "reader-1"


def test_a_token_opens_nothing_after_its_end_and_says_when_it_was_used_last(own_store: Path) -> None:
    at = ("--store", own_store)
    made = cli_json("token", "create", "--role", "admin", "--name", "brief", "--expires", "30d", *at)
    lasting = cli_json("token", "create", "--role", "admin", "--name", "lasting", *at)
    assert (made["last_used_at"], lasting["expires_at"]) == (None, None)
    with serving(own_store) as server:
        assert server.get("/v1/status", headers=bearer(made["secret"])).status_code == 200
        listed = lambda: {one["name"]: one for one in cli_json("token", "list", *at)["tokens"]}  # noqa: E731
        wait_for("the note of its use", lambda: listed()["brief"]["last_used_at"])
        assert listed()["lasting"]["last_used_at"] is None
        with sqlite3.connect(own_store / "catalog.db") as connection:
            past = "2026-01-01T00:00:00.000000+00:00"
            connection.execute("UPDATE token SET expires_at = ? WHERE name = 'brief'", (past,))
        connection.close()
        look = lambda: server.get("/v1/status", headers=bearer(made["secret"]))  # noqa: E731
        wait_for("its end", lambda: look().status_code == 401, 3)
        assert "expired at 2026-01-01" in look().json()["error"]["message"]
        another = {"role": "reader", "name": "other", "expires": "12h"}
        answer = server.post("/v1/tokens", another, headers=bearer(lasting["secret"]))
        assert answer.status_code == 201, answer.text
        assert answer.json()["expires_at"] > answer.json()["created_at"]
        refused = server.post("/v1/tokens", another | {"expires": "soon"}, headers=bearer(lasting["secret"]))
        assert refused.status_code == 400
    cli_json("token", "revoke", "lasting", *at)
    cli_json("token", "revoke", "other", *at)
    told = refusal("serve", "--host", "0.0.0.0", "--port", "0", *at, code=2)
    assert "there is no token" in told["message"]  # one that is over opens nothing


@pytest.mark.parametrize("end", ["soon", "", "2020-01-01", "0d", "-1d", "99999999d", "90", "1y"])
def test_an_end_that_is_not_a_time_to_come_is_refused(store: Path, end: str) -> None:
    told = refusal("token", "create", "--role", "reader", f"--expires={end}", "--store", store, code=2)
    assert told["type"] == "UsageError"


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
