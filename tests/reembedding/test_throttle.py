"""A job beside a service: it waits when it is told to, by whom it may be told, and for how long."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli_json, start
from tests.support import models
from vecrollback import Document, Progress, Store
from vecrollback.errors import JobCancelledError, UsageError
from vecrollback.records import Effort
from vecrollback.reembedding import dispatch
from vecrollback.reembedding.dispatch import Throttle, Window
from vecrollback.reembedding.engines import EmbedderRecipe, Unit
from vecrollback.reembedding.engines.local import Local

SLOW = "tests.support.models:slow"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(900)])
        yield opened


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- pause and resume -------------------------------------------------------------------------------------------------


def test_a_job_is_paused_and_resumed_from_another_process(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setenv(models.HOLD, str(hold))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    with start("reembed", SLOW, "--name", "one") as process:
        until(store.jobs, 60)  # its first unit is begun, or will be
        job = store.jobs()[0].id
        assert cli_json("jobs", "pause", job)["paused"]
        hold.unlink()
        until(lambda: store.job(job).progress.get("phase") == "paused", 60)
        done = store.pair("one").vectors_version
        time.sleep(1.0)
        assert store.pair("one").vectors_version == done
        assert process.poll() is None
        [row] = cli_json("jobs", "list")["jobs"]
        assert (row["state"], row["paused"], row["pid"]) == ("running", True, process.pid)
        cli_json("jobs", "resume", job)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert store.check("one").verdict == "pass"


def test_a_paused_job_can_be_cancelled_and_starts_unpaused_again(store: Store) -> None:
    job = store.reembed("hash:32", name="one", progress=lambda _: store.pause(store.jobs()[0].id))
    until(lambda: job.status().progress.get("phase") == "paused")
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=20)
    again = store.reembed("hash:32", name="one")
    assert again.id == job.id
    assert again.wait(timeout=60).state == "ready"
    assert not again.status().paused


@pytest.mark.parametrize("engine", ["inline", "local:2"])
def test_what_was_embedded_when_the_pause_came_is_durable_before_it_waits(store: Store, engine: str) -> None:
    seen: list[Progress] = []

    def pause(progress: Progress) -> None:
        seen.append(progress)
        store.pause(progress.job)

    job = store.reembed("hash:32", name="one", progress=pause, effort=Effort(engine))
    until(lambda: job.status().progress.get("phase") == "paused")
    held = store.resources.vectors_of(store.pair("one")).rows(store.pair("one").vectors_version)
    assert held == max(progress.documents for progress in seen) > 0
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=20)


# -- when others need the machine -------------------------------------------------------------------------------------


class Clock:
    """Time and load that a test sets; `time.sleep` moves it on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.load = 0.0, 0.0
        monkeypatch.setattr(dispatch.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(dispatch.time, "sleep", self.sleep)
        monkeypatch.setattr(dispatch.os, "getloadavg", lambda: (self.load, 0.0, 0.0))

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_job_waits_while_others_keep_more_cores_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    told: list[str] = []

    def look(obstacle: str) -> bool:
        told.append(obstacle)
        if len(told) > 20:
            clock.load = 1.0
        return False

    pacer = Throttle(Effort(max_load=1.5), look)
    assert pacer.open(0)
    clock.load = 4.0
    assert not pacer.open(0)
    pacer.wait()
    assert clock.load == 1.0
    assert "others keep 4.0 cores busy" in told[-2]


def test_its_own_work_does_not_keep_a_job_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pacer = Throttle(Effort(max_load=0.5), lambda _: False)
    for _ in range(600):
        clock.now += 1.0
        clock.load += (4.0 - clock.load) * (1 - 2.718281828 ** (-1 / 60))  # four workers, nobody else
        assert pacer.open(4)


# -- hours of the day -------------------------------------------------------------------------------------------------


def test_windows_hold_their_hours_over_midnight_too() -> None:
    night, day = Window.read("22:00-06:00"), Window.read("9:30-17:00")
    assert [night.holds(dt.time(hour)) for hour in (21, 22, 23, 0, 5, 6)] == [False, True, True, True, True, False]
    assert [day.holds(dt.time(*at)) for at in ((9, 29), (9, 30), (16, 59), (17, 0))] == [False, True, True, False]


@pytest.mark.parametrize("text", ["", "22-6", "22:00", "24:00-06:00", "10:00-10:00", "22:60-23:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="window"):
        Window.read(text)


def test_outside_its_window_a_job_waits_and_says_until_when(store: Store) -> None:
    now = dt.datetime.now()
    window = f"{now + dt.timedelta(hours=2):%H:%M}-{now + dt.timedelta(hours=3):%H:%M}"
    job = store.reembed("hash:32", name="one", effort=Effort(window=window))
    until(lambda: str(job.status().progress.get("phase")).startswith("waiting for"))
    assert store.pair("one").vectors_version == 1
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=20)


# -- idle -------------------------------------------------------------------------------------------------------------


def test_idle_workers_are_in_the_idle_class_and_their_driver_is_not() -> None:
    recipe = EmbedderRecipe(models.PLAIN, frozenset({models._MODEL.fingerprint}), idle=True)
    engine = Local(recipe, 1)
    try:
        engine.submit(Unit(1, ("text",)))
        engine.take()
        [pid] = engine.pids
        assert os.sched_getscheduler(pid) == os.SCHED_IDLE or os.getpriority(os.PRIO_PROCESS, pid) == 19
        threads = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
        assert {os.sched_getscheduler(thread) for thread in threads} <= {os.SCHED_IDLE, os.SCHED_OTHER}
    finally:
        engine.close()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_an_idle_job_embeds_in_a_process_of_its_own(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread of this process that is never scheduled could hold the interpreter's lock.
    monkeypatch.setenv(models.LOG, str(tmp_path / "log"))
    store.reembed(SLOW, name="one", effort=Effort(idle=True)).wait()
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert {pid for pid, count in lines if int(count)} - {str(os.getpid())}
    assert not [pid for pid, count in lines if int(count) and pid == str(os.getpid())]


# -- order ------------------------------------------------------------------------------------------------------------


def test_a_catch_up_takes_new_documents_before_changed_ones(store: Store) -> None:
    store.promote(store.reembed("hash:32", name="one").wait(), reason="a test")
    changed = {f"d{n}": f"note {n} on lakes" for n in range(600)}
    store.upsert([Document(id_, text) for id_, text in changed.items()])
    store.upsert([Document(f"new {n}", f"a longer text that is new, number {n}") for n in range(300)])
    store.delete(["d7"])
    seen: list[int] = []

    def count(progress: Progress) -> None:
        with vecrollback.connect(store.root) as other:
            hits = other.search("text that is new", k=2000).hits
        assert "d7" not in [hit.id for hit in hits]
        seen.append(sum(hit.id.startswith("new") for hit in hits))

    store.catch_up("one", progress=count, advance=False)
    assert seen[1] == 300, "two batches of 256 hold all the new ones"
    assert len(seen) > 2
    assert store.lag("one") == 0
    assert store.check("one").verdict == "pass"


def test_every_change_is_counted_once_whatever_the_order(store: Store) -> None:
    store.reembed("hash:32", name="one").wait()
    store.upsert([Document(f"d{n}", f"note {n} on lakes") for n in range(5)])
    store.upsert([Document(f"new {n}", f"text {n}") for n in range(7)])
    store.delete(["d8", "d9"])
    done = store.catch_up("one")
    assert (done.documents, done.embedded, done.lag) == (14, 12, 0)
