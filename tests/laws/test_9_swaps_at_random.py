"""Law 9, by an oracle: a model exchanged under its name at random times, back again later, in whatever embeds.

Times are counted in requests or calls of the model, so they fall between two tasks, inside one, and inside a check; for
queries they are seconds of a clock that the test turns. The seeds are fixed. Each kind of work is tried at a few times
in every run, and at a hundred in a slow one.

Covers quality.check.doubt.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import vecrollback
from tests.support import models
from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store
from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.riding_probes import PROOF_SECONDS
from vecrollback.errors import EmbedderChangedError
from vecrollback.pairs.vectors import newest
from vecrollback.records import Effort
from vecrollback.server.app import create_app
from vecrollback.server.settings import ServerSettings
from vecrollback.store.automation.worker import Worker

OWN, OTHER = "hash:32?seed=1", "hash:32?seed=2"
NEVER = 10**9
TIMES = [pytest.param(4, id="few"), pytest.param(100, id="hundred", marks=pytest.mark.slow)]


class ExchangedService(OpenAIServer):
    """Requests from `first` on and before `last` are answered by another model; with `replicas` one of so many does."""

    def __init__(self, replicas: int = 1) -> None:
        super().__init__(32)
        self.own, self.other = open_embedder(OWN), open_embedder(OTHER)
        self.first, self.last, self.count = 0, 0, 0
        self._replicas, self._chance, self._lock = replicas, random.Random(7), threading.Lock()

    def plan(self, first: int = 0, last: int = 0) -> None:
        self.first, self.last, self.count = first, last, 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            swapped = self.first <= self.count < self.last and not self._chance.randrange(self._replicas)
            self.model, self.count = self.other if swapped else self.own, self.count + 1
            return super().answer(request)


@dataclass
class Oracle:
    """What every vector of the pair should be: its own model's of a text that the document had."""

    store: Store
    own: Embedder = field(default_factory=lambda: open_embedder(OWN))
    texts: dict[str, list[str]] = field(default_factory=dict)

    def upsert(self, documents: dict[str, str]) -> None:
        for id_, text in documents.items():
            self.texts.setdefault(id_, []).append(text)
        self.store.upsert([Document(id_, text) for id_, text in documents.items()])

    def foreign(self) -> set[str]:
        """Documents with a vector that counts and that the other model made, whatever the store says."""
        pair = self.store.pair("v1")
        vectors = self.store.resources.vectors_of(pair)
        keys = vectors.keys(pair.vectors_version)
        rows = newest(keys, {})
        ids, stored = keys["doc_id"].take(rows).to_pylist(), vectors.vectors(pair.vectors_version)[rows]
        return {
            id_
            for id_, vector in zip(ids, stored, strict=True)
            if not any(np.allclose(self.own.embed_documents([text])[0], vector, atol=1e-5) for text in self.texts[id_])
        }

    def in_doubt(self) -> set[str]:
        report = self.store.report("v1")
        return set(report.ids("in_doubt")) if report else set()


def oracle_over(root: Path, spec: str) -> Oracle:
    oracle = Oracle(vecrollback.connect(root, create=True))
    oracle.upsert({f"d{n}": f"the boat number {n} leaves the harbour at {n % 24} o'clock" for n in range(20)})
    oracle.store.promote(oracle.store.reembed(spec, name="v1").wait())
    return oracle


def documents_of(round_: int, chance: random.Random) -> dict[str, str]:
    """New ones and a changed one, of many lengths."""
    fresh = {f"r{round_}-{n}": f"boat {n} of round {round_} {'and so on ' * n}" for n in range(chance.randrange(1, 30))}
    return fresh | {f"d{chance.randrange(20)}": f"changed in round {round_}"}


def work_through(
    oracle: Oracle, worker: Worker, plan: Callable[..., None], times: int, *, exact: bool = True, back: bool = True
) -> None:
    """The swaps at random times. `exact`: nothing of the other model may ever be there; else it must be listed.

    `back`: the own model may return after any number of requests. A service that takes one text at a time proves only
    some of them: what comes and goes between two of these is not seen.
    """
    chance = random.Random(3)
    met = 0
    for round_ in range(times):
        plan(chance.randrange(8), chance.randrange(1, 12) if back and chance.random() < 0.5 else NEVER)
        for part in range(2 if exact else 12):  # a replica of three shows itself in the end
            oracle.upsert(documents_of(100 * round_ + part, chance))
            failures = worker.run_once().failures
            if exact:
                assert oracle.foreign() == set(), f"acknowledged in round {round_}"
            if failures > met:
                break
        if failures > met:
            assert oracle.foreign() <= oracle.in_doubt(), f"not listed in round {round_}"
        with contextlib.suppress(EmbedderChangedError):  # somebody who acts on what a check says meanwhile
            oracle.store.repair(oracle.store.check("v1"))
        assert oracle.foreign() <= oracle.in_doubt(), f"overwritten in round {round_}"
        plan()
        met = worker.run_once().failures
        assert oracle.store.lag("v1") == 0
        assert (oracle.foreign(), oracle.in_doubt()) == (set(), set()), f"not healed in round {round_}"
    assert met, "the swaps were noticed"


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("batch_size", [128, 1])
def test_a_worker_acknowledges_nothing_that_another_model_made(tmp_path: Path, times: int, batch_size: int) -> None:
    with ExchangedService() as service:
        oracle = oracle_over(tmp_path / "store", service.spec(batch_size=batch_size))
        work_through(oracle, Worker(oracle.store, ask_every=0), service.plan, times, back=batch_size > 1)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("batch_size", [16, 1])
def test_rows_of_one_replica_of_three_are_not_acknowledged_or_are_listed_and_written_anew(
    tmp_path: Path, times: int, batch_size: int
) -> None:
    with ExchangedService(replicas=3) as service:
        oracle = oracle_over(tmp_path / "store", service.spec(batch_size=batch_size))
        worker = Worker(oracle.store, ask_every=0)
        work_through(oracle, worker, service.plan, times, exact=batch_size > 1, back=batch_size > 1)


@pytest.fixture(params=[pytest.param(False, id="threads"), pytest.param(True, id="processes", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two Dask workers whose model reads the plan in this folder."""
    distributed = pytest.importorskip("distributed", reason="pip install 'vecrollback[dask]'")
    monkeypatch.setenv(models.SWAPS, str(tmp_path))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(processes=request.param, protocol="tcp://", **options) as running:
        yield running.scheduler_address.replace("tcp://", "dask://")


@pytest.mark.parametrize("times", TIMES)
def test_dask_workers_acknowledge_nothing_that_another_model_made(cluster: str, tmp_path: Path, times: int) -> None:
    models.plan_swap(tmp_path)
    oracle = oracle_over(tmp_path / "store", "tests.support.models:exchanged")
    worker = Worker(oracle.store, effort=Effort(engine=cluster), ask_every=0)
    work_through(oracle, worker, lambda *plan: models.plan_swap(tmp_path, *plan), times)


class Clock:
    """The clock that proofs are timed by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()  # proofs of before have their times
        turned = SimpleNamespace(monotonic=lambda: self.now)
        for module in ("vecrollback.embedders.riding_probes", "vecrollback.pairs.embedders"):
            monkeypatch.setattr(f"{module}.time", turned)


def ask_through(service: ExchangedService, clock: Clock, ask: Callable[[str], str], times: int) -> None:
    """Queries at random moments around each swap; `ask` returns the doubt that an answer speaks of."""
    chance = random.Random(5)
    marked = 0
    for _ in range(times):
        begin = clock.now
        swapped = begin + chance.uniform(0, 30)
        back = swapped + chance.uniform(0, 40)
        while clock.now < back + 15:
            clock.now += chance.uniform(0.1, 6)
            is_other = swapped <= clock.now < back
            service.plan(0, NEVER if is_other else 0)
            doubt = ask(f"boat number {chance.randrange(20)}")
            marked += bool(doubt)
            if not is_other:
                assert doubt == "", "the swap back heals at once"
            elif clock.now >= swapped + PROOF_SECONDS:
                assert "no longer gives the vectors" in doubt, f"{clock.now - swapped:.1f} s after the swap"
    assert marked


@pytest.mark.parametrize("times", TIMES)
def test_a_searchers_answers_are_in_doubt_one_interval_after_a_swap_at_the_latest(
    tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExchangedService() as service:
        store = oracle_over(tmp_path / "store", service.spec()).store
        clock = Clock(monkeypatch)
        with store.searcher(follow=False) as searcher:
            ask_through(service, clock, lambda query: searcher.search(query).doubt, times)


@pytest.mark.parametrize("times", TIMES)
def test_a_servers_answers_are_in_doubt_and_it_is_not_ready_one_interval_after_a_swap_at_the_latest(
    tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExchangedService() as service:
        oracle_over(tmp_path / "store", service.spec()).store.close()
        clock = Clock(monkeypatch)
        app = create_app(str(tmp_path / "store"), ServerSettings(anonymous=True))
        with TestClient(app, base_url="http://127.0.0.1") as http:

            def ask(query: str) -> str:
                answer = http.post("/v1/search", json={"query": query})
                assert answer.status_code == 200
                doubt = str(answer.json()["doubt"])
                assert http.get("/readyz").status_code == (503 if doubt else 200)
                return doubt

            ask_through(service, clock, ask, times)
