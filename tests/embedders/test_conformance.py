"""Every kind of embedder keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.openai_server import OpenAIServer
from vecrollback.embedders import Embedder, open_embedder
from vecrollback.testing import EmbedderConformance
from vecrollback.testing.embedder_suite import TEXTS


def lengths(texts: list[str]) -> np.ndarray:
    """The plain function under test: character counts by class."""
    return np.array([[len(t), 1 + t.count("e"), 1 + t.count(" "), 1 + sum(map(ord, t)) % 97] for t in texts])


class TestHashing(EmbedderConformance):
    tolerance = 0.0

    @pytest.fixture(params=["hash:128?seed=3", "hash:33?noise=0.2&chunk=tokens:8:2", "hash:64?normalize=false"])
    def spec(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class TestCallable(EmbedderConformance):
    @pytest.fixture(params=["", "?metric=l2&chunk=semantic:40"])
    def spec(self, request: pytest.FixtureRequest) -> str:
        return f"{__name__}:lengths{request.param}"


class TestOpenAI(EmbedderConformance):
    @pytest.fixture(params=["float", "base64"])
    def spec(self, request: pytest.FixtureRequest) -> Iterator[str]:
        with OpenAIServer() as server:
            yield server.spec(encoding_format=request.param, batch_size=3)


@pytest.fixture(scope="module")
def transformer(minilm: str) -> Embedder:
    """Loaded once: loading takes longer than all tests on it."""
    return open_embedder(minilm + "?chunk=tokens:64:8")


class TestSentenceTransformers(EmbedderConformance):
    @pytest.fixture
    def embedder(self, transformer: Embedder) -> Embedder:
        return transformer

    def test_tokens_read_are_the_tokens_counted(self, embedder: Embedder) -> None:
        embedder.embed_documents(TEXTS)
        assert embedder.count_tokens(TEXTS) == open_embedder(embedder.spec).count_tokens(TEXTS)
