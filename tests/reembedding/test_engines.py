"""The engines of this package against the suite.

Covers reembedding.engines.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import PLAIN
from tests.support.third_party import install, install_page
from vecrollback.embedders import open_embedder
from vecrollback.errors import EngineLostError, UsageError
from vecrollback.reembedding.engines import (
    EmbeddedUnit,
    EmbedderRecipe,
    Engine,
    FailedUnit,
    Threads,
    Unit,
    check_setting,
    open_engine,
)
from vecrollback.reembedding.engines.dask import Cluster
from vecrollback.reembedding.engines.local import Local
from vecrollback.testing import EngineConformance
from vecrollback.testing.engine_suite import texts


def opened(setting: str, recipe: EmbedderRecipe) -> Engine:
    return open_engine(setting, recipe, open_embedder(recipe.spec))


class TestInline(EngineConformance):
    kills = False

    def engine(self, recipe: EmbedderRecipe) -> Engine:
        return opened("inline", recipe)

    def test_another_model_at_the_worker_ends_the_job(self) -> None:
        pytest.skip("this engine shares the embedder of the process, so there is no second one to compare")


class TestLocal(EngineConformance):
    def engine(self, recipe: EmbedderRecipe) -> Engine:
        return opened("local:2", recipe)

    @pytest.mark.usefixtures("plain_processes")
    def test_workers_end_with_their_driver(self) -> None:
        engine = self.engine(EmbedderRecipe(PLAIN, frozenset({open_embedder(PLAIN).fingerprint})))
        assert isinstance(engine, Local)
        engine.submit(Unit(1, texts(1)))
        engine.take()
        [pid] = engine.pids
        engine.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_a_worker_killed_from_outside_is_replaced(self) -> None:
        engine = self.engine(EmbedderRecipe("tests.support.models:slow", _fingerprint("tests.support.models:slow")))
        assert isinstance(engine, Local)
        try:
            engine.submit(Unit(1, texts(1)))
            os.kill(engine.pids[0], signal.SIGKILL)
            failed = engine.take()
            assert isinstance(failed, FailedUnit)
            assert failed.died
            assert "SIGKILL" in failed.message
            engine.submit(Unit(1, texts(1)))
            assert isinstance(engine.take(), EmbeddedUnit)
        finally:
            engine.close()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Where a scheduler with two workers of this machine listens."""
    distributed = pytest.importorskip("distributed", reason="pip install 'vecrollback[dask]'")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


class TestDask(EngineConformance):
    @pytest.fixture(autouse=True)
    def connected(self, scheduler: str) -> None:
        self.address = scheduler

    def engine(self, recipe: EmbedderRecipe) -> Engine:
        return opened(self.address, recipe)


class TestRay(EngineConformance):
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("ray", reason="pip install 'vecrollback[ray]'")

    def engine(self, recipe: EmbedderRecipe) -> Engine:
        return opened("ray:2", recipe)


def test_a_service_is_asked_from_this_process_where_one_limit_holds() -> None:
    spec = "openai:m?base_url=http://127.0.0.1:9&dimensions=8&price=1&spend_limit=1"
    recipe = EmbedderRecipe(spec, _fingerprint(spec))
    engine = opened("local:8", recipe)
    assert isinstance(engine, Threads)
    assert engine.width == 8
    for elsewhere in ("dask://127.0.0.1:1", "dask:2", "ray:2"):
        with pytest.raises(UsageError, match="no limit would hold"):
            opened(elsewhere, recipe)


@pytest.mark.parametrize("setting", ["", "remote", "local:0", "local:", "dask://", "inline:3", "local:2 "])
def test_a_setting_that_names_no_engine_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="not a valid engine"):
        check_setting(setting)


def _fingerprint(spec: str) -> frozenset[str]:
    return frozenset({open_embedder(spec).fingerprint})


def test_a_scheduler_that_is_not_there_ends_the_job_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="pip install 'vecrollback[dask]'")
    monkeypatch.setattr("vecrollback.reembedding.engines.dask._CONNECT_SECONDS", 1)
    engine = opened("dask://127.0.0.1:1", EmbedderRecipe(PLAIN, _fingerprint(PLAIN)))
    with pytest.raises(EngineLostError, match=r"no Dask scheduler at dask://127\.0\.0\.1:1"):
        engine.submit(Unit(1, ("text",)))
    engine.close()


def test_no_two_engines_ask_a_scheduler_by_one_key_also_when_one_lies_where_another_lay() -> None:
    """Dask gives the answer that it has for a key that it knows: other texts' vectors."""
    recipe = EmbedderRecipe(PLAIN, _fingerprint(PLAIN))
    prefixes = [Cluster(recipe, lambda: None, "here")._prefix for _ in range(100)]  # each is freed before the next
    assert len(set(prefixes)) == 100


def test_an_engine_of_another_package_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'pool:2' is not a valid engine"):
        check_setting("pool:2")
    install_page("engine", tmp_path, monkeypatch)
    engine = opened("pool:2", EmbedderRecipe(PLAIN, _fingerprint(PLAIN)))
    assert engine.workers == 2
    engine.submit(Unit(1, texts(1)))
    assert isinstance(engine.take(), EmbeddedUnit)
    engine.close()
    with pytest.raises(UsageError, match="not a valid engine"):
        opened("pool:none", EmbedderRecipe(PLAIN, _fingerprint(PLAIN)))
    with pytest.raises(UsageError, match="not a valid engine") as refused:
        check_setting("nobody:2")
    assert "pool" in refused.value.hint


def test_a_metered_embedder_is_not_given_to_an_engine_of_another_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_page("engine", tmp_path, monkeypatch)
    spec = "openai:m?base_url=http://127.0.0.1:9/v1"
    with pytest.raises(UsageError, match="no limit would hold"):
        opened("pool:2", EmbedderRecipe(spec, _fingerprint(spec)))


def test_an_engine_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, engines={"gone": "no_such_module:open_it"})
    with pytest.raises(UsageError, match=r"'gone' \(no_such_module:open_it\)"):
        opened("gone:2", EmbedderRecipe(PLAIN, _fingerprint(PLAIN)))
