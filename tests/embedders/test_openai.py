"""The OpenAI protocol against a real server that misbehaves on request.

Covers embedders.openai_http, embedders.spend_limit.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.support.openai_server import KEY, Fault, OpenAIServer, changed, error
from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbedderSpecError, EmbeddingError, SpendLimitError

TEXTS = [f"document number {i} about rivers" for i in range(10)]


def expected(server: OpenAIServer, texts: list[str] = TEXTS) -> np.ndarray:
    return server.model.embed_documents(texts)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_arrive_unchanged_in_requests_of_batch_size(server: OpenAIServer, encoding: str) -> None:
    embedder = open_embedder(server.spec(batch_size=4, encoding_format=encoding, dimensions=64))
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), expected(server), atol=1e-6)
    assert [len(r["input"]) for r in server.requests] == [4, 4, 2]


def test_a_request_stays_under_the_token_limit(server: OpenAIServer) -> None:
    open_embedder(server.spec(dimensions=64, max_tokens_per_request=40)).embed_documents(TEXTS)
    assert max(len(r["input"]) for r in server.requests) < 4
    assert [text for r in server.requests for text in r["input"]] == TEXTS


def test_prompts_and_dimensions_are_sent(server: OpenAIServer) -> None:
    embedder = open_embedder(server.spec(dimensions=48, query_prompt="q:+", document_prompt="d:+"))
    assert embedder.embed_queries(["rivers"]).shape == (1, 48)
    assert embedder.embed_documents(["rivers"]).shape == (1, 48)
    assert [r["input"] for r in server.requests] == [["q: rivers"], ["d: rivers"]]
    assert server.requests[0]["dimensions"] == 48


@pytest.mark.parametrize(
    "faults",
    [
        [error(429, Retry_After="0")],
        [error(500), error(502), error(503)],
        [error(408), error(429)],
    ],
)
def test_passing_trouble_is_waited_out(server: OpenAIServer, waits: list[float], faults: list[Fault]) -> None:
    server.faults.extend(faults)
    vectors = open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    np.testing.assert_allclose(vectors, expected(server), atol=1e-6)
    assert len(server.requests) == len(faults) + 1 == len(waits) + 1


def test_waits_double_and_are_jittered(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.extend([error(503)] * 5)
    open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    for attempt, wait in enumerate(waits):
        assert 0.25 * 2**attempt <= wait <= 0.5 * 2**attempt


def test_retry_after_is_honoured_as_number_and_as_date(server: OpenAIServer, waits: list[float]) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    server.faults.extend([error(429, Retry_After="7"), error(503, Retry_After=date)])
    open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    assert waits[0] == 7
    assert 25 <= waits[1] <= 30


def test_a_wait_of_hours_is_a_persons_decision(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.append(error(429, "come back later", Retry_After="7200"))
    with pytest.raises(EmbeddingError, match="7200"):
        open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    assert not waits


def test_retries_end(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.extend([error(500, "boom")] * 9)
    with pytest.raises(EmbeddingError, match=r"HTTP 500 after 3 attempts: boom") as caught:
        open_embedder(server.spec(dimensions=64, max_retries=2)).embed_documents(TEXTS)
    assert len(server.requests) == 3
    assert caught.value.hint


def test_a_timeout_is_retried(server: OpenAIServer, waits: list[float]) -> None:
    server.faults.append(Fault(delay=1.0))
    vectors = open_embedder(server.spec(dimensions=64, timeout=0.3)).embed_documents(TEXTS)
    np.testing.assert_allclose(vectors, expected(server), atol=1e-6)
    assert len(server.requests) == 2


def test_no_connection_is_retried_and_then_named(waits: list[float]) -> None:
    with pytest.raises(EmbeddingError, match=r"127\.0\.0\.1:9/v1 failed after 3 attempts: no connection"):
        open_embedder("openai:m?base_url=http://127.0.0.1:9/v1&max_retries=2&dimensions=8").embed_documents(["a"])
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(400, "maximum context length is 8192 tokens"), "maximum context length"),
        (error(404, "no such model"), "no such model"),
        (error(429, "You exceeded your quota", code="insufficient_quota"), "exceeded your quota"),
    ],
)
def test_lasting_trouble_fails_at_once_with_the_servers_words(
    server: OpenAIServer, waits: list[float], fault: Fault, words: str
) -> None:
    server.faults.append(fault)
    with pytest.raises(EmbeddingError, match=words) as caught:
        open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    assert caught.value.hint
    assert not waits


def one_too_few(answer: dict[str, Any]) -> None:
    answer["data"].pop()


def nan(answer: dict[str, Any]) -> None:
    answer["data"][2]["embedding"][5] = float("nan")


def same_index_twice(answer: dict[str, Any]) -> None:
    answer["data"][1]["index"] = 0


def one_shorter(answer: dict[str, Any]) -> None:
    answer["data"][3]["embedding"].pop()


def all_shorter(answer: dict[str, Any]) -> None:
    for item in answer["data"]:
        item["embedding"].pop()


def other_rows(answer: dict[str, Any]) -> None:
    answer["data"] = "sixty-four numbers"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (one_too_few, "10 texts with 9 vectors"),
        (nan, "text 2 of 10"),
        (same_index_twice, "places"),
        (one_shorter, "text 3"),
        (all_shorter, "63"),
        (other_rows, "not a list of embeddings"),
    ],
)
def test_a_wrong_answer_never_becomes_vectors(server: OpenAIServer, change: Any, words: str) -> None:
    server.faults.append(changed(change))
    with pytest.raises(EmbeddingError, match=words):
        open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)


def test_an_answer_in_another_order_is_put_right(server: OpenAIServer) -> None:
    server.faults.append(changed(lambda answer: answer["data"].reverse()))
    vectors = open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    np.testing.assert_allclose(vectors, expected(server), atol=1e-6)


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(key="another") as server:
        monkeypatch.setenv("MY_KEY", KEY)
        embedder = open_embedder(server.spec(dimensions=64, api_key_env="MY_KEY"))
        with pytest.raises(EmbeddingError, match="HTTP 401") as caught:
            embedder.embed_documents(TEXTS)
        assert server.authorizations == [f"Bearer {KEY}"]
        shown = [repr(embedder), embedder.spec, str(embedder.contract), str(caught.value), caught.value.hint]
        shown += [caplog.text, repr(vars(embedder)), repr(vars(embedder._service))]  # type: ignore[attr-defined]
        assert not any(KEY in text for text in shown)
        assert "***" in str(caught.value)


def test_a_key_that_is_not_set_is_named_before_anything_is_sent(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EmbedderSpecError, match="MY_KEY"):
        open_embedder(server.spec(dimensions=64, api_key_env="MY_KEY")).embed_documents(TEXTS)
    assert not server.requests


@pytest.mark.parametrize("before", [300, 480, 498])
def test_no_part_of_a_key_is_left_where_a_long_message_is_cut(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.faults.append(error(401, "x" * before + KEY + "y" * 900))
    with pytest.raises(EmbeddingError) as caught:
        open_embedder(server.spec(dimensions=64, api_key_env="MY_KEY")).embed_documents(TEXTS)
    assert KEY[:2] not in f"{caught.value}{caught.value.hint}"


def test_a_key_that_changes_while_a_request_is_under_way_is_shown_nowhere(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    answer = server.refusal

    def rotate(texts: list[str]) -> Fault | None:
        monkeypatch.setenv("MY_KEY", "another")
        return error(401, f"the key {KEY} is not valid") if answer(texts) is None else None

    server.refusal = rotate
    with pytest.raises(EmbeddingError, match=r"\*\*\*") as caught:
        open_embedder(server.spec(dimensions=64, api_key_env="MY_KEY")).embed_documents(TEXTS)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_key_of_two_lines_is_refused_and_shown_nowhere(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, waiting: bool
) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\nsecond")
    embedder = open_embedder(server.spec(dimensions=64, api_key_env="MY_KEY"))
    with pytest.raises(EmbedderSpecError, match="MY_KEY holds a character") as caught:
        (embedder.answer_queries if waiting else embedder.embed_documents)(TEXTS)  # type: ignore[attr-defined]
    assert KEY not in f"{caught.value}{caught.value.hint}"
    assert not server.requests


def test_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated(server: OpenAIServer) -> None:
    with pytest.raises(EmbedderSpecError, match="not the name of an environment variable") as caught:
        open_embedder(server.spec(api_key_env=KEY))
    assert KEY not in f"{caught.value}{caught.value.hint}"


def test_an_answer_that_cannot_be_unpacked_is_an_embedding_error(server: OpenAIServer) -> None:
    server.faults.append(Fault(headers={"content-encoding": "gzip"}))
    with pytest.raises(EmbeddingError, match="DecodingError"):
        open_embedder(server.spec(dimensions=64, max_retries=0)).embed_documents(TEXTS)


def test_openais_key_is_not_sent_to_other_services(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    open_embedder(server.spec(dimensions=64)).embed_documents(TEXTS)
    assert server.authorizations == [None]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@host/v1",
        "http://user:pw@[host/v1",
        "user:pw@host/v1",
        "https:/user:pw@host/v1",
        "host:80",
        "ftp://host",
        "http://host:port/v1",
        "http://host/v1?key=1",
        "http://host/v1%23key",
        "http://[",
    ],
)
def test_an_address_that_is_wrong_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(EmbedderSpecError, match="base_url") as caught:
        open_embedder("openai:m?base_url=" + url.replace("?", "%3F"))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("usage", [True, False])
def test_spend_limit_stops_before_it_is_passed(usage: bool) -> None:
    with OpenAIServer(usage=usage) as server:
        # A dollar per token; a request of one text costs 5 at the service and at most 36 by its length.
        spec = server.spec(dimensions=64, batch_size=1, price=1_000_000, spend_limit=60)
        embedder = open_embedder(spec)
        with pytest.raises(SpendLimitError, match="60"):
            embedder.embed_documents(TEXTS)
        assert 1 <= len(server.requests) < len(TEXTS)
        assert embedder.spent <= 60  # type: ignore[attr-defined]
        assert len(server.requests) == (6 if usage else 1)


def test_a_refused_request_costs_nothing_and_a_lost_one_may(server: OpenAIServer, waits: list[float]) -> None:
    embedder = open_embedder(server.spec(dimensions=64, price=1_000_000, spend_limit=1_000_000, timeout=0.3))
    server.faults.append(error(503))
    embedder.embed_documents(["one two"])
    assert embedder.spent == 2  # type: ignore[attr-defined]
    server.faults.append(Fault(delay=1.0))
    embedder.embed_documents(["one two"])
    assert embedder.spent > 4  # type: ignore[attr-defined]


def test_spend_limit_needs_a_price() -> None:
    with pytest.raises(EmbedderSpecError, match="price"):
        open_embedder("openai:m?spend_limit=1")


def test_rate_spaces_the_requests(server: OpenAIServer) -> None:
    embedder = open_embedder(server.spec(dimensions=64, batch_size=2, rate=1200))
    start = time.perf_counter()
    embedder.embed_documents(TEXTS)
    assert time.perf_counter() - start >= 4 * 60 / 1200


def test_dimension_is_known_or_asked_for_once(server: OpenAIServer) -> None:
    assert open_embedder("openai:text-embedding-3-large").dimension == 3072
    assert open_embedder("openai:text-embedding-3-large?dimensions=256").dimension == 256
    embedder = open_embedder(server.spec())
    assert embedder.dimension == embedder.dimension == 64
    assert len(server.requests) == 1


def test_tokens_are_those_the_service_counted(server: OpenAIServer) -> None:
    embedder = open_embedder(server.spec(dimensions=64))
    embedder.embed_documents(TEXTS)
    assert embedder.count_tokens(TEXTS) == server.model.count_tokens(TEXTS)
    assert embedder.count_tokens(["something else"]) > 0


@pytest.mark.parametrize(
    ("argument", "shapes"),
    [
        ("dimensions=32", True),
        ("query_prompt=q", True),
        ("document_prompt=d", True),
        ("normalize=false", True),
        ("metric=dot", True),
        ("chunk=semantic:100", True),
        ("base_url=http://other/v1", True),
        ("batch_size=7", False),
        ("timeout=3", False),
        ("query_timeout=3", False),
        ("query_retries=0", False),
        ("rate=60", False),
        ("max_retries=1", False),
        ("api_key_env=OTHER", False),
        ("price=1&spend_limit=5", False),
        ("encoding_format=base64", False),
        ("max_tokens_per_request=5000", False),
    ],
)
def test_fingerprint_changes_with_what_shapes_vectors_only(argument: str, shapes: bool) -> None:
    plain, other = open_embedder("openai:m"), open_embedder(f"openai:m?{argument}")
    assert (plain.fingerprint != other.fingerprint) == shapes
