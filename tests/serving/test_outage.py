"""A whole searcher goes through an outage of its model's service, on a clock that the test turns.

The service is a real one that stops, or one that takes every request and answers none of them. Its times are those of
the clock: how quick the machine is changes nothing.

Covers serving.patient_model, embedders.circuit_breaker, embedders.openai_http.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.clock import Clock
from tests.support.openai_server import OpenAIServer
from tests.support.topics import TOPICS, documents, query
from vecrollback import Searcher
from vecrollback.embedders import circuit_breaker, openai_http
from vecrollback.embedders.circuit_breaker import FAILURES, breaker_of
from vecrollback.embedders.openai_http import OpenAIService
from vecrollback.errors import EmbeddingError, ServiceDownError
from vecrollback.serving import patient_model

QUERIES = [query(topic) for topic in range(TOPICS)]
LONGEST_QUERY, LONGEST_RETURN = 1.5, 5.0
DOWN_SECONDS, STEP = 10.0, 0.25


class Service:
    """A service that stops and starts again at its place. `breaker`: of all in this process who ask it queries."""

    def __init__(self) -> None:
        self._running = ExitStack()
        server = self._running.enter_context(OpenAIServer())
        self._port, self.spec, self.breaker = server.port, server.spec(query_timeout=None), breaker_of(server.url, "m")

    def stop(self) -> None:
        self._running.close()

    def start(self) -> None:
        self.stop()
        self._running.enter_context(OpenAIServer(port=self._port))


@pytest.fixture(scope="module")
def service_and_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service, and a store whose live pair has its model there; the standby has one in this process."""
    service, root = Service(), tmp_path_factory.mktemp("outage") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(80))
        for name, model in (("old", "hash:96?seed=1"), ("new", service.spec)):
            store.promote(store.reembed(model, name=name).wait())
    yield service, root
    service.stop()


@pytest.fixture
def service(service_and_store: tuple[Service, Path], tmp_path: Path) -> Service:
    service, root = service_and_store
    shutil.copytree(root, tmp_path / "store")
    service.start()
    service.breaker.answered()  # whatever the test before left
    return service


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_each_query_fails_in_time_and_all_are_answered_again_soon_after_the_return(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    clock = Clock(monkeypatch, circuit_breaker, openai_http)
    attempt = OpenAIService._attempt_within

    def hang(_: OpenAIService, seconds: float, *request: Any) -> openai_http._Failure:
        clock.now += seconds
        return openai_http._Failure(f"no answer within {seconds} s")

    with vecrollback.connect(tmp_path / "store") as store, store.searcher() as searcher:
        assert searcher.search(QUERIES[0]).pair == "new"
        assert not service.breaker.is_open
        if silent:
            monkeypatch.setattr(OpenAIService, "_attempt_within", hang)
        else:
            service.stop()
        stopped, sent = clock.now, 0
        while clock.now < stopped + DOWN_SECONDS:
            was_open, asked_at = service.breaker.is_open, clock.now
            with pytest.raises(EmbeddingError) as raised:
                searcher.search(QUERIES[1])
            took = clock.now - asked_at
            if isinstance(raised.value, ServiceDownError):
                assert (was_open, took) == (True, 0), "an open breaker lets nobody wait"
            else:
                sent += 1
                assert took == pytest.approx(LONGEST_QUERY) if silent else took <= LONGEST_QUERY
            assert service.breaker.is_open == (sent >= FAILURES)
            clock.now += STEP
        assert FAILURES < sent <= FAILURES + DOWN_SECONDS, "one a second, once it is open"
        if silent:
            monkeypatch.setattr(OpenAIService, "_attempt_within", attempt)
        else:
            service.start()
        returned, answered_at = clock.now, 0.0
        while not answered_at:
            clock.now += STEP
            try:
                searcher.search(QUERIES[2])
                answered_at = clock.now
            except EmbeddingError:
                assert clock.now < returned + LONGEST_RETURN
        assert not service.breaker.is_open
        assert {searcher.search(text).answered_by for text in QUERIES} == {"pair"}


@pytest.mark.parametrize("step", ["standby", "keyword"])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_what_stands_in_answers_every_query_and_gives_way_soon_after_the_return(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool, step: str
) -> None:
    (tmp_path / "store" / "vecrollback.toml").write_text(f'[serving]\nfallback = ["{step}"]')
    clock = Clock(monkeypatch, circuit_breaker, openai_http, patient_model)
    asked: list[Future[Any]] = []

    class Pool(ThreadPoolExecutor):
        """The searcher's own, of which the test knows what it was asked."""

        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            asked.append(super().submit(*args, **kwargs))
            return asked[-1]

    monkeypatch.setattr(patient_model, "ThreadPoolExecutor", Pool)
    attempt, is_back = OpenAIService._attempt_within, threading.Event()

    def hang(self: OpenAIService, *request: Any) -> Any:
        is_back.wait()
        return attempt(self, *request)

    def ask(searcher: Searcher, text: str) -> str:
        clock.now += STEP
        return searcher.search(text).answered_by

    with vecrollback.connect(tmp_path / "store") as store, store.searcher() as searcher:
        while ask(searcher, QUERIES[0]) != "pair":  # a slow machine's first answer may come after its second is over
            wait(asked)
        if silent:
            monkeypatch.setattr(OpenAIService, "_attempt_within", hang)
        else:
            service.stop()
        before = len(asked)
        stopped = clock.now
        try:
            while clock.now < stopped + DOWN_SECONDS:
                assert ask(searcher, QUERIES[1]) == step
            if silent:
                assert not any(one.done() for one in asked[before:]), "the service still has every one of them"
            else:
                wait(asked)
            assert len(asked) - before <= 1 + DOWN_SECONDS, "one a second"
        finally:
            is_back.set()
        if not silent:
            service.start()
        returned = clock.now
        wait(asked)  # what was asked while it was down has its answer, or its error, by now
        while ask(searcher, QUERIES[2]) != "pair":
            wait(asked)
            assert clock.now < returned + LONGEST_RETURN
        assert not service.breaker.is_open
        assert {searcher.search(text).answered_by for text in QUERIES} == {"pair"}
