"""Writing and embedding at the same time: where it pays, and never more than one finished unit behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import vecrollback
from tests.support import models
from vecrollback import Document
from vecrollback.embedders import open_embedder, sentence_transformers
from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.errors import EngineLostError
from vecrollback.records import Effort, Progress
from vecrollback.reembedding import dispatch
from vecrollback.reembedding.dispatch import Dispatch, Pending, Task, Throttle
from vecrollback.reembedding.engines import Threads, Unit

Events = list[tuple[str, int]]


class Watched(Threads):
    """The engine of one thread; writes down what it is given."""

    def __init__(self, events: Events, count: int = 1) -> None:
        super().__init__(open_embedder("tests.support.models:slow"), count)
        self._seen = events

    def submit(self, unit: Unit) -> None:
        self._seen.append(("begun", unit.number))
        super().submit(unit)


def driven(write: Callable[[], None], count: int = 1) -> Events:
    events: Events = []
    changes = [[Pending(f"d{n}", n, b"", f"note {n}")] for n in range(1, 7)]
    with closing(Watched(events, count)) as engine:
        for task in Dispatch(engine, Throttle()).run(Task([change]) for change in changes):
            write()
            events.append(("written", task.groups[0][0].seq))
    assert sorted(seq for event, seq in events if event == "written") == [1, 2, 3, 4, 5, 6]
    return events


def behind(events: Events) -> Iterator[int]:
    """At each moment, how many units were begun that are not written."""
    begun = written = 0
    for event, _ in events:
        begun, written = begun + (event == "begun"), written + (event == "written")
        yield begun - written


def test_where_writing_takes_long_the_next_unit_is_embedded_meanwhile() -> None:
    events = driven(lambda: time.sleep(0.03))
    for number in range(2, 6):  # nobody knows how long writing takes before the first was written
        assert events.index(("begun", number + 1)) < events.index(("written", number))
    assert max(behind(events)) == 2, "one that is written, one that is embedded"


def test_where_writing_takes_no_time_a_crash_costs_the_unit_in_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models.SECONDS, "0.05")
    monkeypatch.setattr(dispatch, "_WORTH_OVERLAPPING", 0.5)
    assert max(behind(driven(lambda: None))) == 1


def test_several_workers_never_wait_for_the_writer() -> None:
    assert max(behind(driven(lambda: time.sleep(0.01), count=3))) in (3, 4)


def test_what_was_finished_when_the_workers_were_lost_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Threads.submit, []

    def submit(self: Threads, unit: Unit) -> None:
        calls.append(unit)
        if len(calls) == 3:
            raise EngineLostError("the workers are gone")
        real(self, unit)

    monkeypatch.setattr(dispatch, "_WORTH_OVERLAPPING", 0.0)
    monkeypatch.setattr(Threads, "submit", submit)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(700)])
        with pytest.raises(EngineLostError, match="gone"):
            store.reembed(models.PLAIN, name="one").wait()
        assert store.resources.vectors_of(store.pair("one")).rows(store.pair("one").vectors_version) == 512, (
            "both units"
        )


# -- what a job tells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers_queries", [False, True])
def test_a_job_tells_its_pace_and_its_share_of_the_ceiling_while_it_runs_and_afterwards(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, answers_queries: bool
) -> None:
    monkeypatch.setattr(QUERIES_FIRST, "_searchers", int(answers_queries))  # embeds in one call, or in pieces
    monkeypatch.setattr(sentence_transformers, "_WORTH_TIMING", 1)
    seen: list[Progress] = []
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats. " * 9) for n in range(60)])
        job = store.reembed(str(tiny), name="one", progress=seen.append)
        job.wait()
        told = job.status().progress
        tokens = open_embedder(str(tiny)).count_tokens([f"note {n} on boats. " * 9 for n in range(60)])
    last = max(seen, key=lambda progress: progress.tokens)
    assert told["tokens"] == last.tokens == tokens
    assert last.share_of_ceiling is not None
    assert 0 < last.share_of_ceiling < 1
    assert told["share_of_ceiling"] == pytest.approx(last.share_of_ceiling, rel=0.2)
    assert float(str(told["tokens_per_second"])) > 0


@pytest.mark.parametrize("engine", ["inline", "local:2"])
def test_of_a_model_whose_arithmetic_nobody_sees_no_share_is_told(tmp_path: Path, engine: str) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(60)])
        job = store.reembed("hash:32", name="one", effort=Effort(engine))
        job.wait()
        told = job.status().progress
    assert told["share_of_ceiling"] is None
    assert float(str(told["tokens_per_second"])) > 0
