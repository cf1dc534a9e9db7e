"""Pausing and resuming over HTTP."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.http_server import V1, build, serving
from tests.support.waiting import wait_for
from vecrollback import Document, connect
from vecrollback.client import Client
from vecrollback.errors import UnknownNameError
from vecrollback.server.settings import ServerSettings


def test_a_job_is_paused_and_resumed_over_http_and_the_audit_says_by_whom(tmp_path: Path) -> None:
    root = build(tmp_path / "store", V1)
    ended = threading.Event()
    with connect(root) as store, serving(root) as server:
        job = store.start_job("re-embed", "v1", lambda _: ended.wait(30))
        try:
            for action, paused in (("pause", True), ("pause", True), ("resume", False)):
                answer = server.post(f"/v1/jobs/{job.id}/{action}", {})
                assert (answer.status_code, answer.json()["paused"]) == (200, paused)
                assert store.job(job.id).paused is paused
            assert server.post("/v1/jobs/nobody/pause", {}).status_code == 404
            with Client(server.url) as client:
                assert client.pause(job.id).paused
                assert store.job(job.id).paused
                assert not client.resume(job.id).paused
                with pytest.raises(UnknownNameError):
                    client.pause("nobody")
            done = [(entry.action, entry.subject) for entry in store.access.audit()]
            assert ("job.pause", job.id) in done
            assert ("job.resume", job.id) in done
        finally:
            ended.set()
            job.wait(30)


@pytest.mark.parametrize("ending", ["cancel", "SIGTERM"])
def test_a_check_that_goes_on_as_a_job_stops_within_a_batch(tmp_path: Path, ending: str) -> None:
    root, hold = tmp_path / "store", tmp_path / "hold"
    with connect(root, create=True) as store:
        store.upsert(Document(f"d{n}", f"note {n} of many") for n in range(60))
        store.promote(store.reembed("tests.support.models:slow", name="v1").wait(), reason="first")
    env = {"MODELS_SECONDS": "0.3", "MODELS_HOLD": str(hold), "VECROLLBACK_HELPER": "never"}
    with serving(root, env=env) as server:
        job = server.post("/v1/check", {"wait": False}).json()["job"]["id"]
        embedding = "check: embedding texts again"
        wait_for("a batch", lambda: server.get(f"/v1/jobs/{job}").json()["progress"].get("phase") == embedding)
        hold.touch()  # so that no check, however fast, comes to its end before it is told to stop
        if ending == "cancel":
            assert server.post(f"/v1/jobs/{job}/cancel", {}).json()["cancel"] is True
            hold.unlink()
            wait_for("the job", lambda: server.get(f"/v1/jobs/{job}").json()["state"] != "running")
        else:
            server.process.terminate()
            hold.unlink()
            assert server.process.wait(30) == 0
    with connect(root) as store:
        assert store.job(job).state == "cancelled"


def test_a_stream_too_many_is_told_to_come_back_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    root = build(tmp_path / "store", V1)
    ended = threading.Event()
    with connect(root) as store, serving(root) as server, server.client() as http:
        job = store.start_job("re-embed", "v1", lambda _: ended.wait(60))
        path = f"/v1/jobs/{job.id}/events"
        try:
            with ExitStack() as streams:
                for _ in range(ServerSettings().max_streams):
                    assert streams.enter_context(http.stream("GET", path)).status_code == 200
                refused = server.get(path)
                assert (refused.status_code, refused.json()["error"]["type"]) == (429, "OverloadedError")
                assert refused.headers["Retry-After"] == "5"

            def goes() -> bool:
                with http.stream("GET", path) as stream:
                    return stream.status_code == 200

            wait_for("room", goes)
        finally:
            ended.set()
            job.wait(30)
