"""What an operator does beside the moves, over HTTP and through the clients, and what the store says afterwards.

Covers server.operation_schemas, client.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from tests.support.http_server import fresh, make_token, serving
from tests.support.waiting import wait_for
from vecrollback import AsyncClient, Client, Document, connect
from vecrollback.errors import AccessDeniedError, PairStateError, UnknownNameError, UsageError

_POLICY = """
[canary]
shadow = 50
steps = [40, 100]
bake_seconds = 0

[policy]
interval = "600s"

[policy.authority]
restore_approvals = 2

[[policy.metric]]
source = "error_rate"
"""


@pytest.fixture
def operated(own_store: Path) -> Path:
    (own_store / "vecrollback.toml").write_text(_POLICY)
    return own_store


def test_a_canary_is_started_advanced_and_stopped(operated: Path) -> None:
    with serving(operated) as server, Client(server.url) as client, connect(operated) as store:
        assert client.canary() is None
        begun = client.start_canary("v1", reason="once more")
        assert (begun.canary.pair, begun.canary.step, begun.canary.started_by) == ("v1", 0, "keeper")
        assert begun.canary.salt == ""
        assert "salt" not in server.get("/v1/canary").text
        with pytest.raises(UsageError, match="needs a reason"):
            client.advance_canary(override=True)
        refused = server.post("/v1/canary/advance", {"override": True, "reason": "quiet", "expected_step": 3})
        assert refused.status_code == 409
        assert store.canaries.status().canary.step == 0
        assert client.advance_canary(override=True, reason="a quiet night").canary.share == 40
        running = client.canary()
        assert running is not None
        assert running.canary.step == store.canaries.status().canary.step == 1
        assert server.post("/v1/canary/stop", {"reason": " "}).status_code == 422
        assert client.stop_canary(reason="answers are off").end_reason == "answers are off"
        with pytest.raises(UnknownNameError):
            store.canaries.status()
        assert [one["pair"] for one in server.get("/v1/canary").json()["history"]] == ["v1"]


def test_gates_tell_what_a_promote_would_say(own_store: Path) -> None:
    (own_store / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0"]\n')
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        verdict = client.gates("v1")
        assert verdict == store.gates.look("v1")
        assert [one.gate for one in verdict.outcomes][1:] == ["lag = 0"]
        assert store.live().name == "v2"
        with pytest.raises(UnknownNameError):
            client.gates("v9")


def test_golden_queries_are_kept_and_forgotten(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        kept = client.add_golden("apples of crate 0", ["d0"], tags=["incident-1"])
        assert (kept.expected, kept.created_by) == ({"d0": 1}, "keeper")
        assert tuple(client.golden("incident-1")) == store.golden.list("incident-1") == (kept,)
        client.remove_golden(kept.id)
        assert store.golden.list() == ()
        with pytest.raises(UnknownNameError):
            client.remove_golden(kept.id)
        for name in ("a/b", "/a", "a b?c#d"):
            client.add_golden("pears", ["d1"], id=name)
            client.remove_golden(name)
        assert store.golden.list() == ()


def test_snapshots_are_taken_named_and_a_restore_is_planned(operated: Path) -> None:
    with serving(operated) as server, Client(server.url) as client, connect(operated) as store:
        server.post("/v1/documents", {"documents": [{"id": "d1", "text": "medlars"}]})
        assert client.snapshots() == store.snapshots()
        client.tag("monday", "v1@1")
        assert client.tags()["monday"] == store.tags()["monday"] == "v1@1"
        before = store.live()
        plan = client.plan_restore("monday")
        assert plan == store.plan_restore("v1@1")
        assert (plan.target, plan.live, plan.lag, plan.approvals, plan.obstacle) == ("v1@1", "v2@1", 1, 2, "")
        assert plan.taken_at == client.snapshots("v1")[0].created_at
        assert store.live() == before
        assert server.post("/v1/restore", {"ref": "v1@1"}).status_code == 422
        client.untag("monday")
        assert "monday" not in store.tags()
        store.catch_up("v2", advance=False)
        assert client.snapshot("v2").ref == "v2@2"


def test_a_restore_waits_for_two_people_and_the_second_makes_it(operated: Path) -> None:
    secrets = [make_token(operated, "operator", name) for name in ("anna", "bert")]
    with serving(operated, token=secrets[0]) as server, connect(operated) as store:
        asked = server.post("/v1/restore", {"ref": "v1@1", "reason": "as on Monday", "catch_up": False})
        assert asked.json()["error"]["type"] == "ApprovalNeededError"
        with Client(server.url, secrets[0]) as anna, Client(server.url, secrets[1]) as bert:
            [request] = anna.approvals(waiting=True)
            assert request == store.approvals.all(state="waiting")[0]
            assert anna.approve(request.number).switched is None
            body = {"decision": "approve", "reason": "yes", "wait": False}
            done = fresh(
                server.url,
                "POST",
                f"/v1/approvals/{request.number}",
                json=body,
                headers={"Authorization": f"Bearer {secrets[1]}"},
            ).json()
            assert (done["approval"]["state"], done["switched"]["to"]) == ("done", "v1@1")
            wait_for("the proof", lambda: bert.jobs(kind="restore")[0].state == "done")
            assert store.live().name == "v1"
            server.post("/v1/restore", {"ref": "v2@1", "reason": "and back"})
            [other] = anna.approvals(waiting=True)
            assert bert.reject(other.number, reason="no").state == "rejected"


def test_an_incident_is_read_and_closed(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        client.rollback(reason="worse answers")
        [incident] = client.incidents(limit=5)
        assert incident == store.incidents.get(1) == client.incident(1)
        assert "# Incident 1" in server.get("/v1/incidents/1/markdown").text
        assert server.post("/v1/incidents/1/close", {"cause": ""}).status_code == 422
        closed = client.close_incident(1, cause="a prompt was missing", nature="false_alarm")
        assert (closed.state, closed.nature, closed.notes["closed_by"]) == ("closed", "false_alarm", "keeper")
        assert store.incidents.get(1) == closed
        with pytest.raises(UsageError, match="closed already"):
            client.close_incident(1, cause="again")


def test_automation_is_frozen_until_somebody_lifts_it(operated: Path) -> None:
    with serving(operated) as server, Client(server.url) as client, connect(operated) as store:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        frozen = client.freeze("release day", until=until)
        assert client.current_freeze() == store.freezes.current() == frozen
        assert client.unfreeze() is True
        assert client.current_freeze() is None
        with pytest.raises(UsageError, match="no time zone"):
            client.freeze("x", until=dt.datetime(2126, 1, 1))
        written = client.policy()["policy"]
        assert [one["source"] for one in written["metrics"]] == ["error_rate"]
        assert written["automatic"] is True
        assert server.get("/v1/policy").json()["trouble"] == ""


def test_a_pair_is_brought_up_to_date_and_mended(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        client.upsert([Document("d1", "medlars")])
        assert store.lag("v1") == 1
        assert client.catch_up("v1").lag == store.lag("v1") == 0
        begun = server.post("/v1/catch-up", {"pair": "v2"})
        assert begun.status_code == 202
        job = begun.json()["job"]["id"]
        wait_for("the job", lambda: server.get(f"/v1/jobs/{job}").json()["state"] == "done")
        assert store.lag("v2") == 0
        assert client.repair("v1") == store.report("v1")
        mending = server.post("/v1/repair", {"pair": "v1"}).json()["job"]["id"]
        wait_for("the repair", lambda: server.get(f"/v1/jobs/{mending}").json()["state"] == "done")
        assert {"pair.repair", "pair.catch-up"} <= {one["action"] for one in server.get("/v1/audit").json()["entries"]}


def test_a_document_without_a_vector_is_accepted_by_name(own_store: Path) -> None:
    with connect(own_store) as store:
        store.upsert([Document("d1", "a note on poison")])
        store.reembed("tests.support.models:touchy", name="touchy").wait()
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        [left_out] = client.unembedded_documents(pair="touchy")
        assert (left_out.document, left_out.acceptance) == ("d1", None)
        assert client.unembedded_documents("nobody") == []
        [accepted] = client.accept("touchy", ["d1"], reason="nobody asks for it")
        assert accepted.acceptance
        assert (accepted.acceptance.actor, accepted.acceptance.reason) == ("keeper", "nobody asks for it")
        assert [accepted] == store.unembedded_documents(pair="touchy")
        assert [one.kind for one in store.check("touchy").findings] == ["accepted"]
        assert client.withdraw_acceptance("touchy", ["d1"]) == [left_out]
        with pytest.raises(UnknownNameError):
            client.accept("touchy", ["d2"], reason="it has a vector")
        assert server.post("/v1/unembedded/accept", {"pair": "touchy", "documents": ["d1"]}).status_code == 422
        actions = [one["action"] for one in server.get("/v1/audit").json()["entries"]]
        assert {"document.accept", "document.withdraw"} <= set(actions)

    async def run(url: str) -> None:
        async with AsyncClient(url) as waiting:
            [accepted] = await waiting.accept("touchy", ["d1"], reason="nobody asks for it")
            assert [accepted] == await waiting.unembedded_documents(pair="touchy")
            assert await waiting.withdraw_acceptance("touchy", ["d1"]) == [left_out]

    with serving(own_store) as server:
        asyncio.run(run(server.url))


def test_a_drill_is_run_and_listed(own_store: Path) -> None:
    with serving(own_store) as server, Client(server.url) as client, connect(own_store) as store:
        before = store.live()
        begun = server.post("/v1/drills", {})
        assert begun.status_code == 202
        job = begun.json()["job"]["id"]
        wait_for("the drill", lambda: server.get(f"/v1/jobs/{job}").json()["state"] == "done", 120)
        [drill] = client.drills(limit=3)
        assert (drill.verdict, drill.actor) == ("pass", "keeper")
        assert drill == store.drills()[0]
        assert store.live() == before
        assert server.post("/v1/drills", {"chaos": "rain", "wait": True}).status_code == 400


def test_a_reader_looks_and_moves_nothing(operated: Path) -> None:
    reader = make_token(operated, "reader")
    with serving(operated, token=reader) as server, Client(server.url, reader) as client:
        for path in ("canary", "golden", "drills", "snapshots", "snapshots/tags", "incidents", "approvals", "policy"):
            assert server.get(f"/v1/{path}").status_code == 200
        for ask in (
            lambda: client.start_canary("v1"),
            lambda: client.stop_canary(reason="x"),
            lambda: client.add_golden("a", ["b"]),
            lambda: client.remove_golden("a"),
            client.snapshot,
            lambda: client.tag("a", "v1@1"),
            lambda: client.untag("a"),
            lambda: client.plan_restore("v1@1"),
            client.drill,
            lambda: client.freeze("x"),
            lambda: client.close_incident(1, cause="x"),
            lambda: client.reject(1, reason="x"),
            lambda: client.gates("v1"),
        ):
            with pytest.raises(AccessDeniedError):
                ask()


def test_the_async_client_operates_too(operated: Path) -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client:
            assert (await client.start_canary("v1")).canary.pair == "v1"
            with pytest.raises(PairStateError):
                await client.start_canary("v1")
            await client.stop_canary(reason="enough")
            kept = await client.add_golden("apples", {"d0": 2})
            assert await client.golden() == [kept]
            assert (await client.plan_restore("v1@1")).target == "v1@1"
            assert await client.incidents() == []

    with serving(operated) as server:
        asyncio.run(run(server.url))
