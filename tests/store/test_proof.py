"""One proof after a move, in the library and over HTTP: what fails in it is told, and the incident is settled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import shell
from tests.support.http_server import V1, V2, build, serving
from tests.support.waiting import wait_for
from vecrollback import Document, Store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store", V1, V2)


@pytest.fixture
def damaged(root: Path) -> Iterator[Path]:
    """The vectors of the pair to go back to are gone, but its snapshot is whole: it serves, and cannot be proven."""
    shutil.rmtree(root / "tables/vectors-v1.lance")
    yield root


def test_a_proof_tells_what_it_did(store: Store) -> None:
    store.upsert([Document("new", "medlars")])
    moved = store.rollback(reason="worse answers", catch_up=False)
    assert (moved.caught_up, moved.report) == (None, None)
    proven = store.prove(moved)
    assert proven.caught_up is not None
    assert proven.report is not None
    assert (proven.caught_up.documents, proven.report.verdict, proven.trouble) == (1, "pass", "")
    [incident] = store.incidents.all()
    assert (incident.verdict, incident.trouble) == ("pass", "")
    assert incident.timeline.verified is not None


def test_a_proof_that_fails_is_told_in_the_result_and_in_the_incident(damaged: Path) -> None:
    with vecrollback.connect(damaged) as store:
        moved = store.rollback(reason="worse answers")
        assert moved.target == "v1@1"
        assert moved.report is None
        assert "vectors-v1" in moved.trouble
        assert [incident.trouble for incident in store.incidents.all()] == [moved.trouble]


def test_a_check_that_fails_after_a_catch_up_leaves_the_catch_up_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Store, "check", broken)
    store.upsert([Document("new", "medlars")])
    moved = store.rollback(reason="worse answers")
    assert moved.caught_up is not None
    assert (moved.caught_up.documents, moved.trouble) == (1, "no space left on device")
    [incident] = store.incidents.all()
    assert incident.timeline.caught_up is not None, "it was settled all the same"
    assert (incident.verdict, incident.trouble) == (None, "no space left on device")


_SLOW_MODEL = """
import time
from pathlib import Path
import numpy as np

def embed(texts):
    time.sleep(0.002 * len(texts))
    while Path(__file__).with_name("hold").exists():
        time.sleep(0.01)
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1] * 4 for t in texts], np.float32)
"""


def test_a_proof_that_is_cancelled_ends_its_job_as_cancelled_and_is_told_in_the_incident(tmp_path: Path) -> None:
    (tmp_path / "slow_model.py").write_text(_SLOW_MODEL)
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', Path.cwd())}"
    root = tmp_path / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document("d0", "apples")])
    for name, embedder in (("v1", "slow_model:embed"), ("v2", V2)):
        shell("reembed", embedder, "--name", name, "--promote", "--store", root, env={"PYTHONPATH": path})
    with vecrollback.connect(root) as store:
        store.upsert([Document(f"n{n}", f"crate {n}") for n in range(2_000)])
    with serving(root, env={"PYTHONPATH": path}) as server:
        (tmp_path / "hold").touch()
        done = server.post("/v1/rollback", {"reason": "worse answers"}).json()
        assert done["to"] == "v1@1"
        assert server.post(f"/v1/jobs/{done['job']}/cancel", None).json()["state"] == "running"
        (tmp_path / "hold").unlink()
        wait_for("the job", lambda: server.get(f"/v1/jobs/{done['job']}").json()["state"] != "running", 60)
        assert server.get(f"/v1/jobs/{done['job']}").json()["state"] == "cancelled"
        [incident] = server.get("/v1/incidents").json()["incidents"]
        assert "was cancelled" in incident["trouble"]


def test_a_proof_that_fails_over_http_is_told_in_the_answer_and_in_the_incident(damaged: Path) -> None:
    with serving(damaged) as server:
        done = server.post("/v1/rollback", {"reason": "worse answers", "wait": True}).json()
        assert (done["to"], done["check"], done["job"]) == ("v1@1", None, None)
        assert "vectors-v1" in done["trouble"]
        [incident] = server.get("/v1/incidents").json()["incidents"]
        assert incident["trouble"] == done["trouble"]


def test_a_proof_that_fails_in_its_job_is_told_by_the_job_and_in_the_incident(damaged: Path) -> None:
    with serving(damaged) as server:
        done = server.post("/v1/rollback", {"reason": "worse answers"}).json()
        assert (done["to"], done["trouble"]) == ("v1@1", "")
        wait_for("the job", lambda: server.get(f"/v1/jobs/{done['job']}").json()["state"] != "running")
        job = server.get(f"/v1/jobs/{done['job']}").json()
        assert job["state"] == "failed"
        [incident] = server.get("/v1/incidents").json()["incidents"]
        assert "vectors-v1" in incident["trouble"]
        assert job["error"].startswith(f"v1@1 serves, but: {incident['trouble']}")
