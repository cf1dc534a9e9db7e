"""One statement of SQL gives an application the pointer and the answers, and they are those of the library.

The catalog and the pairs lie in one PostgreSQL. Covers pairs.backends.pgvector.search_function.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

import vecrollback
from tests.support.oracle import ONE, QUERIES, TWO, embedder
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store
from vecrollback.pairs.backends.pgvector import search_function
from vecrollback.records import Result

WORDS = ["boat", "bread", "harbour", "lamp", "garden", "winter", "stone", "letter", "music", "river"]
DOCUMENTS = {
    f"d{n}": Document(
        f"d{n}",
        f"{WORDS[n % 10]} {WORDS[n * 7 % 10]} {WORDS[n // 10 % 10]} {n}",
        {"year": 1990 + n, "even": n % 2 == 0},
    )
    for n in range(60)
}


class Application:
    """A program that knows nothing of vecrollback but its two functions."""

    def __init__(self, server: PostgresServer, schema: str) -> None:
        self.connection, self.schema = server.connect(), schema

    def pointer(self) -> dict[str, Any]:
        cursor = self.connection.execute(f"SELECT * FROM {self.schema}.vecrollback_pointer()")
        return dict(zip([one.name for one in cursor.description], cursor.fetchone(), strict=True))

    def ask(self, text: str, k: int = 10, *, spec: str = "", **more: Any) -> list[Any]:
        """Rows of id, score, chunk, start, end, seq, pair, epoch."""
        model = embedder(spec or self.pointer()["embedder"])
        values = {"v": str(model.embed_queries([text])[0].tolist()), "f": model.fingerprint, "k": k, **more}
        named = "".join(f", {name} => %({name})s" for name in more)
        query = f"SELECT * FROM {self.schema}.vecrollback_search(%(v)s, %(f)s, %(k)s{named})"
        return list(self.connection.execute(query, values).fetchall())

    def assert_answers_as(self, result: Result, text: str, k: int = 10, **more: Any) -> None:
        rows = self.ask(text, k, **more)
        scores = {hit.id: hit.score for hit in result.hits}
        assert len(rows) == len(scores), text
        assert np.allclose([row[1] for row in rows], list(scores.values()), atol=2e-6), text
        # of documents that are equally near either may come first, or be the last that has room
        last = min(scores.values(), default=0.0)
        assert all(abs(row[1] - scores.get(row[0], last)) < 2e-6 for row in rows), text
        assert {row[6:] for row in rows} <= {(result.pair, result.epoch)}
        chunks = {hit.id: (hit.chunk, len(hit.text)) for hit in result.hits if not hit.stale}
        assert all((row[2], row[4] - row[3]) == chunks[row[0]] for row in rows if row[0] in chunks)


@pytest.fixture
def place(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[Store, Application, str]]:
    """A store whose catalog and pairs are in one database."""
    catalog, pairs = f"c_{uuid4().hex[:8]}", f"s_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {pairs}")
    with vecrollback.connect(tmp_path / "store", catalog=postgres.url(catalog), create=True) as store:
        store.upsert(DOCUMENTS.values())
        yield (
            store,
            Application(postgres, catalog),
            f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{pairs}.",
        )


def build(store: Store, place: str, name: str, spec: str, **options: Any) -> None:
    store.reembed(spec, name=name, backend=place + name, **options).wait()


@pytest.mark.parametrize(
    "index",
    [
        "hnsw",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("exact", "hnsw:halfvec", "ivfflat:lists=4,probes=4")),
    ],
)
def test_the_answers_are_those_of_the_library(place: tuple[Store, Application, str], index: str) -> None:
    store, application, where = place
    build(store, where, "one", ONE, index=index)
    build(store, where, "two", TWO, index=index)
    store.promote("one")
    for step in ("built", "changed", "caught up", "upgraded", "rolled back", "restored"):
        if step == "changed":
            store.delete(["d3", "d7"])
            store.upsert(
                [Document("d5", "a lamp in the garden"), Document("new", "river of letters"), Document("d6", "")]
            )
        elif step == "caught up":
            store.catch_up("one")
        elif step == "upgraded":
            store.promote("two")
        elif step == "rolled back":
            store.rollback(reason="worse")
            store.snapshot("one", rebuild=True)
        elif step == "restored":
            store.restore("one@1", reason="as it was", catch_up=False)
        for text in QUERIES:
            application.assert_answers_as(store.search(text), text)
            among = [f"d{n}" for n in range(30, 60, 2)]
            application.assert_answers_as(store.search(text, where="year >= 2020 AND even = true"), text, among=among)
        application.assert_answers_as(store.search("boats", k=100), "boats", 100)


def test_a_query_of_another_model_is_refused_with_the_model_that_is_live(
    place: tuple[Store, Application, str],
) -> None:
    store, application, where = place
    build(store, where, "one", ONE)
    with pytest.raises(psycopg.DatabaseError, match="no pair is live") as refused:
        application.ask("boats", spec=ONE)
    assert refused.value.sqlstate == "VR002"
    store.promote("one")
    assert application.pointer()["place"] == where + "one"
    with pytest.raises(psycopg.DatabaseError, match="not embedded by the model") as refused:
        application.ask("boats", spec=TWO)
    assert refused.value.sqlstate == "VR001"
    pointer = json.loads(refused.value.diag.message_detail)
    assert pointer == {"pair": "one", "epoch": 1, "embedder": ONE, "fingerprint": embedder(ONE).fingerprint}
    assert application.ask("boats", spec=pointer["embedder"])
    store.reembed(TWO, name="files").wait()
    store.promote("files")
    with pytest.raises(psycopg.DatabaseError, match="does not lie in this database") as refused:
        application.ask("boats", spec=TWO)
    assert refused.value.sqlstate == "VR003"


def test_a_statement_sees_pointer_deletes_and_rows_at_one_moment(
    place: tuple[Store, Application, str], postgres: PostgresServer
) -> None:
    store, application, where = place
    build(store, where, "one", ONE)
    build(store, where, "two", TWO)
    store.promote("one")
    before = application.ask("boats", 100, spec=ONE)
    with application.connection.transaction():
        application.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert application.ask("boats", 100, spec=ONE) == before
        store.delete(["d1", "d2"])
        store.upsert([Document("d4", "boats of another kind")])
        store.catch_up("one")
        store.promote("two")
        assert application.ask("boats", 100, spec=ONE) == before, "nothing of it has happened yet at its moment"
    assert application.pointer()["pair"] == "two"
    assert {row[0] for row in application.ask("boats", 100)} == set(DOCUMENTS) - {"d1", "d2"}


def test_several_chunks_of_a_document_and_namespaces(place: tuple[Store, Application, str]) -> None:
    store, application, where = place
    long = {f"l{n}": " ".join(f"{word} boats {n}" for word in WORDS * 3) for n in range(12)}
    store.upsert([Document(id_, text) for id_, text in long.items()])
    store.upsert([Document(f"d{n}", f"boats of tenant {n}", namespace="ten%1$s'ant") for n in range(5)])
    build(store, where, "one", f"{ONE}&chunk=tokens:8:2")
    store.promote("one")
    for text in QUERIES:
        application.assert_answers_as(store.search(text, k=8), text, 8)
        inside = store.search(text, k=8, namespace="ten%1$s'ant")
        assert len(inside.hits) == 5
        rows = application.ask(text, 8, namespace="ten%1$s'ant")
        assert [row[0] for row in rows] == [hit.id for hit in inside.hits]


def test_only_who_was_granted_it_may_call_it_and_that_is_enough(place: tuple[Store, Application, str]) -> None:
    store, application, where = place
    build(store, where, "one", ONE)
    store.promote("one")
    role = f"app_{uuid4().hex[:8]}"
    schema, run = application.schema, application.connection.execute
    run(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}; SET ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.ask("boats", spec=ONE)
    functions = f"{schema}.vecrollback_search, {schema}.vecrollback_pointer"
    run(f"RESET ROLE; GRANT EXECUTE ON FUNCTION {functions} TO {role}; SET ROLE {role}")
    assert len(application.ask("boats")) == 10
    run("RESET ROLE")
    build(store, where, "two", TWO)
    store.promote("two")
    run(f"SET ROLE {role}")
    assert len(application.ask("boats")) == 10, "the next pair needs no other grant"
    run("RESET ROLE")


def test_what_others_lay_out_beside_it_is_not_what_it_runs_or_reads(place: tuple[Store, Application, str]) -> None:
    """The functions have their owner's rights; somebody else may write in the schema of the pairs."""
    store, application, pairs = place
    build(store, pairs, "v1", ONE)
    store.promote("v1")
    schema = pairs.rpartition("#")[2].rstrip(".")
    connection, role = application.connection, f"r_{schema}"
    hostile = f"{schema}.hostile"
    connection.execute(f"CREATE ROLE {role}; GRANT CREATE, USAGE ON SCHEMA {schema} TO {role}; SET ROLE {role}")
    connection.execute(f"""
        CREATE FUNCTION {hostile}(public.vector, public.vector) RETURNS float8 LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
        CREATE OPERATOR {schema}.<=> (LEFTARG = public.vector, RIGHTARG = public.vector, FUNCTION = {hostile})
    """)
    connection.execute("RESET ROLE")
    application.assert_answers_as(store.search("boat harbour", k=5), "boat harbour", 5)
    table = store.live().backend.rpartition("#")[2]
    note = f"SELECT obj_description('{table}'::regclass, 'pg_class')"
    [comment] = connection.execute(note).fetchone()
    connection.execute(
        f"ALTER TABLE {table} RENAME TO moved; GRANT SELECT ON {schema}.moved TO {role}; SET ROLE {role}"
    )
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {schema}.moved")
    connection.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
    connection.execute("RESET ROLE")
    with pytest.raises(psycopg.DatabaseError, match="as a table of") as refused:
        application.ask("boat harbour", 5)
    assert refused.value.diag.sqlstate == "VR003"
    connection.execute(f"DROP TABLE {table}; ALTER TABLE {schema}.moved RENAME TO {table.rpartition('.')[2]}")
    connection.execute(
        f"DROP OPERATOR {schema}.<=> (public.vector, public.vector); DROP OWNED BY {role}; DROP ROLE {role}"
    )


def test_an_older_version_is_replaced_and_a_newer_one_stays(
    place: tuple[Store, Application, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, application, where = place
    build(store, where, "one", ONE)
    store.promote("one")

    def note() -> str:
        query = "SELECT obj_description(%s::regproc, 'pg_proc')"
        return str(application.connection.execute(query, (f"{application.schema}.vecrollback_search",)).fetchone()[0])

    assert note() == f"vecrollback functions, version {search_function.VERSION}"
    for version in (9, 4):
        monkeypatch.setattr(search_function, "VERSION", version)
        store.snapshot("one", rebuild=True)
        assert note() == "vecrollback functions, version 9"
    assert application.ask("boats")


def test_a_table_of_the_application_is_searched_in_place(
    place: tuple[Store, Application, str], postgres: PostgresServer
) -> None:
    store, application, where = place
    table = where.rpartition("#")[2] + "docs"
    run = application.connection.execute
    run(f"CREATE TABLE {table} (id text PRIMARY KEY, text text, embedding vector(32))")
    for document in DOCUMENTS.values():
        vector = 2 * embedder(ONE).embed_documents([document.text])[0]
        run(f"INSERT INTO {table} VALUES (%s, %s, %s)", (document.id, document.text, str(vector.tolist())))
    run(f"CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)")
    store.adopt(f"postgresql://postgres@/postgres?host={postgres.folder}#{table}", model=ONE, name="v1", in_place=True)
    store.promote("v1")
    for step in range(2):
        if step:
            store.delete(["d3"])
            store.upsert([Document("d5", "a lamp in the garden"), Document("new", "river of letters")])
            store.catch_up("v1")
        for text in QUERIES:
            application.assert_answers_as(store.search(text), text)
            application.assert_answers_as(
                store.search(text, where="year >= 2040"), text, among=[f"d{n}" for n in range(50, 60)]
            )
    run(f"DELETE FROM {table} WHERE id = 'd8'")  # it has no vector any more, so it is as near as nothing
    assert "d8" not in {row[0] for row in application.ask(QUERIES[0], 100)}
    assert "d8" not in {hit.id for hit in store.search(QUERIES[0], k=100).hits}
