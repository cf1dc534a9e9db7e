"""A job whose process died is told as lost, from everywhere, and is resumed.

Covers reembedding.jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli_json, text
from vecrollback import Document, Store
from vecrollback.catalog import jobs

_RUN = """
    import sys, time, vecrollback
    with vecrollback.connect(sys.argv[1]) as store:
        job = store.reembed("hash:32", name="one", progress=lambda _: (print("batch", flush=True), time.sleep(60)))
        job.wait()
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    opened = vecrollback.connect(tmp_path / "store", create=True)
    opened.upsert([Document(f"d{n}", f"note {n} about boats") for n in range(600)])
    return opened


def begin(store: Store) -> subprocess.Popen[str]:
    """A process whose re-embedding has one batch done, and sits there."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_RUN), str(store.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "batch\n"
    return process


def test_a_job_whose_process_was_killed_is_lost_and_goes_on(store: Store) -> None:
    process = begin(store)
    [job] = store.jobs()
    assert (job.state, job.pid, job.error) == ("running", process.pid, "")
    process.send_signal(signal.SIGKILL)
    while store.jobs()[0].state == "running":  # its parent, this process, has not waited for it: a zombie is dead too
        time.sleep(0.01)
    process.wait()
    [job] = store.jobs(unfinished=True)
    assert job.state == "lost"
    assert str(process.pid) in job.error
    [row] = cli_json("status")["jobs"]
    assert (row["state"], row["error"]) == ("lost", job.error)
    again = store.reembed("hash:32", name="one")
    assert again.id == job.id
    again.wait()
    [done] = store.jobs()
    assert (done.id, done.state, done.pid) == (job.id, "done", os.getpid())


def test_another_process_of_the_same_number_does_not_stand_for_a_dead_one(store: Store) -> None:
    mine = jobs.this_process()
    assert mine.alive
    assert not jobs.ProcessIdentity(mine.host, mine.pid, "another boot/1").alive
    process = begin(store)
    try:
        assert store.jobs()[0].state == "running"
    finally:
        process.kill()
        process.wait()


def test_a_job_of_another_host_is_lost_when_it_is_silent(store: Store) -> None:
    job = store.resources.catalog.jobs.start("reembed", "one")
    with store.resources.catalog._database.write() as connection:
        connection.exec_driver_sql("UPDATE runner SET host = 'elsewhere', pid = 1")
    assert store.job(job.id).state == "running"
    with store.resources.catalog._database.write() as connection:
        connection.exec_driver_sql("UPDATE runner SET heartbeat = heartbeat - 61")
    assert store.job(job.id).state == "lost"
    store.resources.catalog.jobs.beat(job.id)
    assert store.job(job.id).state == "running"


def test_a_job_from_before_processes_were_recorded_is_lost(store: Store) -> None:
    job = store.resources.catalog.jobs.start("reembed", "one")
    with store.resources.catalog._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM runner")
    assert store.job(job.id).state == "lost"


def test_a_job_that_an_older_version_accelerated_is_shown(store: Store) -> None:
    store.reembed("hash:32", name="one").wait()
    [job] = store.jobs()
    number = store.resources.catalog.embedding.begin("one", job.id, "onnx", {"batch_size": 16}, after=1)
    store.resources.catalog.embedding.reached(number, 3)
    assert "batches 2 to 3 by onnx" in text("jobs", "show", job.id)
