"""Each route, when all is well and when the request is wrong.

Covers server.app, server.errors, server.metrics, server.routes, server.schemas, server.service.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import cli_json
from tests.support.http_server import QUERIES, V1, Server, build, serving
from tests.support.waiting import wait_for

_NESTED: dict[str, Any] = functools.reduce(lambda inner, _: {"$not": inner}, range(100), {"year": 1})


def error(response: Any, status: int) -> dict[str, Any]:
    """The error of an answer, after its form was seen to be right."""
    assert response.status_code == status, response.text
    told: dict[str, Any] = response.json()["error"]
    assert {"type", "message", "hint"} <= set(told)
    assert told["message"]
    return told


def test_search_answers_what_the_command_line_answers(server: Server, store: Path) -> None:
    over_http = server.post("/v1/search", {"query": QUERIES[1], "k": 4}).json()
    assert over_http == cli_json("search", QUERIES[1], "-k", "4", "--store", store)
    assert over_http["current"] is True


def test_a_batch_is_answered_in_order_and_from_one_pair(server: Server) -> None:
    results = server.post("/v1/search", {"queries": list(QUERIES), "k": 3}).json()["results"]
    alone = [server.post("/v1/search", {"query": query, "k": 3}).json() for query in QUERIES]
    assert [[hit["id"] for hit in one["hits"]] for one in results] == [[h["id"] for h in one["hits"]] for one in alone]
    assert len({(one["pair"], one["epoch"]) for one in results}) == 1
    assert server.post("/v1/search", {"queries": []}).json() == {"results": []}


def test_search_filters(server: Server) -> None:
    as_data = {"query": "apples", "k": 50, "where": {"year": {"$gte": 2050}}}
    found = server.post("/v1/search", {"query": "apples", "k": 50, "where": "year >= 2050"}).json()
    assert server.post("/v1/search", as_data).json() == found
    assert {hit["metadata"]["year"] for hit in found["hits"]} == set(range(2050, 2060))


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 422, "UsageError"),
        ({"query": "a", "queries": ["b"]}, 422, "UsageError"),
        ({"query": "  "}, 400, "UsageError"),
        ({"query": "a", "k": 0}, 422, "UsageError"),
        ({"query": "a", "k": 1001}, 400, "UsageError"),
        ({"query": "a", "k": True}, 422, "UsageError"),
        ({"query": "a", "kk": 3}, 422, "UsageError"),
        ({"query": 7}, 422, "UsageError"),
        ({"query": "a" * 9000}, 400, "UsageError"),
        ({"queries": ["a"] * 129}, 400, "UsageError"),
        ({"query": "a", "where": "nonsense >"}, 422, "BadFilterError"),
        ({"query": "a", "where": "year=" + "+".join(["1"] * 1_000)}, 422, "BadFilterError"),
        ({"query": "a", "where": "repeat('a', 1000000000) = 'a'"}, 422, "BadFilterError"),
        ({"query": "a", "where": "(" * 300_000}, 422, "BadFilterError"),
        ({"query": "a", "where": {"year": {"$regex": "2"}}}, 422, "BadFilterError"),
        ({"query": "a", "where": ["year > 1"]}, 422, "UsageError"),
        ({"query": "a", "where": _NESTED}, 422, "BadFilterError"),
    ],
)
def test_a_wrong_search_is_told_what_is_wrong(server: Server, body: Any, status: int, kind: str) -> None:
    assert error(server.post("/v1/search", body), status)["type"] == kind


@pytest.mark.parametrize("body", [b"{", b"\x80\x81", b"[" * 100_000, b"1" * 10_000, b"", b"null"])
def test_a_body_that_is_no_json_object_is_refused(server: Server, body: bytes) -> None:
    response = server.http.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    error(response, 400 if response.status_code == 400 else 422)


def test_a_body_without_its_content_type_is_told_how_to_send_it(server: Server) -> None:
    refused = error(server.http.post("/v1/search", content=b'{"query": "a"}'), 422)
    assert refused["message"] == "the body is not a JSON object"
    assert "Content-Type: application/json" in refused["hint"]
    assert error(server.post("/v1/search", {}), 422)["message"].startswith("body: give either `query`")


def test_status_pairs_and_history_tell_what_the_commands_tell(server: Server, store: Path) -> None:
    over_http, by_command = server.get("/v1/status").json(), cli_json("status", "--store", store)
    here, there = (status.pop("situation")["lines"] for status in (over_http, by_command))
    assert over_http == by_command
    own = [line for line in here if line["name"] == "queries"]  # only a server sees the traffic
    assert (len(own), [line for line in here if line not in own]) == (1, there)
    assert server.get("/v1/history", params={"limit": 2}).json() == cli_json(
        "history", "--all", "--limit", "2", "--store", store
    )
    assert server.get("/v1/pairs").json() == cli_json("pairs", "--store", store)
    error(server.get("/v1/history", params={"limit": 0}), 422)


def test_what_is_unknown_is_404_in_the_same_form(server: Server) -> None:
    assert error(server.get("/v1/nothing"), 404)["message"] == "there is nothing at /v1/nothing"
    assert error(server.get("/v1/search"), 405)["message"] == "/v1/search does not take GET"
    assert error(server.get("/v1/jobs/none"), 404)["type"] == "UnknownNameError"
    assert error(server.get("/v1/jobs/none/events"), 404)["type"] == "UnknownNameError"
    assert error(server.post("/v1/jobs/none/cancel", None), 404)["type"] == "UnknownNameError"
    assert error(server.get("/v1/check", params={"pair": "v9"}), 404)["type"] == "UnknownNameError"
    assert error(server.post("/v1/promote", {"pair": "v9"}), 404)["type"] == "UnknownNameError"
    assert error(server.post("/v1/promote", {"pair": "v9", "wait": False}), 404)["type"] == "UnknownNameError"


def test_documents_are_written_found_and_deleted_for_good(own_store: Path) -> None:
    with serving(own_store) as server:
        new = {"id": "new", "text": "persimmons of crate 99", "metadata": {"year": 2099}}
        written = server.post("/v1/documents", {"documents": [new]}).json()
        assert written == _written(61, written=1)
        cli_json("catch-up", "--store", own_store)
        ask = {"query": "persimmons of crate 99", "k": 1}
        assert server.post("/v1/search", ask).json()["hits"][0]["id"] == "new"
        assert server.delete("/v1/documents", {"ids": ["new"]}).json() == _written(62, deleted=1)
        assert server.post("/v1/search", ask).json()["hits"][0]["id"] != "new"
        entries = server.get("/v1/audit").json()["entries"]
        assert [(e["actor"], e["action"], e["subject"]) for e in entries] == [
            ("keeper", "documents.delete", "new"),
            ("keeper", "documents.upsert", "new"),
        ]


def test_documents_that_cannot_be_stored_are_refused_whole(server: Server) -> None:
    good = {"id": "good", "text": "fine"}
    bad = {"id": " ", "text": "blank id"}
    assert error(server.post("/v1/documents", {"documents": [good, bad]}), 422)["type"] == "BadDocumentError"
    assert error(server.post("/v1/documents", {"documents": [good, good]}), 422)["type"] == "BadDocumentError"
    error(server.post("/v1/documents", {"documents": [good] * 1001}), 400)
    error(server.post("/v1/documents", [good]), 422)
    error(server.delete("/v1/documents", {"ids": "d1"}), 422)
    assert server.post("/v1/search", {"query": "fine", "k": 60}).json()["watermark"] == 60


def test_rollback_answers_at_the_switch_and_proves_it_as_a_job(own_store: Path) -> None:
    with serving(own_store) as server:
        server.post("/v1/documents", {"documents": [{"id": "d1", "text": "medlars"}]})
        done = server.post("/v1/rollback", {"reason": "worse"}).json()
        assert (done["from"], done["to"], done["searchers"]["acknowledged"], done["lag"]) == ("v2@1", "v1@1", 1, 1)
        assert done["caught_up"] is None
        assert server.post("/v1/search", {"query": "a", "k": 1}).json()["pair"] == "v1"
        wait_for("the job", lambda: server.get(f"/v1/jobs/{done['job']}").json()["state"] == "done")
        assert server.get("/v1/check", params={"pair": "v1"}).json()["verdict"] == "pass"
        assert server.get("/v1/jobs", params={"unfinished": True}).json() == {"jobs": []}
        [move] = server.get("/v1/history", params={"limit": 1}).json()["moves"]
        assert (move["kind"], move["actor"], move["reason"]) == ("rollback", "keeper", "worse")
        assert error(server.post("/v1/rollback", {"reason": "more"}), 409)["type"] == "NoRollbackTargetError"
        assert error(server.post("/v1/promote", {"pair": "v2"}), 409)["type"] == "QuarantinedError"
        error(server.post("/v1/rollback", {}), 422)
        again = server.post("/v1/promote", {"pair": "v2", "override": True, "reason": "it was not at fault"}).json()
        assert (again["to"], again["check"]["verdict"], again["job"]) == ("v2@1", "pass", None)
        whole = server.post("/v1/rollback", {"to": "v1", "reason": "after all", "wait": True}).json()
        assert (whole["to"], whole["check"]["verdict"], whole["job"]) == ("v1@1", "pass", None)
        exact = server.post("/v1/restore", {"ref": "v2@1", "reason": "exactly this", "catch_up": False}).json()
        assert (exact["to"], exact["job"]) == ("v2@1", None)
        assert error(server.post("/v1/restore", {"ref": "v2@9", "reason": "x"}), 404)["type"] == "UnknownNameError"


def test_check_answers_or_goes_on_as_a_job(server: Server) -> None:
    assert server.post("/v1/check", {"pair": "v1"}).json()["verdict"] == "pass"
    assert server.post("/v1/check", {"level": "quick"}).json()["pair"] == "v2"
    begun = server.post("/v1/check", {"pair": "v2", "wait": False})
    assert begun.status_code == 202
    events = _events(server, begun.json()["job"]["id"])
    assert events[-1][0] == "end"
    assert events[-1][1]["state"] == "done"
    error(server.post("/v1/check", {"bound": 2}), 422)
    error(server.post("/v1/check", {"level": "deep"}), 422)


def test_promote_goes_on_as_a_job(own_store: Path) -> None:
    with serving(own_store) as server:
        begun = server.post("/v1/promote", {"pair": "v1", "reason": "back", "wait": False})
        assert begun.status_code == 202
        assert _events(server, begun.json()["job"]["id"])[-1][1]["state"] == "done"
        assert server.get("/v1/status").json()["alias"]["live"]["pair"] == "v1"


def _events(server: Server, job: str) -> list[tuple[str, Any]]:
    with server.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [block.split("\n") for block in "".join(stream.iter_text()).split("\n\n") if block]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in events]


def _written(head: int, **counts: int) -> dict[str, int]:
    return {"seq": head, "head": head, "documents": 1, "written": 0, "unchanged": 0, "deleted": 0, **counts}


def test_health_says_whether_it_answers(server: Server) -> None:
    assert server.get("/healthz").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"ready": True, "current": True, "reason": ""}
    for path in ("/healthz", "/readyz"):
        asked = server.http.head(path)
        assert (asked.status_code, asked.content) == (200, b"")


def test_without_a_live_pair_it_is_not_ready_and_says_so(tmp_path: Path) -> None:
    root = build(tmp_path / "store")
    with serving(root) as server:
        assert server.get("/readyz").status_code == 503
        empty = server.post("/v1/search", {"query": "a"}).json()
        assert (empty["pair"], empty["hits"]) == ("", [])
        assert "no pair is live yet" in empty["reason"]
        new = {"documents": [{"id": "new", "text": "sloes"}], "visible": True}
        assert error(server.post("/v1/documents", new), 404)["type"] == "NoPairServesError"
        assert server.post("/v1/documents/get", {"ids": ["new"]}).json() == {"documents": []}
        cli_json("reembed", V1, "--name", "v1", "--promote", "--store", root)
        assert server.get("/readyz").status_code == 200
        assert server.post("/v1/search", {"query": "a"}).json()["pair"] == "v1"


def test_metrics_count_by_pair_and_tell_what_the_catalog_knows(own_store: Path) -> None:
    with serving(own_store) as server:
        for _ in range(3):
            server.post("/v1/search", {"queries": ["a", "b"]})
        server.post("/v1/search", {"query": "a", "where": "wrong >"})
        server.post("/v1/documents", {"documents": [{"id": "d1", "text": "medlars"}]})
        server.post("/v1/search", {"query": "apples", "k": 60})
        server.post("/v1/rollback", {"reason": "worse", "wait": True})
        lines = server.get("/metrics").text.splitlines()
    assert 'vecrollback_queries_total{pair="v2"} 7.0' in lines
    assert 'vecrollback_query_seconds_count{pair="v2"} 4.0' in lines
    assert 'vecrollback_stale_answers_total{pair="v2"} 1.0' in lines
    assert 'vecrollback_query_errors_total{type="BadFilterError"} 1.0' in lines
    assert 'vecrollback_switch_seconds_count{kind="rollback"} 1.0' in lines
    assert 'vecrollback_epoch{alias="live"} 3.0' in lines
    assert 'vecrollback_pair_lag{pair="v2"} 1.0' in lines
    assert 'vecrollback_pair_state{pair="v2",state="quarantined"} 1.0' in lines
    assert 'vecrollback_pair_check_passed{pair="v1"} 1.0' in lines
    assert any(line.startswith('vecrollback_pair_foreign_bound{pair="v1"} 0') for line in lines)
