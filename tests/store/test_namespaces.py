"""A namespace keeps to itself: ids, answers, filters, counts and deletes; one pair covers all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_server import serving
from vecrollback import Client, Document, Store, connect
from vecrollback.errors import BadDocumentError, UsageError

TENANTS = ("kb-7", "kb-8", "org: größe/1")


def _documents(namespace: str, mark: str) -> list[Document]:
    return [Document(f"d{n}", f"{mark} number {n}", {"n": n}, namespace) for n in range(5)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with connect(root, create=True, embedder="hash:64?seed=3") as store:
        store.upsert(_documents("", "shared"), visible=True)
        for tenant in TENANTS:
            store.upsert([Document(d.id, d.text, d.metadata) for d in _documents("", tenant)], namespace=tenant)
        store.wait(20)
        store.promote(store.reembed("hash:64?seed=4", name="v2").wait(), reason="newer")
    return root


@pytest.fixture
def place(root: Path) -> Path:
    return root


@pytest.fixture(scope="module", params=["store", "client"])
def unchanged(request: pytest.FixtureRequest, template: Path) -> Iterator[Store | Client]:
    """Both doors of one store, for tests that leave it as it is."""
    with contextlib.ExitStack() as inside:
        if request.param == "client":
            yield inside.enter_context(Client(inside.enter_context(serving(template)).url))
        else:
            yield inside.enter_context(connect(template))


def test_every_call_is_about_one_namespace(unchanged: Store | Client) -> None:
    door = unchanged
    for namespace, mark in ((None, "shared"), *((one, one) for one in TENANTS)):
        for where in (None, {"n": {"$gte": 0}}, "n >= 0 OR n < 0", {"$or": [{"$id": "d1"}, {"$not": {"$id": "d1"}}]}):
            hits = door.search("number of everything", 50, where, namespace).hits
            assert {(hit.namespace, hit.text.split(" number")[0]) for hit in hits} == {(namespace or "", mark)}
            assert len(hits) == 5
        assert door.count(namespace=namespace) == 5
        assert {one.text for one in door.documents(namespace=namespace)} == {f"{mark} number {n}" for n in range(5)}
        assert door.get(["d1", "d9"], namespace) == {
            "d1": Document("d1", f"{mark} number 1", {"n": 1}, namespace or "")
        }
    assert door.search("number", 50, namespace="nobody").hits == []
    assert "namespace 'nobody'" in door.search("number", namespace="nobody").reason
    assert door.namespaces() == {"": 5, "kb-7": 5, "kb-8": 5, "org: größe/1": 5}


def test_a_write_or_delete_reaches_no_other_namespace(door: Store | Client) -> None:
    door.upsert([Document("d1", "changed", {"n": 1})], visible=True, namespace="kb-7")
    assert door.search("changed", 1, namespace="kb-7").hits[0].text == "changed"
    assert door.delete(["d1"], namespace="kb-7").deleted == 1
    assert door.delete(where={"n": {"$lt": 2}}, namespace="kb-8").deleted == 2
    assert door.namespaces() == {"": 5, "kb-7": 4, "kb-8": 3, "org: größe/1": 5}
    assert door.drop_namespace("org: größe/1").deleted == 5
    assert door.namespaces() == {"": 5, "kb-7": 4, "kb-8": 3}
    assert len(door.search("number", 50).hits) == 5
    assert door.search("number", 50, namespace="org: größe/1").hits == []
    with pytest.raises(UsageError):
        door.drop_namespace("")
    with pytest.raises(BadDocumentError, match="the call is for"):
        door.upsert([Document("x", "text", namespace="kb-7")], namespace="kb-8")


@pytest.mark.parametrize("name", ["kb-7\x1fd1", "a\x1f", "\x1fd1", " ", "a\0", "a\ud800", "x" * 300, "kb-7\n"])
def test_no_name_and_no_id_leads_out_of_a_namespace(unchanged: Store | Client, name: str) -> None:
    door = unchanged
    calls = [
        lambda: door.search("number", namespace=name),
        lambda: door.get(["d1"], name),
        lambda: door.count(namespace=name),
        lambda: door.delete(["d1"], namespace=name),
        lambda: list(door.documents(namespace=name)),
        lambda: door.upsert([Document("x", "text")], namespace=name),
        lambda: door.get([name]),
        lambda: door.delete([name]),
    ]
    for call in calls[: 6 if name == "x" * 300 else None]:
        with pytest.raises((BadDocumentError, UsageError)):
            call()
    assert door.namespaces() == {"": 5, "kb-7": 5, "kb-8": 5, "org: größe/1": 5}


def test_one_move_turns_all_of_them_back_and_checks_and_bundles_know_them(place: Path, tmp_path: Path) -> None:
    with connect(place) as store:
        live = store.live()
        assert store.check(live).verdict == "pass"
        bundle = store.export_snapshot(live.ref, tmp_path / "pair.vrb")
        store.rollback(reason="worse")
        for tenant in TENANTS:
            answer = store.search("number", 50, namespace=tenant)
            assert (answer.pair, len(answer.hits)) == ("hash-64", 5)
        with connect(tmp_path / "other", create=True) as other:
            other.import_snapshot(bundle.path, name="v2")
            other.promote("v2", reason="from a bundle", override=True)
            assert other.namespaces() == store.namespaces()
            assert len(other.search("number", 50, namespace="kb-7").hits) == 5


def test_documents_of_a_namespace_survive_a_new_index_and_a_purge(place: Path) -> None:
    with connect(place) as store:
        store.delete(["d0"], namespace="kb-8")
        store.snapshot(store.live(), rebuild=True)
        store.compact(purge=True)
        store.upsert([Document("late", "kb-8 number 9", {"n": 9})], visible=True, namespace="kb-8")
        assert sorted(hit.id for hit in store.search("number", 50, namespace="kb-8").hits) == [
            "d1",
            "d2",
            "d3",
            "d4",
            "late",
        ]
        assert [hit.id for hit in store.search("number", 50, "n > 8", "kb-8").hits] == ["late"]
