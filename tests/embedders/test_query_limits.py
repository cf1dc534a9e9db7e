"""Queries of a service have limits of their own, and a breaker; what a service says is read by its meaning.

Covers embedders.circuit_breaker, embedders.service_words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clock import Clock
from tests.support.openai_server import Fault, OpenAIServer, changed, error
from vecrollback import Document, connect
from vecrollback.embedders import circuit_breaker, open_embedder, openai_http
from vecrollback.embedders.circuit_breaker import FAILURES, TRY_SECONDS, CircuitBreaker, breaker_of
from vecrollback.embedders.openai import OpenAIEmbedder
from vecrollback.embedders.openai_http import OpenAIService, query_limits
from vecrollback.embedders.service_words import meaning_of
from vecrollback.errors import EmbeddingError, ServiceDownError, TextRefusedError
from vecrollback.serving import patient_model
from vecrollback.serving.fallback_settings import FallbackSettings

SOON = 5.0
"""Seconds: far less than a job's patience, far more than a query's on a busy machine."""


def opened(server: OpenAIServer, **arguments: object) -> OpenAIEmbedder:
    embedder = open_embedder(server.spec(dimensions=64, **{"query_timeout": None, **arguments}))
    assert isinstance(embedder, OpenAIEmbedder)
    return embedder


def test_a_query_is_answered_like_any_other_text(server: OpenAIServer) -> None:
    embedder = opened(server, query_prompt="q:+")
    np.testing.assert_array_equal(embedder.answer_queries(["rivers"]), embedder.embed_queries(["rivers"]))
    assert server.requests[0]["input"] == server.requests[1]["input"] == ["q: rivers"]


def test_a_query_does_not_wait_as_long_as_a_busy_service_asks(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.append(error(429, "slow down", Retry_After="20"))
    with pytest.raises(EmbeddingError, match="slow down"):
        opened(server).answer_queries(["rivers"])
    assert (len(server.requests), waits) == (1, [])


def test_a_query_is_tried_once_more_and_a_job_six_times(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.extend([error(503, "loading")] * 2)
    with pytest.raises(EmbeddingError, match="after 2 attempts: loading"):
        opened(server).answer_queries(["rivers"])
    server.faults.extend([error(503)] * 6)
    opened(server).embed_documents(["rivers"])
    assert len(server.requests) == 2 + 7
    server.faults.append(error(503))
    assert opened(server).answer_queries(["rivers"]).shape == (1, 64)


@pytest.mark.parametrize("retries", [0, 1])
def test_a_query_ends_while_the_service_hangs(server: OpenAIServer, retries: int) -> None:
    server.faults.extend([Fault(delay=SOON + 3)] * 2)
    embedder = opened(server, query_timeout=0.3, query_retries=retries)
    started = time.monotonic()
    with pytest.raises(EmbeddingError):
        embedder.answer_queries(["rivers"])
    assert time.monotonic() - started < SOON
    # That it is exactly one more is tested on a clock: a busy machine may leave no time for it.
    assert len(server.requests) <= 1 + retries


def test_a_query_overtakes_the_requests_of_a_job(server: OpenAIServer, waits: list[float]) -> None:
    embedder = opened(server, rate=1)
    embedder.embed_documents(["rivers"])
    embedder.answer_queries(["lakes"])
    assert waits == []
    embedder.embed_documents(["seas"])
    assert waits[0] > 60, "it makes room for the query"


def test_after_some_failures_queries_fail_at_once_and_say_what_since_when(server: OpenAIServer) -> None:
    server.faults.extend([error(503, "the GPU is gone")] * 6)
    embedder = opened(server)
    for _ in range(3):
        with pytest.raises(EmbeddingError, match="the GPU is gone"):
            embedder.answer_queries(["rivers"])
    sent = len(server.requests)
    with pytest.raises(ServiceDownError, match=rf"m at {server.url} .* since 20.*the GPU is gone"):
        opened(server).answer_queries(["another object of this process, the same service"])
    assert len(server.requests) == sent == 6
    assert opened(server, query_prompt="x").embed_documents(["a job has the patience to ask"]).shape == (1, 64)


def test_a_query_and_its_retry_may_take_a_second_and_a_half_in_all(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, granted = Clock(monkeypatch, openai_http), []

    def hang(_: OpenAIService, seconds: float, *request: Any) -> openai_http._Failure:
        granted.append(seconds)
        clock.now += seconds
        return openai_http._Failure(f"no answer within {seconds} s")

    monkeypatch.setattr(OpenAIService, "_attempt_within", hang)
    with pytest.raises(EmbeddingError, match="after 2 attempts: no answer within"):
        opened(server).answer_queries(["rivers"])
    assert granted == [1.0, pytest.approx(0.45)]
    assert clock.now == pytest.approx(1001.5)


def test_it_closes_by_itself_a_second_after_the_services_return(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, circuit_breaker)
    with OpenAIServer() as server:
        embedder, port = opened(server), server.port
        breaker = breaker_of(server.url, "m")
        embedder.answer_queries(["rivers"])
    for _ in range(3):
        assert not breaker.is_open
        with pytest.raises(EmbeddingError, match="no connection"):
            embedder.answer_queries(["rivers"])
    for _ in range(4):  # down for as many seconds: one query in each is sent, and fails
        with pytest.raises(ServiceDownError, match="since 20"):
            embedder.answer_queries(["rivers"])
        clock.now += TRY_SECONDS
        with pytest.raises(EmbeddingError) as sent:
            embedder.answer_queries(["rivers"])
        assert not isinstance(sent.value, ServiceDownError)
    with OpenAIServer(port=port) as server:
        with pytest.raises(ServiceDownError):
            embedder.answer_queries(["rivers"])
        assert server.requests == [], "it is back, and nobody has tried yet"
        clock.now += TRY_SECONDS
        assert embedder.answer_queries(["rivers"]).shape == (1, 64)
        assert not breaker.is_open
        for _ in range(5):  # time stands still: each is sent
            embedder.answer_queries(["rivers"])
        assert len(server.requests) == 6


def test_a_try_that_never_comes_back_keeps_no_other_from_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, circuit_breaker)
    breaker = CircuitBreaker("m at a service")
    for _ in range(FAILURES):
        breaker.failed("it hangs")
    clock.now += TRY_SECONDS
    breaker.admit()
    with pytest.raises(ServiceDownError, match="it hangs"):
        breaker.admit()
    clock.now += TRY_SECONDS
    breaker.admit()
    breaker.answered()
    breaker.admit()
    assert not breaker.is_open


def test_queries_are_answered_again_within_five_seconds_of_the_return_at_the_worst() -> None:
    """The searcher's try meets the breaker just before its second is over, so the next one goes through; one that was
    sent while the service was down may still be waited for.
    """
    overall = query_limits(1.0, 1).overall
    assert overall == 1.5
    assert overall + patient_model._TRY_SECONDS + TRY_SECONDS <= 5
    assert FallbackSettings().patience <= 1.5


def test_a_text_that_is_refused_opens_nothing(server: OpenAIServer) -> None:
    embedder = opened(server)
    server.faults.extend([error(400, "This model's maximum context length is 512 tokens")] * 9)
    for _ in range(9):
        with pytest.raises(TextRefusedError):
            embedder.answer_queries(["rivers"])
    assert embedder.answer_queries(["rivers"]).shape == (1, 64)


def empty_data(answer: dict[str, Any]) -> None:
    answer["data"] = []


def error_object(answer: dict[str, Any]) -> None:
    answer.clear()
    answer["error"] = {"message": "upstream is overloaded", "code": 503}


def no_data(answer: dict[str, Any]) -> None:
    answer.clear()


def empty_embedding(answer: dict[str, Any]) -> None:
    answer["data"][0]["embedding"] = []


NOTHING = [empty_data, error_object, no_data, empty_embedding]


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_200_without_an_answer_is_retried(
    server: OpenAIServer, waits: list[float], nothing: Callable[[dict[str, Any]], None]
) -> None:
    embedder = opened(server)
    for ask in (embedder.embed_documents, embedder.answer_queries):
        server.requests.clear()
        server.faults.append(changed(nothing))
        np.testing.assert_allclose(ask(["rivers"]), server.model.embed_documents(["rivers"]), atol=1e-6)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("nothing", "words"), [(error_object, "upstream is overloaded"), (empty_data, "holds no data")]
)
def test_a_200_that_never_becomes_an_answer_is_told(
    server: OpenAIServer, waits: list[float], nothing: Callable[[dict[str, Any]], None], words: str
) -> None:
    server.faults.extend([changed(nothing)] * 3)
    with pytest.raises(EmbeddingError, match=f"after 3 attempts: .*{words}"):
        opened(server, max_retries=2).embed_documents(["rivers"])


def test_a_200_that_refuses_a_text_is_not_retried(server: OpenAIServer, waits: list[float]) -> None:
    def too_long(answer: dict[str, Any]) -> None:
        answer.clear()
        answer["error"] = {"message": "the input length exceeds the context length"}

    server.faults.append(changed(too_long))
    with pytest.raises(TextRefusedError, match="exceeds the context length"):
        opened(server).embed_documents(["rivers"])
    assert len(server.requests) == 1


@pytest.mark.parametrize("asking", [1, 8])
def test_the_first_query_of_a_process_waits_no_longer_than_any_other(tmp_path: Path, asking: int) -> None:
    """The proof of all probes has the patience of a job: 30 s with six attempts, for each who waits."""
    with OpenAIServer() as server:
        with connect(tmp_path / "store", create=True) as store:
            store.upsert([Document("a", "rivers")])
            store.reembed(server.spec(dimensions=64), name="v1").wait()
            store.promote("v1")
        port = server.port
    started = time.monotonic()
    with connect(tmp_path / "store") as store, ThreadPoolExecutor(asking) as pool:
        errors = [one.exception() for one in [pool.submit(store.search, "rivers") for _ in range(asking)]]
        assert all(isinstance(error, EmbeddingError) and "no connection" in error.message for error in errors)
        assert time.monotonic() - started < SOON
        with OpenAIServer(port=port):
            while True:
                try:
                    assert [hit.id for hit in store.search("rivers").hits] == ["a"]
                    break
                except EmbeddingError:
                    assert time.monotonic() - started < 2 * SOON
                    time.sleep(0.05)


SAID = [
    # vLLM, OpenAI, TEI (two), llama.cpp (two), Ollama, Cohere
    (400, "This model's maximum context length is 512 tokens. However, you requested 600 tokens", "", 1, "length"),
    (400, "Invalid 'input[0]': maximum context length is 8192 tokens", "", 9, "length"),
    (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 600", "", 1, "length"),
    (422, "batch size 64 > maximum allowed batch size 32", "Validation", 64, "batch"),
    (500, "input (600 tokens) is too large to process. increase the physical batch size (512)", "", 1, "length"),
    (400, "request (600 tokens) exceeds the available context size (512 tokens), try increasing it", "", 1, "length"),
    (500, "the input length exceeds the context length", "", 1, "length"),
    (400, "invalid request: total number of texts must be at most 96, received 128", "", 128, "batch"),
    # OpenAI, Voyage, Gemini behind its OpenAI form
    (400, "Invalid 'input': array too long. Expected maximum length 2048", "array_above_max_length", 3000, "batch"),
    (400, "The batch size limit is 128. Your batch size is 200.", "", 200, "batch"),
    (400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch", "", 128, "batch"),
    # parameters
    (400, "Unrecognized request argument supplied: encoding_format", "", 1, "parameter"),
    (422, "body.dimensions: Extra inputs are not permitted", "extra_forbidden", 1, "parameter"),
    (400, "Model 'm' does not support matryoshka representation", "", 1, "parameter"),
    # no words that tell
    (400, "bad request", "", 2, "text"),
    (422, "Tokenization error", "", 1, "text"),
    (413, "Request Entity Too Large", "", 9, "batch"),
    (413, "Request Entity Too Large", "", 1, "length"),
    (429, "rate limit: 60 requests per minute", "", 1, "busy"),
    (429, "You exceeded your current quota", "insufficient_quota", 1, "quota"),
    (404, "model 'x' not found, try pulling it first", "", 1, "model"),
    (401, "no", "", 1, "key"),
    (503, "Loading model", "", 1, "busy"),
]


@pytest.mark.parametrize(("status", "words", "code", "texts", "meaning"), SAID)
def test_a_refusal_is_understood_by_its_words(status: int, words: str, code: str, texts: int, meaning: str) -> None:
    assert meaning_of(status, words, code, texts) == meaning


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (error(422, "batch size 2 > maximum allowed batch size 1"), "'batch size 2 > .*lower batch_size="),
        (error(400, "Unrecognized request argument supplied: dimensions"), "Unrecognized .*leave out .*dimensions="),
        (error(413, "`inputs` must have less than 512 tokens. Given: 600"), "less than 512 tokens.*chunk="),
    ],
)
def test_a_hint_quotes_the_service_and_goes_by_what_it_means(server: OpenAIServer, fault: Fault, cure: str) -> None:
    server.faults.append(fault)
    with pytest.raises(EmbeddingError) as caught:
        opened(server).embed_documents(["one text", "another"])
    assert re.search(cure, caught.value.hint)
