"""A LangChain service over its own collection: adopted in place, upgraded and rolled back; one line of it is changed.

The line opens the store. `Service` is the rest, and from then on one object of it lives through all moves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from langchain_core.documents import Document as Page
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import VectorStore

import vecrollback
from tests.support.operations import words
from tests.support.oracle import ONE, TWO, assert_passes, embedder, exact
from tests.support.postgres import PostgresServer
from vecrollback import Store
from vecrollback.integrations.langchain import VecrollbackVectorStore

PAGES = {f"page-{n}": (words(n), {"shelf": n % 3}) for n in range(40)}
K = 5


class ServiceEmbeddings(Embeddings):
    """The model that the service has in its own process."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in row] for row in embedder(ONE).embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return [float(x) for x in embedder(ONE).embed_queries([text])[0]]


class Service:
    """Not a line of it knows what its store is."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._chain = store.as_retriever(search_kwargs={"k": K}) | RunnableLambda(lambda pages: [p.id for p in pages])

    def answer(self, question: str) -> list[str]:
        found: list[str] = self._chain.invoke(question)
        return found

    def from_shelf(self, question: str, shelf: int) -> list[tuple[str, int]]:
        pages = self._store.similarity_search(question, k=K, filter={"shelf": shelf})
        return [(page.page_content, page.metadata["shelf"]) for page in pages]

    def write(self, id_: str, text: str, shelf: int) -> None:
        self._store.add_documents([Page(text, metadata={"shelf": shelf}, id=id_)], ids=[id_])

    def remove(self, id_: str) -> None:
        self._store.delete([id_])


Open = Callable[[], VectorStore]


@pytest.fixture(params=["chroma", "pgvector"])
def own_store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Open, str]:
    """How the service opens its store before, and where that is."""
    if request.param == "chroma":
        chroma = pytest.importorskip("langchain_chroma", reason="pip install langchain-chroma")
        folder = str(tmp_path / "chroma")
        return (
            lambda: chroma.Chroma("pages", ServiceEmbeddings(), persist_directory=folder),
            f"chroma:{folder}#pages",
        )
    postgres = pytest.importorskip("langchain_postgres", reason="pip install langchain-postgres")
    server: PostgresServer = request.getfixturevalue("postgres")
    # A database of its own: LangChain would write to tables that another test left. And no length of vectors, because
    # LangChain keeps the first that it is told for the whole process.
    database = f"lc_{uuid4().hex[:8]}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {database}")
    url = f"postgresql+psycopg://postgres@/{database}?host={server.folder}"
    return (
        lambda: postgres.PGVector(ServiceEmbeddings(), connection=url, collection_name="pages"),
        f"postgresql://postgres@/{database}?host={server.folder}#public.langchain_pg_embedding",
    )


def nearest(spec: str, texts: dict[str, str], question: str) -> list[str]:
    scores = exact(spec, texts, question)
    return sorted(scores, key=lambda id_: -scores[id_])[:K]


def assert_answers(service: Service, store: Store, spec: str, pages: dict[str, tuple[str, dict[str, int]]]) -> None:
    texts = {id_: text for id_, (text, _) in pages.items()}
    assert store.live().embedder == spec
    for question in ("boats in the harbour", "bread", "note 7"):
        assert service.answer(question) == nearest(spec, texts, question), question
        on_shelf = {id_: text for id_, (text, facts) in pages.items() if facts["shelf"] == 1}
        wanted = [(texts[id_], 1) for id_ in nearest(spec, on_shelf, question)]
        assert service.from_shelf(question, 1) == wanted, question


def test_a_service_is_upgraded_and_rolled_back_by_the_line_that_opens_its_store(
    own_store: tuple[Open, str], tmp_path: Path
) -> None:
    open_own, place = own_store
    pages = dict(PAGES)
    service = Service(open_own())
    for id_, (text, facts) in pages.items():
        service.write(id_, text, facts["shelf"])
    before = {question: service.answer(question) for question in ("boats in the harbour", "bread", "note 7")}

    with vecrollback.connect(tmp_path / "store", create=True) as store:
        done = store.adopt(place, model=ONE, name="v1", in_place=True)
        assert (done.documents, done.reused, done.embedded) == (len(pages), len(pages), 0)
        store.promote("v1")
        service = Service(VecrollbackVectorStore(store))
        assert {question: service.answer(question) for question in before} == before, "as before, and from there"
        assert_answers(service, store, ONE, pages)

        address, _, name = store.live().place.partition("<")[0].rpartition("#")
        own = name.replace("v1", "v2")
        store.reembed(TWO, name="v2", backend=f"{address}#{own}").wait()
        store.promote("v2")
        assert_answers(service, store, TWO, pages)
        service.write("page-new", "a boat that is new", 1)
        service.write("page-4", "bread from the harbour", 1)
        service.remove("page-7")
        pages |= {"page-new": ("a boat that is new", {"shelf": 1}), "page-4": ("bread from the harbour", {"shelf": 1})}
        del pages["page-7"]
        assert_answers(service, store, TWO, pages)

        moved = store.rollback(reason="worse")
        assert moved.report is not None
        assert_passes(moved.report)
        assert_answers(service, store, ONE, pages)
        service.write("page-last", "bread and boats", 1)
        pages["page-last"] = ("bread and boats", {"shelf": 1})
        assert_answers(service, store, ONE, pages)
