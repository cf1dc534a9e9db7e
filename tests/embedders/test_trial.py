"""`try_embedder` finds what a service does without saying so, and writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.provider_servers import DIMENSION, KEY, MOST_TEXTS, MOST_WORDS, ProviderServer
from vecrollback.embedders import open_embedder
from vecrollback.embedders.service_profile import expand, write_table
from vecrollback.embedders.trial import Trial, try_embedder
from vecrollback.errors import EmbedderSpecError, EmbeddingError
from vecrollback.records.arrays import FloatArray


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    monkeypatch.setenv("SERVICE_KEY", KEY)
    with ProviderServer(request.param) as running:
        yield running


def tried(server: ProviderServer, arguments: str = "", **limits: int) -> Trial:
    path = server.provider.path.removesuffix("/embeddings").removesuffix("/embed")
    spec = f"service:m?base_url={server.address}{path}{arguments}"
    if server.provider.key:
        spec += "&api_key_env=SERVICE_KEY"
    return try_embedder(spec, **({"longest": 8192} | limits))


@pytest.mark.parametrize("server", ["tei"], indirect=True)
def test_what_a_service_refuses_is_found(server: ProviderServer) -> None:
    trial = tried(server, "&protocol=tei")
    assert (trial.beyond, trial.texts, trial.texts_limited) == ("refused", MOST_TEXTS, True)
    sent = [text for request in server.requests for text in request["inputs"]]
    longest = max(len(text.split()) for text in sent if len(text) <= trial.characters)
    assert 0.95 * MOST_WORDS <= longest <= MOST_WORDS
    assert trial.symmetric
    assert not trial.depends_on_batch
    assert trial.requests <= len(server.requests) + 1
    assert trial.dimension == DIMENSION
    assert trial.shortest == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("server", ["lmstudio"], indirect=True)
def test_what_a_service_cuts_without_a_word_is_found(server: ProviderServer) -> None:
    trial = tried(server, most_texts=200)
    assert (trial.beyond, trial.texts, trial.texts_limited) == ("cut", 200, False)
    words = trial.characters / 6
    assert 0.8 * MOST_WORDS <= words <= 1.2 * MOST_WORDS


@pytest.mark.parametrize("server", ["voyage"], indirect=True)
def test_roles_show_only_when_they_are_said(server: ProviderServer) -> None:
    assert tried(server, "&encoding_format=none", most_texts=2).symmetric
    roles = "&document.input_type=document&query.input_type=query"
    assert not tried(server, f"&encoding_format=none{roles}", most_texts=2).symmetric


@pytest.mark.parametrize("server", ["llamacpp"], indirect=True)
def test_noise_and_what_a_batch_does_are_told_apart(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, random = server.vectors, np.random.default_rng(0)

    def noisy(texts: list[str], *, query: bool = False) -> FloatArray:
        vectors = exact(texts, query=query)
        return (vectors + random.normal(0, 0.002, vectors.shape)).astype(np.float32)

    def leaking(texts: list[str], *, query: bool = False) -> FloatArray:
        vectors = exact(texts, query=query)
        return 3 * (vectors + 0.1 * vectors.mean(axis=0) * (len(texts) > 1))

    monkeypatch.setattr(server, "vectors", noisy)
    trial = tried(server, most_texts=2)
    assert 1e-5 < trial.noise < 2e-3
    assert not trial.depends_on_batch
    assert trial.symmetric
    assert trial.probe_floor is not None
    assert trial.probe_floor < 1 - trial.noise
    monkeypatch.setattr(server, "vectors", leaking)
    trial = tried(server, most_texts=2)
    assert trial.noise < 1e-6
    assert trial.depends_on_batch
    assert trial.shortest == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("server", ["vllm"], indirect=True)
def test_a_profile_holds_what_was_given_and_what_was_measured(
    server: ProviderServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vecrollback.toml").write_text('[gates]\npromote = ["lag = 0"]\n')
    trial = tried(server, "&query_prompt=query:+", most_texts=64)
    write_table("mine", trial.profile("mine"))
    embedder = open_embedder("profile:mine")
    assert embedder.contract["query_prompt"] == "query: "
    assert embedder.contract["too_long"] == "cut"
    assert f"max_characters={trial.characters}" in expand("profile:mine")
    assert embedder.embed_documents(["rivers " * 900]).shape == (1, DIMENSION)
    openai = replace(trial, spec="openai:text-embedding-3-small").profile("openai")
    assert 'base_url = "https://api.openai.com/v1"' in openai
    assert "[gates]" in Path("vecrollback.toml").read_text()
    with pytest.raises(EmbedderSpecError, match="has a profile 'mine'"):
        write_table("mine", trial.profile("mine"))


@pytest.mark.parametrize("server", ["ollama-openai"], indirect=True)
def test_what_gives_every_time_another_vector_gets_no_profile(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, exact = np.random.default_rng(0), server.vectors
    monkeypatch.setattr(
        server, "vectors", lambda texts, query=False: exact(texts) + random.normal(0, 0.05, (len(texts), DIMENSION))
    )
    trial = tried(server, most_texts=2, longest=512)
    with pytest.raises(EmbedderSpecError, match="cannot be told from another model"):
        trial.profile("mine")


@pytest.mark.slow
def test_a_model_in_this_process_is_measured_and_gets_no_profile(tiny: Path) -> None:
    trial = try_embedder(f"{tiny}?max_length=32", longest=2048)
    assert trial.beyond == "cut"
    assert 20 <= trial.tokens <= 34
    with pytest.raises(EmbedderSpecError, match="is not a service"):
        trial.profile("mine")


def test_a_service_that_is_not_there_is_no_measurement(waits: list[float]) -> None:
    with pytest.raises(EmbeddingError, match="no connection"):
        try_embedder("service:m?base_url=http://127.0.0.1:9/v1")
