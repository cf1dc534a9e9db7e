"""Vector stores of LangChain, LlamaIndex and Haystack, guarded in one line.

Covers guard.stores, guard.langchain, guard.llama_index, guard.haystack, guard.watch, guard.models.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbedderChangedError, FingerprintMismatchError, UsageError
from vecrollback.guard import DriftWarning, guard, stamp_of, watch

OWN, OTHER = "hash:48?seed=1", "hash:48?seed=2"
TEXTS = [f"{word} number {n} lies in the harbour" for n in range(10) for word in ("ship", "crate")]


class Provider:
    """A service whose model may change under its name at any moment."""

    def __init__(self, spec: str) -> None:
        self.model = open_embedder(spec)
        self.texts = 0

    def documents(self, texts: list[str]) -> list[list[float]]:
        self.texts += len(texts)
        vectors: list[list[float]] = self.model.embed_documents(texts).tolist()
        return vectors

    def query(self, text: str) -> list[float]:
        self.texts += 1
        vector: list[float] = self.model.embed_queries([text])[0].tolist()
        return vector


@pytest.fixture(autouse=True)
def every_query_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of a query is renewed every some seconds; here with each."""
    monkeypatch.setattr(watch, "PROOF_SECONDS", 0.0)


def langchain_embeddings(provider: Provider) -> Any:
    embeddings = pytest.importorskip("langchain_core.embeddings", reason="pip install langchain-core")

    class ServiceEmbeddings(embeddings.Embeddings):  # type: ignore[misc]
        model_name = "service-v1"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return provider.documents(texts)

        def embed_query(self, text: str) -> list[float]:
            return provider.query(text)

    return ServiceEmbeddings()


def _langchain_chroma(folder: Path, embeddings: Any, _postgres: Any) -> Any:
    return pytest.importorskip("langchain_chroma", reason="pip install langchain-chroma").Chroma(
        "docs", embeddings, persist_directory=str(folder)
    )


def _langchain_pgvector(_folder: Path, embeddings: Any, postgres: Any) -> Any:
    module = pytest.importorskip("langchain_postgres", reason="pip install langchain-postgres")
    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
    url = postgres.url().partition("&schema")[0]
    return module.PGVector(embeddings, collection_name=f"docs-{uuid4().hex[:6]}", connection=url)


_LANGCHAIN = {"chroma": _langchain_chroma, "pgvector": _langchain_pgvector}


@pytest.mark.parametrize("kind", _LANGCHAIN)
def test_a_langchain_store_refuses_once_its_model_changes_under_its_name(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    postgres = request.getfixturevalue("postgres") if kind == "pgvector" else None
    provider = Provider(OWN)
    make = _LANGCHAIN[kind]
    store = make(tmp_path, langchain_embeddings(provider), postgres)
    same = guard(store)
    assert same is store
    stamp = stamp_of(store)
    assert stamp is not None and stamp.contract["model_name"] == "service-v1"
    store.add_texts(TEXTS, ids=[f"r{n}" for n in range(len(TEXTS))])
    assert store.similarity_search(TEXTS[3], k=1)[0].page_content == TEXTS[3]
    retriever = store.as_retriever(search_kwargs={"k": 1})
    assert retriever.invoke(TEXTS[7])[0].page_content == TEXTS[7]
    if kind == "chroma":  # PGVector is either for programs that wait or for those that do not
        assert asyncio.run(retriever.ainvoke(TEXTS[7]))[0].page_content == TEXTS[7]
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError, match="no longer gives the vectors of the stamp"):
        store.similarity_search(TEXTS[3])
    with pytest.raises(EmbedderChangedError):
        store.add_texts(["one more"])
    provider.model = open_embedder(OWN)
    assert len(store.similarity_search("harbour", k=100)) == len(TEXTS)


def test_a_second_guard_of_a_langchain_store_adds_no_second_probe(tmp_path: Path) -> None:
    provider = Provider(OWN)
    store = guard(guard(_langchain_chroma(tmp_path, langchain_embeddings(provider), None)))
    before = provider.texts
    store.add_texts(["one text"])
    assert provider.texts == before + 2


def test_a_langchain_store_is_opened_only_with_the_model_of_its_stamp(tmp_path: Path) -> None:
    store = guard(_langchain_chroma(tmp_path, langchain_embeddings(Provider(OWN)), None))
    store.add_texts(TEXTS)
    again = _langchain_chroma(tmp_path, langchain_embeddings(Provider(OTHER)), None)
    with pytest.raises(EmbedderChangedError):
        guard(again)
    with pytest.raises(EmbedderChangedError):
        guard(again, OWN)
    with pytest.warns(DriftWarning):
        guard(again, drift="warn")
    with pytest.warns(DriftWarning):
        again.similarity_search("harbour")
    guard(_langchain_chroma(tmp_path, langchain_embeddings(Provider(OWN)), None), OWN)


def test_langchain_stores_in_memory_keep_their_stamp_where_they_are_told(tmp_path: Path) -> None:
    stores = pytest.importorskip("langchain_core.vectorstores", reason="pip install langchain-core")
    store = stores.InMemoryVectorStore(langchain_embeddings(Provider(OWN)))
    store.add_texts(TEXTS)
    with pytest.raises(UsageError, match="does not show where"):
        guard(store)
    guard(store, at=str(tmp_path / "stamp.json"))
    other = stores.InMemoryVectorStore(langchain_embeddings(Provider(OTHER)))
    with pytest.raises(EmbedderChangedError):
        guard(other, at=str(tmp_path / "stamp.json"))
    other.add_texts(TEXTS)
    other.embedding = langchain_embeddings(Provider(OWN))
    with pytest.raises(FingerprintMismatchError):
        guard(other, at=str(tmp_path / "stamp.json"))


def test_a_langchain_faiss_store_is_guarded_by_the_folder_it_is_saved_in(tmp_path: Path) -> None:
    stores = pytest.importorskip("langchain_community.vectorstores", reason="pip install langchain-community")
    provider = Provider(OWN)
    store = stores.FAISS.from_texts(TEXTS, langchain_embeddings(provider))
    store.save_local(str(tmp_path))
    guard(store, at=str(tmp_path))
    guard(str(tmp_path), OWN)
    assert store.similarity_search(TEXTS[2], k=1)[0].page_content == TEXTS[2]
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        store.similarity_search(TEXTS[2], k=1)


def test_a_llama_index_store_compares_what_is_added_and_asked(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore

    provider = Provider(OWN)

    class ServiceEmbedding(BaseEmbedding):  # type: ignore[misc]
        def _get_text_embedding(self, text: str) -> list[float]:
            return provider.documents([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return provider.query(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return provider.query(query)

    model = ServiceEmbedding(model_name="service-v1")
    store = guard(SimpleVectorStore(), model, at=str(tmp_path / "stamp.json"))
    nodes = [TextNode(text=text, metadata={"file": f"{n}.txt"}) for n, text in enumerate(TEXTS)]
    storage = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes, storage_context=storage, embed_model=model)
    retriever = index.as_retriever(similarity_top_k=1)
    assert retriever.retrieve(f"file: 3.txt\n\n{TEXTS[3]}")[0].node.text == TEXTS[3]
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        retriever.retrieve(TEXTS[3])
    node = TextNode(text="one more", embedding=open_embedder(OWN).embed_documents(["one more"])[0].tolist())
    with pytest.raises(FingerprintMismatchError):
        store.add([node])
    provider.model = open_embedder(OWN)
    node.embedding = open_embedder(OTHER).embed_documents(["one more"])[0].tolist()
    with pytest.raises(FingerprintMismatchError, match="one more"):
        store.add([node])
    assert len(store.data.embedding_dict) == len(TEXTS)
    with pytest.raises(UsageError, match="none with a text"):
        guard(store, model, at=str(tmp_path / "other.json"))


def test_a_haystack_store_compares_what_is_written_and_asked(tmp_path: Path) -> None:
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    provider = Provider(OWN)

    @haystack.component
    class ServiceDocumentEmbedder:
        @haystack.component.output_types(documents=list)
        def run(self, documents: list[Any]) -> dict[str, Any]:
            vectors = provider.documents([one.content for one in documents])
            return {
                "documents": [
                    haystack.Document(content=d.content, embedding=v) for d, v in zip(documents, vectors, strict=True)
                ]
            }

    @haystack.component
    class ServiceTextEmbedder:
        @haystack.component.output_types(embedding=list)
        def run(self, text: str) -> dict[str, Any]:
            return {"embedding": provider.query(text)}

    embedders = ServiceDocumentEmbedder(), ServiceTextEmbedder()
    store = guard(InMemoryDocumentStore(), embedders, at=str(tmp_path / "stamp.json"))
    documents = embedders[0].run([haystack.Document(content=text) for text in TEXTS])["documents"]
    assert store.write_documents(documents) == len(TEXTS)
    assert store.embedding_retrieval(provider.query(TEXTS[4]), top_k=1)[0].content == TEXTS[4]
    guard(store, embedders, at=str(tmp_path / "stamp.json"))
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        store.embedding_retrieval(provider.query(TEXTS[4]), top_k=1)
    with pytest.raises(FingerprintMismatchError):
        store.write_documents([haystack.Document(content="late", embedding=[1.0] * 48)])
    assert store.count_documents() == len(TEXTS)


def test_the_embedding_function_of_a_chroma_collection_is_what_is_stamped(tmp_path: Path) -> None:
    chromadb = pytest.importorskip("chromadb", reason="pip install chromadb")

    class ServiceFunction(chromadb.EmbeddingFunction):  # type: ignore[misc]
        def __init__(self, spec: str = OWN) -> None:
            self.provider = Provider(spec)

        def __call__(self, input: list[str]) -> Any:
            return self.provider.documents(input)

        @staticmethod
        def name() -> str:
            return "service"

        def get_config(self) -> dict[str, Any]:
            return {}

        @staticmethod
        def build_from_config(config: dict[str, Any]) -> ServiceFunction:
            return ServiceFunction()

    client = chromadb.PersistentClient(str(tmp_path))
    collection = guard(client.create_collection("docs", embedding_function=ServiceFunction()))
    collection.add(ids=[f"r{n}" for n in range(len(TEXTS))], documents=TEXTS)
    guard(collection)
    with pytest.raises(EmbedderChangedError):
        guard(client.get_collection("docs", embedding_function=ServiceFunction(OTHER)))
