"""`jobs`: long work is listed, shown, paused, resumed and cancelled.

Covers cli.support.render_jobs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import V1, cli_json, keys_promised, refusal, text
from vecrollback import Pair, Progress, connect
from vecrollback.errors import StoppedError
from vecrollback.reembedding.jobs import Job


@pytest.fixture
def running(store: Path) -> Iterator[Job[Pair]]:
    """A job that has begun and does not end before it is cancelled, or the test is over."""
    began, over = threading.Event(), threading.Event()

    def wait(_: Progress) -> None:
        began.set()
        while not over.wait(0.01):
            if job.status().cancel:
                return

    with connect(store) as opened:
        job = opened.reembed("hash:32?seed=5", name="v3", progress=wait)
        assert began.wait(30)
        yield job
        over.set()
        with contextlib.suppress(StoppedError):
            job.wait(30)


@pytest.fixture
def job(running: Job[Pair]) -> str:
    """Its id."""
    return running.id


def test_unfinished_jobs_are_listed_and_all_of_them_on_demand(store: Path, job: str) -> None:
    listed = cli_json("jobs", "list")
    assert set(listed) == keys_promised("jobs", "list")
    assert [(one["id"], one["pair"]) for one in listed["jobs"]] == [(job, "v3")]
    assert {one["pair"] for one in cli_json("jobs", "list", "--all")["jobs"]} >= {"v1", "v2", "v3"}
    assert job in text("jobs", "list")


def test_a_job_is_paused_resumed_and_cancelled(store: Path, running: Job[Pair], job: str) -> None:
    paused = cli_json("jobs", "pause", job)
    assert set(paused) == keys_promised("jobs", "pause")
    assert paused["paused"]
    assert not cli_json("jobs", "resume", job)["paused"]
    assert cli_json("jobs", "cancel", job)["cancel"]
    with pytest.raises(StoppedError):
        running.wait(30)
    assert cli_json("reembed", "hash:32?seed=5", "--name", "v3")["state"] == "ready"


def test_a_job_shows_what_it_could_not_embed(store: Path) -> None:
    cli_json("reembed", V1, "--name", "v3")
    newest = cli_json("jobs", "list", "--all")["jobs"][0]["id"]
    shown = cli_json("jobs", "show", newest)
    assert set(shown) == keys_promised("jobs", "show")
    assert (shown["state"], shown["unembedded"]) == ("done", [])
    assert "v3" in text("jobs", "show", newest)
    assert refusal("jobs", "show", "nothing", code=2)["type"] == "UnknownNameError"


def test_a_list_of_jobs_is_narrowed(store: Path, job: str) -> None:
    def listed(*options: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = cli_json("jobs", "list", "--all", *options)["jobs"]
        return rows

    assert {one["pair"] for one in listed("--pair", "v1")} == {"v1"}
    assert {one["kind"] for one in listed("--kind", "reembed")} == {"reembed"}
    assert [one["id"] for one in listed("--limit", "1")] == [job]
    assert listed("--kind", "catch-up", "--pair", "v3") == []
    assert listed("--kind", "reembed", "--pair", "v3")[0]["id"] == job
