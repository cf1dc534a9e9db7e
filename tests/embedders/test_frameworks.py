"""Embedders of LangChain, LlamaIndex and Haystack, opened by a string, keep the promises of every embedder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.openai_server import OpenAIServer
from vecrollback import Document, connect
from vecrollback.embedders import open_embedder, require_allowed
from vecrollback.errors import EmbedderSpecError, EmbeddingError, UntrustedError
from vecrollback.testing import EmbedderConformance

PROVIDERS = {
    "langchain_wordy/__init__.py": """
from langchain_core.embeddings import Embeddings
from vecrollback.embedders import open_embedder

class WordyEmbeddings(Embeddings):
    def __init__(self, model, asking="query: "):
        self.asking, self._model = asking, open_embedder(f"hash:{model}")

    def embed_documents(self, texts):
        return self._model.embed_documents(texts).tolist()

    def embed_query(self, text):
        return self._model.embed_documents([self.asking + text])[0].tolist()

class WordyService(WordyEmbeddings):
    api_key = None

__all__ = ["WordyEmbeddings"]
""",
    "llama_index/embeddings/wordy/__init__.py": """
from llama_index.core.embeddings import BaseEmbedding
from vecrollback.embedders import open_embedder

class WordyEmbedding(BaseEmbedding):
    def _get_text_embedding(self, text):
        return open_embedder(f"hash:{self.model_name}").embed_documents([text])[0].tolist()

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)
""",
}


@pytest.fixture(scope="module", autouse=True)
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packages as providers ship them, where Python finds them."""
    root = tmp_path_factory.mktemp("providers")
    for name, source in PROVIDERS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    sys.path.insert(0, str(root))
    yield
    sys.path.remove(str(root))


class TestLangChain(EmbedderConformance):
    @pytest.fixture(params=["langchain:wordy:64", "langchain:langchain_wordy.WordyService:64?chunk=semantic:40"])
    def spec(self, request: pytest.FixtureRequest) -> str:
        pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'vecrollback[langchain]'")
        return str(request.param)

    def test_queries_are_embedded_as_queries(self) -> None:
        own, embedder = open_embedder("hash:64"), open_embedder("langchain:wordy:64")
        np.testing.assert_allclose(embedder.embed_documents(["tea"]), own.embed_documents(["tea"]), atol=1e-6)
        np.testing.assert_allclose(embedder.embed_queries(["tea"]), own.embed_documents(["query: tea"]), atol=1e-6)
        other = open_embedder("langchain:wordy:64?param.asking=find%3A+")
        np.testing.assert_allclose(other.embed_queries(["tea"]), own.embed_documents(["find: tea"]), atol=1e-6)
        assert other.fingerprint != embedder.fingerprint


class TestLlamaIndex(EmbedderConformance):
    @pytest.fixture
    def spec(self) -> str:
        pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'vecrollback[llama-index]'")
        return "llama-index:wordy:64"


class TestHaystack(EmbedderConformance):
    @pytest.fixture(params=["haystack:mock:any?param.dimension=64"])
    def spec(self, request: pytest.FixtureRequest) -> str:
        pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'vecrollback[haystack]'")
        return str(request.param)


class TestHaystackService(EmbedderConformance):
    """Haystack's own client of OpenAI's protocol, against a server of that protocol."""

    @pytest.fixture
    def spec(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'vecrollback[haystack]'")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with OpenAIServer() as server:
            yield f"haystack:openai:test?param.api_base_url={server.url}"


def test_what_an_object_shows_decides_how_it_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    assert not open_embedder("langchain:wordy:64").traits.metered
    assert open_embedder("langchain:langchain_wordy.WordyService:64").traits.metered
    said = open_embedder("langchain:langchain_wordy.WordyService:64?remote=true&priced=false&probe_floor=0.9991").traits
    assert (said.remote, said.priced, said.probe_floor, said.tokens_estimated) == (True, False, 0.9991, True)
    assert open_embedder("langchain:wordy:64?price=0.1").traits.price == 0.1
    same = {open_embedder(f"langchain:wordy:64{more}").fingerprint for more in ("", "?price=0.1", "?remote=true")}
    assert len(same) == 1
    assert open_embedder("langchain:wordy:64?generation=2").fingerprint not in same


def test_a_model_in_a_folder_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    one = open_embedder("langchain:wordy:model")
    assert one.spec == f"langchain:wordy:{folder}"
    before = one.fingerprint
    (folder / "config.json").write_text('{"a": 1}')
    assert open_embedder("langchain:wordy:model").fingerprint != before


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("langchain:wordy", "no provider and model"),
        ("langchain:nobody:m", "no provider 'nobody'"),
        ("langchain:langchain_wordy.Nothing:m", "cannot import"),
        ("langchain:langchain_wordy.open_embedder:m", "not a class"),
        ("langchain:wordy:64?size=3", "unknown argument size"),
        ("langchain:core:m", "classes of embedders"),
    ],
)
def test_a_string_that_opens_nothing_says_why(spec: str, words: str) -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    with pytest.raises(EmbedderSpecError, match=words):
        open_embedder(spec)


def test_a_class_that_refuses_its_arguments_is_named() -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    with pytest.raises(EmbeddingError, match="WordyEmbeddings cannot be made"):
        open_embedder("langchain:wordy:64?param.colour=red").embed_documents(["tea"])


def test_a_string_from_elsewhere_opens_no_code_that_nobody_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VECROLLBACK_ALLOW", raising=False)
    for kind in ("langchain", "llama-index", "haystack"):
        with pytest.raises(UntrustedError, match="nobody has allowed"):
            require_allowed(f"{kind}:wordy:64", store=tmp_path)
    monkeypatch.setenv("VECROLLBACK_ALLOW", "langchain:wordy:*")
    require_allowed("langchain:wordy:64", store=tmp_path)
    with pytest.raises(UntrustedError, match="nobody has allowed"):
        require_allowed("langchain:wordy:64?param.base_url=https://elsewhere.example.com", store=tmp_path)


def test_a_pair_is_made_and_served_by_it(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    with connect(tmp_path / "store", create=True, embedder="langchain:wordy:64") as store:
        store.upsert([Document("tea", "Steep green tea."), Document("jam", "Boil plums.")], visible=True)
        assert store.search("green tea", k=1).hits[0].id == "tea"
        assert store.check().verdict == "pass"
