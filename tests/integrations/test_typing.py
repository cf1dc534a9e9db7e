"""A user's program over each adapter passes mypy --strict, and a mistake in it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAMS = {
    "langchain": """
from langchain_core.documents import Document

import vecrollback
from vecrollback.integrations.langchain import PairEmbeddings, VecrollbackRetriever, VecrollbackVectorStore


def ask(store: vecrollback.Store | vecrollback.Client, question: str) -> list[Document]:
    pages = VecrollbackVectorStore(store, namespace="kb-7")
    pages.add_texts(["Steep green tea."], [{"kind": "drink"}], ids=["tea"])
    vector = PairEmbeddings(store).embed_query(question)
    print(vector.pair, pages.similarity_search_by_vector(vector, k=1))
    print(pages.similarity_search(question, k=2, filter={"kind": "drink"}, mode="hybrid"))
    return VecrollbackRetriever(backend=store, k=3).invoke(question)
""",
    "langgraph": """
from langgraph.store.base import BaseStore, SearchItem

import vecrollback
from vecrollback.integrations.langgraph import VecrollbackStore


def ask(store: vecrollback.Store | vecrollback.Client, question: str) -> list[SearchItem]:
    memory: BaseStore = VecrollbackStore(store, fields=["text"])
    memory.put(("users", "anna"), "drink", {"text": "Prefers green tea."})
    return memory.search(("users",), query=question, filter={"sure": True})
""",
    "async_store": """
import vecrollback


async def ask(store: vecrollback.Store, question: str) -> list[str]:
    async with vecrollback.AsyncStore(store) as opened:
        result = await opened.search(question, k=1, where={"kind": "drink"})
        return [hit.id for hit in result.hits] + [one.id async for one in opened.documents()]
""",
    "llama_index": """
from llama_index.core import Document
from llama_index.core.schema import NodeWithScore

import vecrollback
from vecrollback.integrations.llama_index import PairEmbedding, VecrollbackIndex, VecrollbackVectorStore


def ask(store: vecrollback.Store | vecrollback.Client, question: str) -> list[NodeWithScore]:
    index = VecrollbackIndex.from_documents([Document(text="Steep green tea.")], store_or_client=store)
    print(PairEmbedding(store).get_query_embedding(question))
    VecrollbackVectorStore(store, namespace="kb-7").clear()
    return index.as_retriever(similarity_top_k=2).retrieve(question)
""",
    "haystack": """
from haystack import Document
from haystack.document_stores.types import DocumentStore, DuplicatePolicy

import vecrollback
from vecrollback.integrations.haystack import VecrollbackDocumentStore


def ask(store: vecrollback.Store | vecrollback.Client, question: str) -> list[Document]:
    documents = VecrollbackDocumentStore(store, namespace="kb-7")
    kept: DocumentStore = documents
    kept.write_documents([Document(content="Steep green tea.")], DuplicatePolicy.SKIP)
    return documents.search(question, top_k=2, mode="hybrid")
""",
    "mlflow": """
import vecrollback
from vecrollback.integrations.mlflow import PairRegistry


def show(store: vecrollback.Store | vecrollback.Client) -> str | None:
    registry = PairRegistry(store, "search", tracking_uri="sqlite:///mlflow.db", bundles=False)
    with registry.following(seconds=5):
        return registry.publish().champion
""",
    "reranker": """
import vecrollback


def ask(store: vecrollback.Store | vecrollback.Client, question: str) -> list[str]:
    shares: vecrollback.Weights = (0.7, 0.3)
    result = store.search(question, mode="hybrid", weights=shares, reranker="precise")
    return [hit.id for hit in result.hits]
""",
    "mcp": """
import vecrollback
from vecrollback.integrations.mcp import create_server, serve_stdio


def serve(store: vecrollback.Store) -> None:
    with store.searcher() as searcher:
        print(create_server(store, searcher).name)
    serve_stdio(store, operator=True)
""",
}
MISTAKES = {
    "misspelt": """
import vecrollback
from vecrollback.integrations.langchain import VecrollbackVectorStore


def ask(store: vecrollback.Store) -> None:
    VecrollbackVectorStore(store).similarity_search("tea", filters={"kind": "drink"})
""",
    "no_store": """
from vecrollback.integrations.haystack import VecrollbackDocumentStore

VecrollbackDocumentStore(3)
""",
}


@pytest.mark.slow
def test_programs_of_users_are_typed(tmp_path: Path) -> None:
    for name, code in (PROGRAMS | MISTAKES).items():
        (tmp_path / f"{name}_program.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run(
        [*command, *sorted(str(path) for path in tmp_path.glob("*_program.py"))],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert {line.split("_program.py")[0].split("/")[-1] for line in errors} == set(MISTAKES), done.stdout
