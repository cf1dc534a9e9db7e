"""Stores that frameworks stand on: one in this process, and one behind a real server beside a real worker."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import start
from tests.support.http_server import V1, V2, build, serving
from tests.support.openai_server import OpenAIServer, error
from vecrollback import Client, Document, Store, connect
from vecrollback.embedders.circuit_breaker import breaker_of
from vecrollback.integrations.backend import Backend, clear

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when Haystack is imported


@pytest.fixture(scope="session")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store", V1, V2)


@pytest.fixture
def store_path(two_pairs: Path, tmp_path: Path) -> Path:
    """A store of this test's own: sixty documents, v2 is live, v1 on standby."""
    return Path(shutil.copytree(two_pairs, tmp_path / "store"))


@contextlib.contextmanager
def service(path: Path) -> Iterator[Client]:
    """A client of a server with a worker beside it."""
    with serving(path) as server, start("worker", "--store", path, "--interval", "0.1") as worker:
        try:
            with Client(server.url, timeout=60) as client:
                yield client
        finally:
            worker.terminate()
            worker.communicate(timeout=60)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """LangChain's vector store and its index go over HTTP in every run, all else when `slow` is asked for."""
    files = ("test_haystack.py", "test_llama_index.py", "test_langchain.py")
    for item in items:
        every_run = any(f"::{name}::" in item.nodeid for name in ("TestVectorStore", "TestDocumentIndex"))
        if "[client" in item.name and item.path.name in files and not (every_run and "langchain" in item.path.name):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with connect(tmp_path_factory.mktemp("integrations") / "store", create=True, embedder=V1) as store:
        yield store


@pytest.fixture(scope="session")
def empty_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("integrations") / "store"
    connect(path, create=True, embedder=V1).close()
    with service(path) as client:
        yield client


@pytest.fixture
def speechless_store(tmp_path: Path) -> Iterator[Store]:
    """A store whose model does not answer, so that words answer what is asked of it: three pages, with ids a to c."""
    with OpenAIServer(64) as model, connect(tmp_path / "speechless", create=True) as store:
        texts = {"a": "green tea is steeped", "b": "the harbour sleeps", "c": "bread and butter"}
        store.upsert([Document(id_, text) for id_, text in texts.items()])
        spec = model.spec(query_retries=0, max_retries=0, query_timeout=0.5)
        store.promote(store.reembed(spec, name="v1").wait(), reason="first")
        (store.root / "vecrollback.toml").write_text('[serving]\nfallback = ["keyword"]\n')
        model.refusal = lambda texts: error(503, "gone")
        yield store
        breaker_of(model.url, "m").answered()


@pytest.fixture(params=["store", "client"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A store without documents, in this process and over HTTP."""
    opened: Backend = request.getfixturevalue(f"empty_{request.param}")
    yield opened
    clear(opened)
