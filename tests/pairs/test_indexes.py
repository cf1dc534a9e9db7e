"""Indexes of pgvector: one for each large namespace, and built while others write.

Covers pairs.backends.pgvector.indexes.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

import vecrollback
from tests.support.oracle import ONE, assert_passes, exact
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store
from vecrollback.pairs.backend import open_backend
from vecrollback.pairs.backend_vectors import BackendVectors
from vecrollback.pairs.backends.pgvector import PgvectorBackend
from vecrollback.testing.backend_suite import DIMENSION, OWNER, batch, vectors

LARGE, SMALL = "o'brien 100% {sure}", "small"
TEXTS = {LARGE: 60, SMALL: 20, "": 120}
INDEX = "hnsw:ef_search=200,namespaces=50"


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    """A table in a schema that nobody else uses."""
    schema = f"s_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{schema}.one"


def texts_of(namespace: str) -> dict[str, str]:
    return {f"d{n}": f"boats and {n} of {namespace or 'all'}" for n in range(TEXTS[namespace])}


def upsert(store: Store, namespace: str, texts: dict[str, str]) -> None:
    parity = {id_: {"even": number % 2 == 0} for number, id_ in enumerate(texts)}
    store.upsert([Document(id_, text, parity[id_]) for id_, text in texts.items()], namespace=namespace or None)


def scan_of(backend: PgvectorBackend, postgres: PostgresServer, spec: str, namespace: str) -> str:
    """The plan of a search, where an index is to be preferred: these tables are small."""
    statement, _ = backend._question(spec, 5, backend.count(), compared=False, namespace=namespace)
    vector = f"'[{','.join(['0.1'] * 32)}]'::vector"
    with postgres.connect() as connection:
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        rows = connection.execute("EXPLAIN " + statement.replace("%(query)s", vector).replace("%%", "%")).fetchall()
    return "\n".join(row for (row,) in rows)


def test_a_large_namespace_is_searched_by_an_index_of_its_own(
    postgres: PostgresServer, place: str, tmp_path: Path
) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        for namespace in TEXTS:
            upsert(store, namespace, texts_of(namespace))
        store.reembed(ONE, name="one", backend=place, index=INDEX).wait()
        store.promote("one")
        backend = open_backend(place)
        assert isinstance(backend, PgvectorBackend)
        assert backend.namespaces() == {LARGE}
        assert "vrn_hnsw" in scan_of(backend, postgres, INDEX, LARGE)
        assert "vrn_hnsw" not in scan_of(backend, postgres, INDEX, SMALL)
        assert "vr_hnsw" in scan_of(backend, postgres, INDEX, "")

        def assert_finds(namespace: str, texts: dict[str, str], where: str | None = None) -> None:
            scores = exact(ONE, texts, "boats and 7")
            hits = store.search("boats and 7", k=5, namespace=namespace or None, where=where).hits
            assert [round(hit.score, 5) for hit in hits] == [round(one, 5) for one in sorted(scores.values())[:-6:-1]]
            assert {hit.namespace for hit in hits} == {namespace}

        for namespace in TEXTS:
            texts = texts_of(namespace)
            assert_finds(namespace, texts)
            assert_finds(namespace, dict(list(texts.items())[::2]), "even = true")
        # what is written later is found, what is deleted is not, and a namespace that grew has its index with the next
        grown = texts_of(SMALL) | {f"more {n}": f"boats and {n} that came late" for n in range(40)}
        upsert(store, SMALL, grown)
        store.delete(["d7"], namespace=LARGE)
        store.catch_up("one")
        left = {id_: text for id_, text in texts_of(LARGE).items() if id_ != "d7"}
        for _ in range(2):
            assert_finds(SMALL, grown)
            assert_finds(LARGE, left)
            store.snapshot("one", rebuild=True)
        assert backend.namespaces() == {LARGE, SMALL}
        assert_passes(store.check("one"))


def test_indexes_of_namespaces_go_with_the_option_that_asked_for_them(place: str) -> None:
    backend = open_backend(place)
    assert isinstance(backend, PgvectorBackend)
    table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
    table.create()
    rows = batch(2, 0, 100)
    names = [f"tenant\x1f{id_}" for id_ in rows["doc_id"].to_pylist()]
    table.append(rows.set_column(0, rows.schema.field("doc_id"), [names]), known=1)
    for spec, wanted in (
        ("hnsw:namespaces=101", set()),
        ("hnsw:namespaces=100", {"tenant"}),
        ("hnsw:m=8,namespaces=1", {"tenant"}),
        ("hnsw:m=8", set()),
    ):
        backend.seal(spec)
        assert backend.namespaces() == wanted, spec
        answer = backend.search(vectors("cosine")[:3], 4, spec, 100, namespace="tenant")
        assert answer.positions[:, 0].tolist() == [0, 1, 2]
        assert np.all(backend.search(vectors("cosine")[:3], 4, spec, 100, namespace="ten").positions == -1)


def test_neither_readers_nor_writers_wait_while_an_index_is_built(postgres: PostgresServer, place: str) -> None:
    backend = open_backend(place)
    table = BackendVectors(backend, DIMENSION, "cosine", OWNER)
    table.create()
    table.append(batch(2, 0, 100), known=1)
    name = place.rpartition("#")[2]
    with postgres.connect() as writer, postgres.connect() as watcher, ThreadPoolExecutor(1) as pool:
        with writer.transaction():
            writer.execute(f"UPDATE {name} SET current = current WHERE row = 0")  # the build waits for its end
            built = pool.submit(backend.seal, "hnsw")
            building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE relid = %s::regclass AND phase LIKE %s"
            while not watcher.execute(building, (name, "waiting for%")).fetchone()[0]:
                assert not built.done()
                time.sleep(0.01)
            table.append(batch(3, 90, 120, seq=900), known=2)
            table.hide({"dök '3\"": 800})
            assert backend.search(vectors("cosine")[110:111], 1, "exact", 130).positions.tolist() == [[120]]
            assert not built.done(), "they did not wait for the build"
        built.result()
    answer = backend.search(vectors("cosine")[100:120], 1, "hnsw", 130)
    assert answer.positions[:, 0].tolist() == list(range(110, 130)), "what was written meanwhile is in the index"
