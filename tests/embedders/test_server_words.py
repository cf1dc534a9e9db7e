"""What servers tell of their models: read where each kind of server tells it, and evidence only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store, connect
from vecrollback.embedders import open_embedder
from vecrollback.embedders.openai import OpenAIEmbedder
from vecrollback.embedders.server_words import differences, words_in

PAGES: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "text-embeddings-inference": (
        "/info",
        {"model_id": "org/m", "model_sha": "c0ffee", "model_dtype": "float16", "max_input_length": 512},
        {"info model_id": "org/m", "info model_sha": "c0ffee", "info model_dtype": "float16"},
    ),
    "Ollama": (
        "/api/tags",
        {"models": [{"name": "other:latest", "digest": "0"}, {"name": "m:latest", "digest": "0a109f"}]},
        {"tags digest": "0a109f"},
    ),
    "vLLM": (
        "/v1/models",
        {"object": "list", "data": [{"id": "m", "created": 1760000000, "owned_by": "vllm", "root": "org/m"}]},
        {"models id": "m", "models owned_by": "vllm", "models root": "org/m"},
    ),
    "llama.cpp": (
        "/v1/models",
        {"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_params": 22565376, "size": 45949216}}]},
        {
            "models id": "m",
            "models owned_by": "llamacpp",
            "models meta": "{'n_params': 22565376, 'size': 45949216}",
        },
    ),
}


@pytest.mark.parametrize("kind", PAGES)
def test_each_kind_of_server_is_read_where_it_tells_of_its_model(server: OpenAIServer, kind: str) -> None:
    path, page, words = PAGES[kind]
    server.pages[path] = page
    embedder = open_embedder(server.spec())
    assert isinstance(embedder, OpenAIEmbedder)
    assert embedder.server_words() == words
    embedder.embed_documents(["rivers"])
    assert embedder.server_words() == words | {"answer model": "m"}


@pytest.mark.parametrize("page", [{}, {"models": 3}, {"data": [7]}, {"model_id": None}, ["m"]])
def test_a_server_that_tells_nothing_or_nonsense_is_no_trouble(server: OpenAIServer, page: Any) -> None:
    server.pages = dict.fromkeys(("/info", "/api/tags", "/v1/models"), page)
    embedder = open_embedder(server.spec())
    assert isinstance(embedder, OpenAIEmbedder)
    assert embedder.server_words() == {}


def test_headers_that_differ_from_answer_to_answer_say_nothing_of_the_model() -> None:
    headers = {"X-Model-Version": "3", "x-model-time-ms": "17", "x-ratelimit-remaining-model-tokens": "9", "date": "x"}
    assert words_in(headers, {"model": "m", "data": []}) == {"header x-model-version": "3", "answer model": "m"}
    assert words_in({}, [[0.1]]) == {}


def test_what_is_not_told_any_more_or_was_not_told_before_is_no_change() -> None:
    assert differences({"a": "1", "b": "2"}, {"b": "2", "c": "3"}) == ""
    assert differences({"a": "1", "b": "2"}, {"b": "3"}) == "b 3 in place of 2"


@pytest.fixture
def store(server: OpenAIServer, tmp_path: Path) -> Store:
    server.pages["/info"] = {"model_id": "org/m", "model_sha": "c0ffee"}
    store = connect(tmp_path / "store", create=True)
    store.upsert([Document(f"d{n}", f"boat {n} leaves the harbour") for n in range(5)])
    store.promote(store.reembed(server.spec(), name="v1").wait())
    assert store.ask_model("v1").said == "it answers"
    return store


def told(store: Store) -> dict[str, str]:
    [row] = store.status()["pairs"]
    return dict(row["model"]["server"])


def texts(server: OpenAIServer) -> int:
    count = sum(len(one["input"]) for one in server.requests)
    server.requests.clear()
    return count


def test_other_words_of_the_same_model_are_proven_at_once_noted_and_no_verdict(
    server: OpenAIServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(store) == {"info model_id": "org/m", "info model_sha": "c0ffee", "answer model": "m"}
    texts(server)
    store.ask_model("v1")
    assert texts(server) == 4, "the same words: no more than the question whether it answers"
    server.pages["/info"] = {"model_id": "org/m", "model_sha": "decade"}
    with caplog.at_level(logging.WARNING):
        answer = store.ask_model("v1")
    assert answer.verdict == "pass"
    assert answer.said == "it answers; its server tells info model_sha decade in place of c0ffee, and all probes agree"
    assert "is proven anew" in caplog.text
    assert texts(server) > 80
    assert told(store)["info model_sha"] == "decade"
    assert store.ask_model("v1").said == "it answers"


def test_other_words_of_another_model_are_told_with_the_proof_and_asked_again(
    server: OpenAIServer, store: Store
) -> None:
    own = server.model
    server.pages["/info"] = {"model_id": "org/m", "model_sha": "decade"}
    # Four short queries could be answered alike by a model that differs elsewhere: the whole proof is what finds it.
    other = open_embedder("hash:64?seed=6")

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        server.model = own if len(request["input"]) <= 4 else other
        return OpenAIServer.answer(server, request)

    server.answer = answer  # type: ignore[method-assign]
    for _ in range(2):
        said = store.ask_model("v1")
        assert said.verdict == "fail"
        assert "model_sha decade in place of c0ffee" in said.said
    assert told(store)["info model_sha"] == "c0ffee", "what an unproven model's server tells is not taken over"


def test_queries_ask_no_server_for_its_words(server: OpenAIServer, store: Store) -> None:
    server.looks.clear()
    with store.searcher() as searcher:
        assert searcher.search("boats").hits
    assert server.looks == []
    store.ask_model("v1")
    assert server.looks == ["/info"]
