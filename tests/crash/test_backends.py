"""A process that writes a pair in a database, killed at each step; the database itself killed and started again."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

import vecrollback
from tests.support import postgres as postgres_server
from tests.support.database_pair import CHANGES, DELETED, STEPS, prepare
from tests.support.operations import start
from tests.support.oracle import EVERYTHING, QUERIES, TWO, assert_answers, assert_passes, assert_serves
from tests.support.postgres import PostgresServer
from vecrollback import Document
from vecrollback.errors import StorageUnavailableError
from vecrollback.pairs.backend import open_backend

POINTS = [
    ("reembed", "backend.writing:1"),
    ("reembed", "backend.written:1"),
    ("reembed", "vectors.appended:1"),
    ("reembed", "backend.sealing:1"),
    ("reembed", "backend.sealed:1"),
    ("change", "backend.writing:1"),
    ("change", "backend.writing:2"),
    ("change", "backend.written:2"),
    ("change", "pair.advanced:1"),
    ("change", "backend.sealed:1"),
    ("change", "snapshot.registered:1"),
]
_SAMPLE = POINTS[1], POINTS[3], POINTS[7]


def place_in(server: PostgresServer, name: str) -> str:
    return f"pgvector:postgresql://postgres@/postgres?host={server.folder}#{name}_{uuid4().hex[:8]}"


@pytest.mark.parametrize(
    ("step", "point"),
    [pytest.param(*one, marks=() if one in _SAMPLE else pytest.mark.slow, id="-".join(one)) for one in POINTS],
)
def test_a_writer_killed_at_any_step_leaves_a_pair_that_the_next_one_finishes(
    step: str, point: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    root, place = tmp_path / "store", place_in(postgres, "two")
    with vecrollback.connect(root, create=True) as store:
        texts = prepare(store)
        if step == "change":
            STEPS["reembed"](store, place)
            store.promote("two")
    process = start(str(root), place, step, module="tests.support.database_pair", VECROLLBACK_FAULT=point)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    with vecrollback.connect(root) as store:
        if step == "change":
            assert not {hit.id for hit in store.search("boats", k=EVERYTHING).hits} & set(DELETED)
        STEPS[step](store, place)
        if step == "change":
            texts = {id_: text for id_, text in (texts | CHANGES).items() if id_ not in DELETED}
        else:
            store.promote("two")
        assert_passes(store.check("two"))
        assert_serves(store, texts)
        rows = open_backend(place).count()
        assert rows == 40 + (len(CHANGES) if step == "change" else 0), "no finished batch was embedded twice"


@pytest.mark.slow
@pytest.mark.parametrize("point", ["backend.writing:1", "backend.written:1", "vectors.appended:1", "pair.advanced:1"])
@pytest.mark.parametrize("kind", ["lancedb", "qdrant", "chroma", "milvus"])
def test_a_writer_killed_in_a_database_without_transactions_leaves_a_pair_that_the_next_one_finishes(
    kind: str, point: str, tmp_path: Path
) -> None:
    package = {"qdrant": "qdrant_client", "chroma": "chromadb", "milvus": "milvus_lite"}.get(kind, kind)
    pytest.importorskip(package, reason=f"pip install 'vecrollback[{kind}]'")
    root, place = tmp_path / "store", f"{kind}:{tmp_path / 'database.db'}#pair"
    with vecrollback.connect(root, create=True) as store:
        texts = prepare(store)
    process = start(str(root), place, "reembed", module="tests.support.database_pair", VECROLLBACK_FAULT=point)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL, errors
    with vecrollback.connect(root) as store:
        STEPS["reembed"](store, place)
        store.promote("two")
        assert_passes(store.check("two"))
        assert_serves(store, texts)
        assert open_backend(place).count() == len(texts), "what the dead writer left is in its place, or gone"


def test_the_database_restarts_while_it_is_searched_and_written(tmp_path: Path) -> None:
    if not postgres_server.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres_server.running() as server, vecrollback.connect(tmp_path / "store", create=True) as store:
        texts = prepare(store)
        store.reembed(TWO, name="two", backend=place_in(server, "two")).wait()
        store.promote("two")
        stop = threading.Event()

        answers = [0, 0, 0]

        def ask(number: int) -> None:
            while not stop.is_set():
                for query in QUERIES:
                    assert_answers(store.search(query, k=EVERYTHING), TWO, texts, query)
                    answers[number] += 1

        def answered_again() -> None:
            """Every one has an answer to a question that it began after now."""
            wanted = [count + 2 for count in answers]
            while not all(count >= least for count, least in zip(answers, wanted, strict=True)):
                assert not any(one.done() for one in asked), [one.exception() for one in asked if one.done()]
                time.sleep(0.01)

        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask, number) for number in range(3)]
            try:
                answered_again()
                for end in (server.stop, server.kill):
                    end()
                    server.start()
                    answered_again()
            finally:
                stop.set()
            for one in asked:
                one.result()  # none failed, none was wrong
        server.kill()
        texts |= {"late": "a boat that came late"}
        store.upsert([Document("late", texts["late"])])
        del texts["d7"]
        store.delete(["d7"])  # acknowledged: no answer of ours will hold it
        with pytest.raises(StorageUnavailableError, match="does not answer"):
            store.catch_up("two")
        server.start()
        assert "d7" not in {hit.id for hit in store.search("boats", k=EVERYTHING).hits}
        store.catch_up("two")
        assert_serves(store, texts)
        assert_passes(store.check("two"))
        with server.connect() as connection:
            table = store.live().place.rpartition("#")[2]
            hidden = connection.execute(f"SELECT doc_id FROM {table} WHERE NOT current").fetchall()
            assert hidden == [("d7",)], "hidden from other clients as soon as the database was back"
