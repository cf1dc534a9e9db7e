"""A live pair whose model hangs: whatever an operator needs goes on, the way back before all.

Covers server.pools, server.moves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.http_server import NO_TLS, V1, Server, build, fresh, serving
from tests.support.waiting import wait_for
from vecrollback import connect

_MODEL = """
import time
from pathlib import Path
import numpy as np

HANG = Path(__file__).with_name("hang")

def embed(texts):
    if HANG.exists():
        HANG.with_name("asked").touch()
    while HANG.exists():
        time.sleep(0.02)
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1, t.count("1") + 1, 1] * 2 for t in texts], np.float32)
"""


@dataclass
class Hanging:
    """A server whose live pair `slow` has a model that can be made to hang; `v1` stands by."""

    server: Server
    folder: Path

    @contextmanager
    def hung(self, requests: int, path: str, body: object) -> Iterator[list[Future[httpx.Response]]]:
        """Let the model hang, with so many requests that wait for it; they are answered once it goes on."""
        (self.folder / "hang").touch()
        with ThreadPoolExecutor(requests) as pool:
            try:
                waiting = [pool.submit(fresh, self.server.url, "POST", path, json=body) for _ in range(requests)]
                wait_for("the model to be asked", (self.folder / "asked").exists)
                time.sleep(0.5)  # for the other requests to get where they wait
                yield waiting
            finally:
                (self.folder / "hang").unlink(missing_ok=True)

    def soon(self, method: str, path: str, body: object = None) -> httpx.Response:
        """An answer that waits for nothing."""
        with httpx.Client(base_url=self.server.url, timeout=20, verify=NO_TLS) as http:
            return http.request(method, path, json=body)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Hanging]:
    (tmp_path / "hanging_model.py").write_text(_MODEL)
    store = build(tmp_path / "store", V1)
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', Path.cwd())}", "VECROLLBACK_HELPER": "never"}
    from tests.cli.support import shell

    done = shell("reembed", "hanging_model:embed", "--name", "slow", "--promote", "--store", store, env=env)
    assert done.returncode == 0, done.stderr
    with serving(store, env=env) as server:
        assert server.post("/v1/search", {"query": "apples"}).json()["pair"] == "slow"
        yield Hanging(server, tmp_path)


def test_callers_of_embed_keep_nothing_waiting_that_needs_no_model(hanging: Hanging) -> None:
    with hanging.hung(6, "/v1/embed", {"queries": ["apples"]}) as waiting:
        for path in ("/healthz", "/readyz", "/v1/status", "/v1/situation", "/metrics", "/v1/jobs", "/v1/history"):
            assert hanging.soon("GET", path).status_code == 200, path
        assert hanging.soon("POST", "/v1/search", {"query": "apples", "mode": "keyword"}).status_code == 200
        assert hanging.soon("POST", "/v1/documents/get", {"ids": ["d1"]}).status_code == 200
        assert hanging.soon("POST", "/v1/freeze", {"reason": "its model hangs"}).status_code == 200
        assert hanging.soon("POST", "/v1/rollback", {"reason": "its model hangs"}).json()["to"] == "v1@1"
        assert not any(one.done() for one in waiting)
    assert {one.result().status_code for one in waiting} == {200}


def test_a_keyword_search_waits_for_no_query_that_waits_for_the_model(hanging: Hanging) -> None:
    with hanging.hung(1, "/v1/search", {"query": "apples", "k": 1}), ThreadPoolExecutor(8) as pool:
        bodies = [{"query": "apples", "k": k} for k in range(2, 8)]  # of which no two can be answered by one call
        waiting = [pool.submit(fresh, hanging.server.url, "POST", "/v1/search", json=body) for body in bodies]
        time.sleep(0.5)
        assert hanging.soon("POST", "/v1/search", {"query": "apples", "mode": "keyword"}).status_code == 200
        assert hanging.soon("POST", "/v1/rollback", {"reason": "its model hangs"}).json()["to"] == "v1@1"
        assert not any(one.done() for one in waiting)
        (hanging.folder / "hang").unlink()


def test_a_rollback_waits_for_no_check_and_is_answered_when_it_is_made(hanging: Hanging) -> None:
    with hanging.hung(8, "/v1/check", {"pair": "slow"}) as waiting:
        full = hanging.soon("POST", "/v1/check", {"pair": "slow"})
        assert (full.status_code, full.json()["error"]["type"]) == (429, "OverloadedError")
        moved = hanging.soon("POST", "/v1/rollback", {"reason": "its model hangs"}).json()
        assert (moved["to"], moved["trouble"]) == ("v1@1", "")
        wait_for("the proof", lambda: hanging.soon("GET", f"/v1/jobs/{moved['job']}").json()["state"] == "done")
        assert not any(one.done() for one in waiting)
        body = {"ref": "v1@1", "reason": "once more", "wait": True}
        again = hanging.soon("POST", "/v1/restore", body).json()
        assert (again["check"]["verdict"], again["job"]) == ("pass", None)


def test_a_promote_that_waited_longer_than_its_caller_is_not_made(hanging: Hanging) -> None:
    with hanging.hung(4, "/v1/check", {"pair": "slow"}), pytest.raises(httpx.ReadTimeout):
        body = {"pair": "v1", "reason": "nobody waits for this"}
        httpx.post(f"{hanging.server.url}/v1/promote", json=body, timeout=1, verify=NO_TLS)
    wait_for("the promote to be dropped", lambda: any("/v1/promote" in str(one) for one in hanging.server.logged()))
    assert hanging.soon("POST", "/v1/check", {"pair": "v1"}).status_code == 200  # behind it in the same queue
    assert hanging.soon("GET", "/v1/status").json()["alias"]["live"]["pair"] == "slow"
    with connect(hanging.folder / "store") as store:
        assert "nobody waits for this" not in {move.reason for move in store.history()}
