"""How a database is named and opened, and that its secrets stay out of everything that is shown or kept.

Covers pairs.backend_index, pairs.backend_vectors, pairs.backends.pgvector, pairs.native_clients.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from uuid import uuid4

import pytest

import vecrollback
from tests.support.oracle import ONE
from tests.support.postgres import PostgresServer
from vecrollback import Document
from vecrollback.errors import IndexSpecError, StorageUnavailableError, UsageError, VecrollbackError
from vecrollback.pairs import backend as backends
from vecrollback.pairs.backend import IndexChoice, Place, open_backend, remember
from vecrollback.store import payloads

SECRET = "s3cr3t-word"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"pgvector:postgresql://me:{SECRET}@db/app#v1", "pgvector:postgresql://me@db/app#v1"),
        (f"pgvector:postgresql://db/app?password={SECRET}&user=me#v1", "pgvector:postgresql://db/app?user=me#v1"),
        (f"pgvector:postgresql://me:{SECRET}@/app?host=/run/pg#a.b", "pgvector:postgresql://me@/app?host=/run/pg#a.b"),
        (
            f"pgvector:postgresql:///app?host=/run/pg&sslpassword={SECRET}#v",
            "pgvector:postgresql:///app?host=/run/pg#v",
        ),
        (f"qdrant:http://host:6333?api_key={SECRET}#docs", "qdrant:http://host:6333#docs"),
        ("qdrant:./folder#docs", "qdrant:./folder#docs"),
    ],
)
def test_a_place_is_shown_without_secrets_and_parses_again(text: str, shown: str) -> None:
    place = Place.parse(text)
    assert place.shown == shown
    assert SECRET in place.address or SECRET not in text
    assert Place.parse(shown).shown == shown


@pytest.mark.parametrize("text", ["", "pgvector", "pgvector:postgresql://db/app", "#v1", "pgvector:#v1", ":x#v1"])
def test_what_names_no_collection_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="not a valid backend") as refused:
        Place.parse(text)
    assert "pgvector:" in refused.value.hint


def test_a_refused_place_does_not_show_its_password() -> None:
    unknown, unnamed = f"nothing:postgresql://me:{SECRET}@db/app#v1", f"pgvector:postgresql://me:{SECRET}@db/app"
    for call, text in ((Place.parse, unnamed), (open_backend, unknown), (remember, unknown), (remember, unnamed)):
        with pytest.raises(UsageError) as refused:
            call(text)
        assert SECRET not in str(refused.value) + refused.value.hint


def test_an_address_may_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="NOT_SET_HERE is not set"):
        Place.parse("pgvector:$NOT_SET_HERE#v1")
    monkeypatch.setenv("ANY_URL", f"postgresql://me:{SECRET}@db/app")
    place = Place.parse("pgvector:$ANY_URL#v1")
    assert (place.shown, place.address) == ("pgvector:$ANY_URL#v1", f"postgresql://me:{SECRET}@db/app")


def test_an_index_of_a_database_is_read_strictly() -> None:
    known = {"hnsw": ["m=", "halfvec"], "exact": []}
    choice = IndexChoice.parse("hnsw:m=32,halfvec", known)
    assert (choice.name, choice.options, choice.flags) == ("hnsw", {"m": 32}, {"halfvec"})
    for spec in ("hnsw:m", "hnsw:halfvec=1", "hnsw:m=-1", "hnsw:m=²", "exact:m=1", "flat", ""):
        with pytest.raises(IndexSpecError, match="not a valid index"):
            IndexChoice.parse(spec, known)


def test_a_table_that_a_pair_did_not_make_is_left_alone(postgres: PostgresServer, tmp_path: Path) -> None:
    name = f"t_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE TABLE {name} (id int); INSERT INTO {name} VALUES (7)")
        with vecrollback.connect(tmp_path, create=True) as store:
            store.upsert([Document("a", "boats")])
            place = f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{name}"
            with pytest.raises(UsageError, match="belongs to something else"):
                store.reembed(ONE, name="one", backend=place)
            assert store.pairs() == []
        assert connection.execute(f"SELECT id FROM {name}").fetchall() == [(7,)]


@pytest.mark.parametrize("name", ["v 1", "a.b.c", '"; DROP', "ü", "x" * 60])
def test_a_name_that_cannot_be_a_table_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a valid name"):
        open_backend(f"pgvector:postgresql://db/app#{name}")


def test_secrets_are_in_no_file_no_answer_no_log_and_no_error(
    postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    name = f"t_{uuid4().hex[:8]}"
    url = f"postgresql://postgres:{SECRET}@/postgres?host={postgres.folder}"
    root = tmp_path / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", f"boats {n}") for n in range(5)])
        pair = store.reembed(ONE, name="one", backend=f"pgvector:{url}#{name}").wait()
        assert pair.backend == f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{name}"
        store.promote("one")
        said = json.dumps([store.status(), payloads.pairs(store), repr(store.live()), repr(store.history())])
        with pytest.raises(StorageUnavailableError) as refused:
            store.reembed(ONE, name="two", backend=f"pgvector:postgresql://u:{SECRET}@localhost:1/none#two")
        said += str(refused.value) + refused.value.hint + repr(refused.value.__cause__)
        with pytest.raises(VecrollbackError) as refused_name:
            store.reembed(ONE, name="three", backend=f"pgvector:mysql://u:{SECRET}@localhost/none#three")
        said += str(refused_name.value) + refused_name.value.hint
    assert SECRET not in said + caplog.text
    assert not [path for path in root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    # another process knows the place alone, and finds the password where libpq does
    monkeypatch.setattr(backends, "_secrets", {})
    monkeypatch.setattr(backends, "_backends", {})
    with vecrollback.connect(root) as store:
        assert len(store.search("boats").hits) == 5
