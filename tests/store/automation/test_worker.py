"""The background worker as a library."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.cli.support import half_done
from vecrollback import Document, Store
from vecrollback.errors import EmbeddingError, JobCancelledError
from vecrollback.records import Progress
from vecrollback.store.automation.worker import Worker, kept_up


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    half_done(root)
    return root


@pytest.fixture
def opened(store: Store) -> Store:
    return store


def test_the_live_pair_comes_first(opened: Store) -> None:
    assert kept_up(opened) == ["v2", "v1"]


def test_a_round_without_lag_does_nothing(opened: Store) -> None:
    worker = Worker(opened)
    assert worker.run_once().caught_up == 2
    opened.catch_up = None  # type: ignore[method-assign,assignment]
    assert worker.run_once().caught_up == 2


def test_a_failure_of_one_pair_does_not_keep_the_other_back(
    opened: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = opened.catch_up

    def flaky(pair: str, **options: object) -> object:
        if pair == "v2":
            raise EmbeddingError("the service is down")
        return good(pair)

    monkeypatch.setattr(opened, "catch_up", flaky)
    done = Worker(opened).run_once()
    assert (done.failures, done.caught_up) == (1, 1)
    assert "catch-up of v2 failed: the service is down" in caplog.text


def test_run_goes_on_until_it_is_stopped(opened: Store) -> None:
    rounds = iter([False, False, False, True])
    opened.catch_up("v1")
    opened.catch_up("v2")
    done = Worker(opened, stopping=lambda: next(rounds, True)).run(interval=0)
    assert done.rounds >= 1


def test_a_progress_that_stops_ends_the_catch_up(opened: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vecrollback")

    def stop(_: Progress) -> None:
        raise JobCancelledError("enough")

    done = Worker(opened, progress=stop).run_once()
    assert (done.caught_up, done.failures) == (0, 0)
    assert "enough" in caplog.text
    assert opened.catch_up("v1").lag == 0


def test_storage_is_kept_small_now_and_then(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.storage.lance_table._FRAGMENTS_OF_A_TIER", 2)
    worker = Worker(opened)
    for number in range(4):
        opened.upsert([Document(f"n{number}", "cherry")])
    worker.run_once()
    fragments = len(opened.resources.corpus.table.at(opened.resources.corpus.state().version).get_fragments())
    assert fragments <= 3
    tidied: list[bool] = []
    monkeypatch.setattr(opened.retention, "tidy", lambda: tidied.append(True))
    worker.run_once()
    assert tidied == [], "not in every round"
    monkeypatch.setattr("vecrollback.store.automation.worker._TIDY_SECONDS", 0)
    Worker(opened).run_once()
    assert tidied == [True]
