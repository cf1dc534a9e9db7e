"""A catch-up mends first what queries meet: documents that nobody could find, then those read most while outdated."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import assert_passes
from vecrollback import Document, Store

V1 = "hash:64?seed=1"
READ = ("d70", "d55", "d61")
"""By how often they are read: three times, twice, once."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 documents; 50 of them changed since the live pair saw them, and one is new."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(100)])
        store.promote(store.reembed(V1, name="v1", index="Flat").wait())
        store.upsert([Document(f"d{n}", words(n, 1)) for n in range(50, 100)])
        store.upsert([Document("new", words(1000))])
    return root


def read(store: Store) -> None:
    """Ask for what three documents said before they changed; a searcher tells what it answered when it closes."""
    with store.searcher() as searcher:
        for times, id_ in zip((3, 2, 1), READ, strict=True):
            for _ in range(times):
                [hit] = searcher.search(words(int(id_[1:])), k=1).hits
                assert (hit.id, hit.stale) == (id_, True)


def taken_in(store: Store) -> list[str]:
    """Documents in the order in which the pair got their new vectors."""
    keys = store.resources.vectors_of(store.pair("v1")).keys(store.pair("v1").vectors_version)
    return list(keys["doc_id"].to_pylist()[100:])


def test_searchers_tell_which_documents_they_answered_from_outdated_vectors(store: Store) -> None:
    read(store)
    assert store.resources.catalog.stale_reads.most("v1", 10) == list(READ)
    read(store)
    assert store.resources.catalog.stale_reads.most("v1", 2) == list(READ[:2])
    assert store.resources.catalog.stale_reads.most("another", 10) == []


def test_new_documents_come_first_then_the_most_read_then_the_rest(store: Store) -> None:
    read(store)
    store.catch_up("v1")
    order = taken_in(store)
    assert order[0] == "new"
    assert set(order[1:4]) == set(READ)
    assert set(order[4:]) == {f"d{n}" for n in range(50, 100)} - set(READ)
    assert_passes(store.check("v1"))


def test_what_was_read_is_forgotten_once_it_is_mended(store: Store) -> None:
    read(store)
    store.delete([READ[0]])
    store.catch_up("v1")
    assert store.resources.catalog.stale_reads.most("v1", 10) == []
    store.resources.catalog.stale_reads.note("v1", {"d3": 1})  # by a searcher that was late
    store.catch_up("v1")
    assert store.resources.catalog.stale_reads.most("v1", 10) == []
    assert_passes(store.check("v1"))


def test_more_reads_than_a_round_takes_lose_no_change(store: Store) -> None:
    store.upsert([Document(f"e{n}", words(n + 2000)) for n in range(1500)])
    store.catch_up("v1")
    store.upsert([Document(f"e{n}", words(n + 2000, 1)) for n in range(1500)])
    store.resources.catalog.stale_reads.note("v1", {f"e{n}": n + 1 for n in range(1500)})
    done = store.catch_up("v1")
    assert (done.lag, done.documents, done.embedded) == (0, 1500, 1500)
    order = [id_ for id_ in taken_in(store) if id_.startswith("e")][1500:]
    assert set(order[:512]) == {f"e{n}" for n in range(988, 1500)}
    assert_passes(store.check("v1"))


def test_answers_from_fresh_vectors_are_not_counted(store: Store) -> None:
    with store.searcher() as searcher:
        searcher.search(words(3), k=1)
    assert store.resources.catalog.stale_reads.most("v1", 10) == []
