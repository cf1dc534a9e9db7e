"""A table that an application made becomes a pair without a vector of it being copied or changed.

Covers pairs.backends.pgvector.in_place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE, TWO, assert_passes, assert_serves, embedder
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store
from vecrollback.errors import FingerprintMismatchError, GateRefusedError, UsageError

TEXTS = {f"{n}": words(n) for n in range(60)}


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[tuple[str, Any]]:
    """A schema with the table of an application, whose vectors are twice as long as the model's, and its own index."""
    name = f"s_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE EXTENSION IF NOT EXISTS vector; CREATE SCHEMA {name}")
        connection.execute(f"CREATE TABLE {name}.docs (id bigint PRIMARY KEY, text text, embedding vector(32))")
        for id_, text in TEXTS.items():
            vector = 2 * embedder(ONE).embed_documents([text])[0]
            connection.execute(f"INSERT INTO {name}.docs VALUES (%s, %s, %s)", (int(id_), text, str(vector.tolist())))
        connection.execute(f"CREATE INDEX ON {name}.docs USING hnsw (embedding vector_cosine_ops)")
        yield name, connection


def source(postgres: PostgresServer, schema: str, table: str = "docs") -> str:
    return f"postgresql://postgres@/postgres?host={postgres.folder}#{schema}.{table}"


def adopted(store: Store, postgres: PostgresServer, schema: str) -> None:
    done = store.adopt(source(postgres, schema), model=ONE, name="v1", in_place=True)
    assert (done.documents, done.reused, done.embedded, done.foreign) == (len(TEXTS), len(TEXTS), 0, 0)
    store.promote("v1")


def test_upgrade_and_roll_back_over_the_tables_own_vectors(
    schema: tuple[str, Any], postgres: PostgresServer, tmp_path: Path
) -> None:
    name, connection = schema
    before = connection.execute(f"SELECT id, text, embedding::text, ctid::text FROM {name}.docs ORDER BY id").fetchall()
    texts = dict(TEXTS)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted(store, postgres, name)
        assert_serves(store, texts)
        own = connection.execute(f"SELECT count(*), count(vector), count(source) FROM {name}.vecrollback_v1").fetchone()
        assert own == (60, 0, 60), "no vector was copied"
        store.reembed(TWO, name="v2", backend=f"pgvector:{source(postgres, name, 'v2')}").wait()
        store.promote("v2")
        texts |= {"3": "bread from the harbour", "new": "a boat that is new"}
        store.upsert([Document(id_, texts[id_]) for id_ in ("3", "new")])
        store.delete(["4"])
        del texts["4"]
        store.catch_up("v2")
        assert_serves(store, texts)
        moved = store.rollback(reason="worse")
        assert moved.report is not None
        assert_passes(moved.report)
        assert moved.target == "v1@1"
        assert_serves(store, texts)
        store.snapshot("v1", rebuild=True)
        assert_serves(store, texts)
        assert_passes(store.check("v1"))
        own = connection.execute(f"SELECT count(*), count(vector), count(source) FROM {name}.vecrollback_v1").fetchone()
        assert own == (62, 2, 60)
        visible = connection.execute(f"SELECT id FROM {name}.vecrollback_live").fetchall()
        assert {id_ for (id_,) in visible} == set(texts)
    after = connection.execute(f"SELECT id, text, embedding::text, ctid::text FROM {name}.docs ORDER BY id").fetchall()
    assert after == before, "nothing of the application was touched"


def test_what_the_application_changes_or_removes_is_found_by_the_check(
    schema: tuple[str, Any], postgres: PostgresServer, tmp_path: Path
) -> None:
    name, connection = schema
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted(store, postgres, name)
        first = f"(SELECT embedding FROM {name}.docs WHERE id = 1)"
        connection.execute(f"INSERT INTO {name}.docs VALUES (1000, 'new to us', {first})")
        assert_passes(store.check("v1"))
        assert "1000" not in {hit.id for hit in store.search("boats", k=EVERYTHING).hits}
        connection.execute(f"UPDATE {name}.docs SET embedding = {first} WHERE id = 0")
        report = store.check("v1")
        assert report.verdict == "fail"
        assert "file_corrupt" in {finding.kind for finding in report.findings}
        connection.execute(f"DELETE FROM {name}.docs WHERE id = 2")
        for k in (3, EVERYTHING):
            hits = store.search(TEXTS["2"], k=k).hits
            assert hits
            assert all(hit.id != "2" and abs(hit.score) <= 1.0001 for hit in hits)
        assert store.check("v1").verdict == "fail"


def test_adopting_again_takes_what_the_application_changed_added_and_lost(
    schema: tuple[str, Any], postgres: PostgresServer, tmp_path: Path
) -> None:
    name, connection = schema
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        adopted(store, postgres, name)
        texts = {**TEXTS, "0": "a boat that was painted", "1000": "a boat that came later"}
        del texts["5"]
        for id_ in ("0", "1000"):
            vector = str((2 * embedder(ONE).embed_documents([texts[id_]])[0]).tolist())
            row = (int(id_), texts[id_], vector)
            put = f"INSERT INTO {name}.docs VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET text = excluded.text"
            connection.execute(f"{put}, embedding = excluded.embedding", row)
        connection.execute(f"DELETE FROM {name}.docs WHERE id = 5")
        with pytest.raises(UsageError, match="'v1' has its vectors in"):
            store.adopt(source(postgres, name), model=ONE, name="v1", in_place=True)
        done = store.adopt(source(postgres, name), model=ONE, name="v1-now", in_place=True)
        assert (done.changed, done.known, done.gone, done.embedded) == (1, 59, 1, 0)
        assert done.report is not None
        assert_passes(done.report)
        with pytest.raises(GateRefusedError, match="way back"):
            store.promote("v1-now", reason="what is there now")
        store.promote("v1-now", reason="what is there now", override=True)
        assert_serves(store, texts)
        own = connection.execute(f"SELECT count(vector) FROM {name}.vecrollback_v1_now").fetchone()
        assert own == (0,), "no vector was copied"
        # What another vector lies beside now is given to nobody as the vector of the text that it was of.
        store.upsert([Document("copy", TEXTS["0"]), Document("back", TEXTS["5"])])
        store.catch_up("v1-now")
        assert_serves(store, {**texts, "copy": TEXTS["0"], "back": TEXTS["5"]})
        assert_passes(store.check("v1-now"))
        assert store.check("v1").verdict == "fail"


def test_another_models_vectors_and_places_that_are_not_tables_are_refused(
    schema: tuple[str, Any], postgres: PostgresServer, tmp_path: Path
) -> None:
    name, connection = schema
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        with pytest.raises(FingerprintMismatchError):
            store.adopt(source(postgres, name), model=TWO, name="v1", in_place=True)
        connection.execute(f"CREATE TABLE {name}.twice AS SELECT text AS id, text, embedding FROM {name}.docs")
        connection.execute(f"ALTER TABLE {name}.twice ALTER embedding TYPE real[] USING embedding::real[]")
        with pytest.raises(UsageError, match="of type real"):
            store.adopt(source(postgres, name, "twice"), model=ONE, name="v1", in_place=True)
        assert store.pairs() == []
        assert connection.execute("SELECT to_regclass(%s)", (f"{name}.vecrollback_v1",)).fetchone() == (None,)
