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


def test_what_a_langchain_store_awaits_is_embedded_by_the_awaited_methods_and_proven(tmp_path: Path) -> None:
    embeddings = pytest.importorskip("langchain_core.embeddings", reason="pip install langchain-core")
    from langchain_core.vectorstores import InMemoryVectorStore

    provider, awaited = Provider(OWN), Provider(OWN)

    class AwaitedEmbeddings(embeddings.Embeddings):  # type: ignore[misc]
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return provider.documents(texts)

        def embed_query(self, text: str) -> list[float]:
            return provider.query(text)

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            return awaited.documents(texts)

        async def aembed_query(self, text: str) -> list[float]:
            return awaited.query(text)

    store = guard(InMemoryVectorStore(AwaitedEmbeddings()), at=str(tmp_path / "stamp.json"))
    asyncio.run(store.aadd_texts(TEXTS))
    assert awaited.texts == len(TEXTS) + 1
    assert asyncio.run(store.asimilarity_search(TEXTS[3], k=1))[0].page_content == TEXTS[3]
    awaited.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        asyncio.run(store.aadd_texts(["one more"]))
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        asyncio.run(store.asimilarity_search(TEXTS[3]))


def test_a_langchain_store_around_another_is_watched_and_one_that_hides_its_embeddings_refused(
    postgres: Any, tmp_path: Path
) -> None:
    module = pytest.importorskip("langchain_postgres", reason="pip install langchain-postgres")
    with postgres.connect() as connection:
        connection.execute("create extension if not exists vector schema public")
    url, table, provider = postgres.url().partition("&schema")[0], f"d{uuid4().hex[:6]}", Provider(OWN)
    engine = module.PGEngine.from_connection_string(url.replace("postgresql:", "postgresql+psycopg:"))
    engine.init_vectorstore_table(table, 48)
    store = module.PGVectorStore.create_sync(engine, langchain_embeddings(provider), table)
    guard(store, at=f"{url}#{table}")
    store.add_texts(TEXTS)
    provider.model = open_embedder(OTHER)
    with pytest.raises(EmbedderChangedError):
        store.add_texts(["one more"])
    with pytest.raises(EmbedderChangedError):
        store.similarity_search(TEXTS[3])

    class HidingStore(type(store)):  # type: ignore[misc]
        embeddings = property(lambda _: langchain_embeddings(Provider(OWN)))

    hiding = HidingStore.__new__(HidingStore)
    with pytest.raises(UsageError, match="cannot be watched"):
        guard(hiding, at=str(tmp_path / "stamp.json"))


def _langchain_over_qdrant(client: Any, vector: str, provider: Provider) -> tuple[Any, ...]:
    from langchain_core.vectorstores import VectorStore

    class NamedStore(VectorStore):
        """What langchain-qdrant's store has for whoever asks where the rows are."""

        collection_name, vector_name = "docs", vector

        def __init__(self) -> None:
            self.client, self._embeddings = client, langchain_embeddings(provider)

        @property
        def embeddings(self) -> Any:
            return self._embeddings

        def similarity_search(self, query: str, k: int = 4, **_: Any) -> list[Any]:
            return []

        @classmethod
        def from_texts(cls, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    return (NamedStore(),)


def _llama_index_over_qdrant(client: Any, vector: str, provider: Provider) -> tuple[Any, ...]:
    from llama_index.core.vector_stores import SimpleVectorStore

    class NamedStore(SimpleVectorStore):  # type: ignore[misc]
        """What llama-index-vector-stores-qdrant's store has for whoever asks where the rows are."""

        collection_name: str = "docs"
        dense_vector_name: str = vector

        @property
        def client(self) -> Any:
            return client

    store = NamedStore()
    store.data = None
    return store, llama_index_embedding(provider)


def _haystack_over_qdrant(client: Any, vector: str, provider: Provider) -> tuple[Any, ...]:
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore()
    # What qdrant-haystack's store has for whoever asks where the rows are: its one name stands beside sparse vectors.
    store._client, store.index, store.use_sparse_embeddings = client, "docs", vector == "text-dense"
    return store, haystack_embedders(provider)


_OVER_QDRANT = {
    "langchain_core": (_langchain_over_qdrant, "v2"),
    "llama_index.core": (_llama_index_over_qdrant, "v2"),
    "haystack": (_haystack_over_qdrant, "text-dense"),
}


@pytest.mark.parametrize("framework", _OVER_QDRANT)
def test_of_several_vectors_of_a_point_those_are_guarded_that_the_store_uses(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework, reason=f"needs {framework}")
    client = pytest.importorskip("qdrant_client", reason="pip install qdrant-client").QdrantClient(path=str(tmp_path))
    from qdrant_client import models

    make, name = _OVER_QDRANT[framework]
    shape = models.VectorParams(size=48, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config={"a": shape, name: shape})
    rows = zip(TEXTS, *(open_embedder(spec).embed_documents(TEXTS).tolist() for spec in (OTHER, OWN)), strict=True)
    points = [
        models.PointStruct(id=n, vector={"a": a, name: own}, payload={"page_content": text})
        for n, (text, a, own) in enumerate(rows)
    ]
    client.upsert("docs", points, wait=True)
    with pytest.raises(FingerprintMismatchError, match=f"vector '{name}'"):
        guard(*make(client, name, Provider(OTHER)))
    guard(*make(client, name, Provider(OWN)))
    guard((client, "docs", "a"), OTHER)
    with pytest.raises(EmbedderChangedError):
        guard(*make(client, name, Provider(OTHER)))
    client.close()


def test_of_several_columns_of_vectors_that_one_is_guarded_which_the_store_uses(tmp_path: Path) -> None:
    stores = pytest.importorskip("langchain_community.vectorstores", reason="pip install langchain-community")
    import lancedb

    titles, texts = (open_embedder(spec).embed_documents(TEXTS).tolist() for spec in (OTHER, OWN))
    rows = [{"id": str(n), "text": t, "vector": titles[n], "body_vector": texts[n]} for n, t in enumerate(TEXTS)]
    connection = lancedb.connect(tmp_path)
    connection.create_table("docs", rows)

    def store(spec: str) -> Any:
        options = {"connection": connection, "table_name": "docs", "vector_key": "body_vector"}
        return stores.LanceDB(embedding=langchain_embeddings(Provider(spec)), **options)

    with pytest.raises(FingerprintMismatchError):
        guard(store(OTHER))
    guard(store(OWN))
    assert stamp_of(connection.open_table("docs")) is None


def llama_index_embedding(provider: Provider) -> Any:
    from llama_index.core.embeddings import BaseEmbedding

    class ServiceEmbedding(BaseEmbedding):  # type: ignore[misc]
        def _get_text_embedding(self, text: str) -> list[float]:
            return provider.documents([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return provider.query(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return provider.query(query)

    return ServiceEmbedding(model_name="service-v1")


def llama_index_nodes(provider: Provider, texts: list[str]) -> list[Any]:
    from llama_index.core.schema import TextNode

    vectors = provider.documents(texts)
    return [TextNode(text=text, embedding=vector) for text, vector in zip(texts, vectors, strict=True)]


def test_a_llama_index_store_refuses_batches_of_a_model_that_changed_under_its_name(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core.vector_stores import SimpleVectorStore

    provider = Provider(OWN)
    store = guard(SimpleVectorStore(), llama_index_embedding(provider), at=str(tmp_path / "stamp.json"))
    store.add(llama_index_nodes(provider, TEXTS))
    provider.model = open_embedder(OTHER)
    for _ in range(2):
        with pytest.raises(EmbedderChangedError, match="no longer gives the vectors of the stamp"):
            store.add(llama_index_nodes(provider, ["one more", "and another"]))
    assert len(store.data.embedding_dict) == len(TEXTS)
    provider.model = open_embedder(OWN)
    store.add(llama_index_nodes(provider, ["one more"]))
    assert len(store.data.embedding_dict) == len(TEXTS) + 1


def test_what_a_llama_index_store_awaits_is_compared_as_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery, VectorStoreQueryResult

    class AwaitingStore(SimpleVectorStore):  # type: ignore[misc]
        """As those of servers are: what is awaited has a client of its own and leads to no other call."""

        async def async_add(self, nodes: Any, **_: Any) -> list[str]:
            return list(SimpleVectorStore.add(self, nodes))

        async def aquery(self, query: Any, **_: Any) -> VectorStoreQueryResult:
            return SimpleVectorStore.query(self, query)

    for kind in (AwaitingStore, SimpleVectorStore):
        provider = Provider(OWN)
        store = guard(kind(), llama_index_embedding(provider), at=str(tmp_path / f"{kind.__name__}.json"))
        before = provider.texts
        asyncio.run(store.async_add(llama_index_nodes(provider, TEXTS)))
        assert provider.texts == before + len(TEXTS) + 2  # checked once, whichever call leads to which
        query = VectorStoreQuery(query_embedding=provider.query(TEXTS[4]), similarity_top_k=1)
        assert len(asyncio.run(store.aquery(query)).ids) == 1
        foreign = llama_index_nodes(Provider(OTHER), ["one more"])
        with pytest.raises(FingerprintMismatchError, match="one more"):
            asyncio.run(store.async_add(foreign))
        provider.model = open_embedder(OTHER)
        with pytest.raises(EmbedderChangedError):
            asyncio.run(store.async_add(foreign))
        with pytest.raises(EmbedderChangedError):
            asyncio.run(store.aquery(query))
        assert len(store.data.embedding_dict) == len(TEXTS)


def test_a_query_after_one_that_was_refused_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(OWN)
    store = guard(_langchain_chroma(tmp_path, langchain_embeddings(provider), None))
    store.add_texts(TEXTS)
    monkeypatch.setattr(watch, "PROOF_SECONDS", 3600.0)  # the next proof is due once, and then not for an hour
    provider.model = open_embedder(OTHER)
    for _ in range(3):
        with pytest.raises(EmbedderChangedError):
            store.similarity_search(TEXTS[3])
    provider.model = open_embedder(OWN)
    assert store.similarity_search(TEXTS[3], k=1)[0].page_content == TEXTS[3]
    before = provider.texts
    store.similarity_search(TEXTS[3], k=1)
    assert provider.texts == before + 1


def test_a_llama_index_store_compares_what_is_added_and_asked(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore

    provider = Provider(OWN)
    model = llama_index_embedding(provider)
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


def haystack_embedders(provider: Provider, *meta: str) -> tuple[Any, Any]:
    """A document embedder and a text embedder. `meta`: what of a document's metadata is embedded above its text."""
    import haystack

    @haystack.component
    class ServiceDocumentEmbedder:
        @haystack.component.output_types(documents=list)
        def run(self, documents: list[Any]) -> dict[str, Any]:
            texts = ["\n".join([*(d.meta[name] for name in meta if name in d.meta), d.content]) for d in documents]
            vectors = provider.documents(texts)
            made = [
                haystack.Document(content=d.content, meta=d.meta, embedding=v)
                for d, v in zip(documents, vectors, strict=True)
            ]
            return {"documents": made}

    @haystack.component
    class ServiceTextEmbedder:
        @haystack.component.output_types(embedding=list)
        def run(self, text: str) -> dict[str, Any]:
            return {"embedding": provider.query(text)}

    return ServiceDocumentEmbedder(), ServiceTextEmbedder()


def test_a_haystack_store_compares_what_is_written_and_asked(tmp_path: Path) -> None:
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    provider = Provider(OWN)
    embedders = haystack_embedders(provider)
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


def test_a_haystack_store_refuses_batches_of_a_model_that_changed_under_its_name(tmp_path: Path) -> None:
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    provider = Provider(OWN)
    embedders = haystack_embedders(provider)
    store = guard(InMemoryDocumentStore(), embedders, at=str(tmp_path / "stamp.json"))

    def documents(texts: list[str]) -> list[Any]:
        made: list[Any] = embedders[0].run([haystack.Document(content=text) for text in texts])["documents"]
        return made

    store.write_documents(documents(TEXTS))
    provider.model = open_embedder(OTHER)
    for text in ("late", "later"):
        with pytest.raises(EmbedderChangedError, match="no longer gives the vectors of the stamp"):
            store.write_documents(documents([text]))
        with pytest.raises(EmbedderChangedError):
            asyncio.run(store.write_documents_async(documents([text])))
    assert store.count_documents() == len(TEXTS)
    assert store.write_documents([haystack.Document(content="not embedded yet")]) == 1


def test_what_a_haystack_store_awaits_is_compared_as_the_rest(tmp_path: Path) -> None:
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    class AwaitingStore(InMemoryDocumentStore):  # type: ignore[misc]
        """As those of servers are: what is awaited has a client of its own and leads to no other call."""

        async def write_documents_async(self, documents: list[Any], policy: Any = None) -> int:
            return int(InMemoryDocumentStore.write_documents(self, documents))

        async def embedding_retrieval_async(self, *values: Any, **options: Any) -> list[Any]:
            return list(InMemoryDocumentStore.embedding_retrieval(self, *values, **options))

    for kind in (AwaitingStore, InMemoryDocumentStore):
        provider = Provider(OWN)
        embedders = haystack_embedders(provider)
        store = guard(kind(), embedders, at=str(tmp_path / f"{kind.__name__}.json"))
        documents = embedders[0].run([haystack.Document(content=text) for text in TEXTS])["documents"]
        before = provider.texts
        assert asyncio.run(store.write_documents_async(documents=documents)) == len(TEXTS)
        assert provider.texts == before + 2  # checked once, whichever call leads to which
        wanted = provider.query(TEXTS[4])
        assert asyncio.run(store.embedding_retrieval_async(wanted, top_k=1))[0].content == TEXTS[4]
        foreign = [haystack.Document(content="late", embedding=Provider(OTHER).documents(["late"])[0])]
        with pytest.raises(FingerprintMismatchError, match="late"):
            asyncio.run(store.write_documents_async(foreign))
        provider.model = open_embedder(OTHER)
        with pytest.raises(EmbedderChangedError):
            asyncio.run(store.embedding_retrieval_async(wanted, top_k=1))
        assert store.count_documents() == len(TEXTS)


def test_what_is_written_is_compared_by_the_template(tmp_path: Path) -> None:
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai")
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    provider = Provider(OWN)
    embedders = haystack_embedders(provider, "title")
    store = InMemoryDocumentStore()

    def documents(texts: list[str]) -> list[Any]:
        bare = [haystack.Document(content=text, meta={"title": f"Harbour {n}"}) for n, text in enumerate(texts)]
        made: list[Any] = embedders[0].run(bare)["documents"]
        return made

    store.write_documents(documents(TEXTS))
    for template in ("{meta.title}\n{content}", "{title}\n{content}"):
        guard(store, embedders, template=template, at=str(tmp_path / "stamp.json"))
        store.write_documents(documents([f"a word of {template} that is new"]))
    foreign = documents(["late"])
    foreign[0] = haystack.Document(content="late", meta=foreign[0].meta, embedding=provider.documents(["late"])[0])
    with pytest.raises(FingerprintMismatchError) as refused:
        store.write_documents(foreign)
    assert "template=" in refused.value.hint


def test_the_nodes_of_a_llama_index_store_are_compared_by_the_template(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore

    provider, options = Provider(OWN), {"at": str(tmp_path / "stamp.json"), "template": "{metadata.title}: {text}"}
    store = guard(SimpleVectorStore(), llama_index_embedding(provider), **options)
    node = TextNode(text="Boil plums.", metadata={"title": "Jam"})
    node.embedding = provider.documents(["Jam: Boil plums."])[0]
    store.add([node])
    node.embedding = provider.documents([node.get_content("embed")])[0]
    with pytest.raises(FingerprintMismatchError):
        store.add([node])


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
