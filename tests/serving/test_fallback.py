"""While the live pair's model is gone the order in vecrollback.toml answers, and every answer says what it is.

Covers serving.fallback, serving.fallback_settings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vecrollback
from tests.support.openai_server import OpenAIServer
from tests.support.topics import TOPICS, documents, query
from vecrollback import Result, Store
from vecrollback.cli.support import render
from vecrollback.embedders.circuit_breaker import breaker_of
from vecrollback.errors import EmbeddingError, UsageError
from vecrollback.serving.fallback import _Reread
from vecrollback.serving.fallback_settings import read_settings

QUERIES = [query(topic) for topic in range(TOPICS)]
OLD = "hash:96?seed=1"


@pytest.fixture(scope="module")
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer(64) as server:
        yield server


@pytest.fixture(scope="module")
def template(service: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old` stands by with a model in this process; `new`, which is live, has one behind a service."""
    root = tmp_path_factory.mktemp("fallback") / "store"
    spec = service.spec(query_retries=0, max_retries=0, query_timeout=0.5)
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(300))
        for name, model in (("old", OLD), ("new", spec)):
            store.reembed(model, name=name, index="Flat").wait()
            assert store.promote(name).warning == ""
    return root


def configure(store: Store, *steps: str, patience: float | None = None) -> None:
    lines = ["[serving]", f"fallback = {list(steps)}".replace("'", '"')]
    lines += [f"patience = {patience}"] if patience is not None else []
    (store.root / "vecrollback.toml").write_text("\n".join(lines))


def down(service: OpenAIServer) -> None:
    from tests.support.openai_server import error

    service.refusal = lambda texts: error(503, "gone")


@pytest.fixture
def gone(service: OpenAIServer, store: Store) -> Iterator[Store]:
    """The store, and the service of its live pair does not answer."""
    down(service)
    yield store
    service.refusal = lambda texts: None
    breaker_of(service.url, "m").answered()  # the next test's first query need not wait until it is tried again


def test_without_the_line_nothing_else_answers(gone: Store) -> None:
    with pytest.raises(EmbeddingError):
        gone.search(QUERIES[0])


def test_the_standby_answers_with_its_own_model_under_its_own_name(gone: Store) -> None:
    configure(gone, "standby", "bridge")
    result = gone.search(QUERIES[3])
    assert (result.answered_by, result.pair, result.epoch) == ("standby", "old", 2)
    old = gone.inspection.search("old", QUERIES[3])
    assert [hit.id for hit in result.hits] == [hit.id for hit in old.hits]
    [bridge] = [one for one in gone.bridges() if one.target == "new"]
    assert result.measured is not None
    assert result.measured["ndcg@10"] == round(bridge.worth.stay or 0, 4)
    said = [line for line in render.result(result) if isinstance(line, str)]
    assert any(
        line.startswith("by standby, because the model of the live pair does not answer; measured") for line in said
    )


def test_a_bridge_searches_the_pair_itself_and_says_what_it_is_worth(gone: Store) -> None:
    configure(gone, "bridge", "standby")
    result = gone.search(QUERIES[3])
    assert (result.answered_by, result.pair) == ("bridge", "new")
    [bridge] = [one for one in gone.bridges() if one.target == "new"]
    assert result.measured == {"source": "old", **bridge.worth.payload}
    # far more often than chance the right topic of forty, in a space that this query's model knows nothing of
    answers = gone.search(QUERIES, k=1)
    assert sum(int(one.hits[0].id[1:]) % TOPICS == topic for topic, one in enumerate(answers)) > TOPICS / 5


def test_words_answer_where_no_model_can(gone: Store) -> None:
    configure(gone, "keyword", "standby")
    result = gone.search(QUERIES[3])
    assert (result.answered_by, result.pair, result.measured) == ("keyword", "", None)
    assert {int(hit.id[1:]) % TOPICS for hit in result.hits} == {3}


def test_what_words_are_worth_is_measured_with_the_bridges_where_they_may_answer(
    service: OpenAIServer, store: Store
) -> None:
    configure(store, "keyword")
    bridge = store.bridge("old", "new", seed=1)
    assert bridge.worth.words is not None
    assert 0.5 < bridge.worth.words <= 1
    down(service)
    try:
        result = store.search(QUERIES[3])
    finally:
        service.refusal = lambda texts: None
        breaker_of(service.url, "m").answered()
    assert result.answered_by == "keyword"
    assert result.measured is not None
    assert result.measured["ndcg@10"] == round(bridge.worth.words, 4)
    assert (result.measured["queries"], result.measured["kind"]) == (bridge.worth.queries, "generated")


def test_a_deleted_document_returns_by_no_way(gone: Store) -> None:
    for step in ("bridge", "standby", "keyword"):
        configure(gone, step)
        with gone.searcher() as searcher:
            first = searcher.search(QUERIES[5]).hits[0].id
            gone.delete([first])
            assert first not in [hit.id for hit in searcher.search(QUERIES[5]).hits]


def test_a_bridge_that_is_worth_nothing_answers_nobody(gone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.records.bridges._LEAST_SHARE", 5.0)
    monkeypatch.setattr("vecrollback.records.BridgeWorth.verdict", "stay")
    configure(gone, "bridge")
    with pytest.raises(EmbeddingError):
        gone.search(QUERIES[0])


def test_after_a_rollback_to_a_pair_whose_model_is_gone_a_new_searcher_answers_by_bridge(gone: Store) -> None:
    configure(gone, "standby", "bridge")
    gone.promote("old", reason="it is better", override=True)  # `new` stands by, its model gone
    gone.rollback("new", reason="it was not", override=True, catch_up=False)
    with gone.searcher() as searcher:
        result = searcher.search(QUERIES[3])
    assert (result.answered_by, result.pair) == ("bridge", "new")


def test_settings_that_cannot_be_read_name_their_line(store: Store) -> None:
    assert read_settings(store.root).order == ()
    for line, message in (
        ('fallback = ["guess"]', "must be a list of"),
        ('fallback = "bridge"', "must be a list of"),
        ("fallbacks = []", "no key 'fallbacks'"),
        ("patience = 0", "must be seconds"),
    ):
        (store.root / "vecrollback.toml").write_text(f"[serving]\n{line}")
        with pytest.raises(UsageError, match=message):
            read_settings(store.root)


def test_a_file_that_cannot_be_read_stops_no_query(store: Store) -> None:
    (store.root / "vecrollback.toml").write_text("[serving\n")
    assert store.search(QUERIES[0]).answered_by == "pair"


def test_a_file_that_nobody_has_trusted_is_not_obeyed_and_stops_no_query(
    gone: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECROLLBACK_TRUST", "")
    configure(gone, "standby")
    with pytest.raises(EmbeddingError):
        gone.search(QUERIES[0])


def test_while_one_query_reads_the_settings_again_no_other_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.serving.fallback._READ_SECONDS", 0.0)
    reading, go_on, numbers = threading.Event(), threading.Event(), iter(range(10))

    def read() -> int:
        number = next(numbers)
        if number == 1:
            reading.set()
            assert go_on.wait(30)
        return number

    reread = _Reread(read)
    assert reread.value == 0
    slow = threading.Thread(target=lambda: reread.value)
    slow.start()
    assert reading.wait(30)
    assert [reread.value, reread.value] == [0, 0]
    go_on.set()
    slow.join()
    assert reread.value == 2


def test_a_model_that_was_opened_anew_leaves_waiting_queries_their_own(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        searcher.search(QUERIES[0])
        fallback, models = searcher._fallback, [store.resources.embedders.query_model(store.pair("new"))] * 2
        first = fallback._patient_with("new", models[0])
        models[1] = store.resources.embedders.query_model(store.pair("new"))
        assert fallback._patient_with("new", models[1]) is not first
        assert first.model.remote
        assert len(first.embed(["words"], 30)) == 1


def test_a_bridge_never_asks_the_model_that_a_pair_of_the_same_name_had(store: Store) -> None:
    with store.searcher(follow=False) as searcher:
        searcher.search(QUERIES[0])
        old, new = store.pair("old"), store.pair("new")
        source = searcher._fallback._source(old)
        assert searcher._fallback._source(old) is source
        other = searcher._fallback._source(replace(new, name="old"))
        assert len(other.embed(["words"])[0]) == 64 != len(source.embed(["words"])[0])


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_a_provider_killed_under_four_searchers_fails_no_query(
    service: OpenAIServer, store: Store, silent: bool
) -> None:
    from tests.support.openai_server import Fault, error

    configure(store, "standby", "bridge", patience=30)  # no busy machine keeps the service from answering in time
    results: list[Result] = []
    errors: list[Exception] = []
    searchers = [store.searcher() for _ in range(4)]
    stop = threading.Event()

    def ask(number: int) -> None:
        while not stop.is_set():
            try:
                results.append(searchers[number].search(QUERIES[len(results) % TOPICS], k=3))
            except Exception as problem:
                errors.append(problem)
            time.sleep(0.01)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    try:
        for searcher in searchers:  # the breaker of this process may still be open
            _await(lambda searcher=searcher: searcher.search(QUERIES[0]).answered_by == "pair")
        for thread in threads:
            thread.start()
        _await(lambda: len(results) > 20)
        assert {one.answered_by for one in results} == {"pair"}
        configure(store, "standby", "bridge", patience=0.3)
        _await(lambda: all(one._fallback.settings.patience == 0.3 for one in searchers))
        service.refusal = lambda texts: Fault(delay=3.0) if silent else error(503, "gone")
        _await(lambda: results[-1].answered_by == "standby")
        before = len(results)
        _await(lambda: len(results) > before + 60)
        service.refusal = lambda texts: None
        _await(lambda: results[-1].answered_by == "pair")
    finally:
        service.refusal = lambda texts: None
        stop.set()
        for thread in threads:
            thread.join()
        for searcher in searchers:
            searcher.close()
    assert errors == []
    assert {(one.answered_by, one.pair) for one in results} == {("pair", "new"), ("standby", "old")}


def _await(holds: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)
