"""Pausing and resuming over HTTP."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.http_server import V1, build, serving
from vecrollback import connect
from vecrollback.client import Client
from vecrollback.errors import UnknownNameError


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
